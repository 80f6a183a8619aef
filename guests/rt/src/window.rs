//! Memory that somebody else can change at any time, reached by copies.
//!
//! A page of another guest is no Rust memory: a reference to it would promise that it stands still. A [`Window`] is an
//! address range in which no Rust object lives, read and written volatile.

use core::sync::atomic::{AtomicU32, Ordering, fence};

/// A range of memory that is shared with others. All offsets are in bytes; what is not inside is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    address: usize,
    size: usize,
}

impl Window {
    /// Whoever makes one promises that the range is mapped, is 8-byte aligned, and that nothing of Rust's is there, for as
    /// long as it is used.
    pub(crate) const fn new(address: usize, size: usize) -> Self {
        Self { address, size }
    }

    /// A piece of memory that the device tree names as shared (Linux' binding `xen,shared-memory-v1`), or that
    /// `xen_abi::io_domain` fixes: the hypervisor maps it and no loader puts anything there.
    ///
    /// Not one that overlaps RAM: nothing then.
    pub fn outside_of_ram(machine: &crate::Machine, address: usize, size: usize) -> Option<Self> {
        let end = address.checked_add(size).filter(|end| *end <= crate::memory::MAPPED_END as usize)?;
        let apart = end <= machine.memory.0 || address >= machine.memory.1;
        (apart && address.is_multiple_of(8)).then(|| Self::new(crate::memory::as_memory(address), size))
    }

    /// How many bytes there are.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The guest frame of the page with this byte, where the window is of our own RAM.
    pub const fn frame(&self, offset: usize) -> u64 {
        ((self.address + offset) / crate::grants::PAGE) as u64
    }

    /// A part of it; nothing if it is not inside.
    pub fn part(&self, offset: usize, size: usize) -> Option<Self> {
        let fits = offset.checked_add(size)? <= self.size && offset.is_multiple_of(8);
        fits.then(|| Self::new(self.address + offset, size))
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        let inside = offset.is_multiple_of(4) && offset.checked_add(4)? <= self.size;
        // SAFETY: inside a range that is mapped and 8-byte aligned (see `new`), and seen as an atomic only.
        inside.then(|| unsafe { &*((self.address + offset) as *const AtomicU32) })
    }

    /// The word at `offset`, a multiple of 4; ordered before every later access.
    pub fn load(&self, offset: usize) -> u32 {
        self.word(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Sets the word at `offset`, a multiple of 4; ordered after every earlier access.
    pub fn store(&self, offset: usize, value: u32) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    /// Copies the bytes from `offset` on.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        if offset.checked_add(into.len()).is_none_or(|end| end > self.size) {
            return;
        }
        // SAFETY: inside the range as checked above; nothing of Rust's is there, so that the slice is elsewhere.
        unsafe { crate::memory::copy(self.address + offset, into.as_mut_ptr() as usize, into.len()) };
    }

    /// Copies bytes to `offset`.
    pub fn write(&self, offset: usize, from: &[u8]) {
        if offset.checked_add(from.len()).is_none_or(|end| end > self.size) {
            return;
        }
        // SAFETY: inside the range as checked above; nothing of Rust's is there, so that the slice is elsewhere.
        unsafe { crate::memory::copy(from.as_ptr() as usize, self.address + offset, from.len()) };
    }

    /// Orders what came before before what comes after.
    pub fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(feature = "pvio")]
impl hyp_pvio::memory::SharedMemory for Window {
    fn size(&self) -> usize {
        self.size()
    }

    fn load(&self, offset: usize) -> u32 {
        self.load(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        self.store(offset, value);
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        self.read(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        self.write(offset, from);
    }

    fn fence(&self) {
        self.fence();
    }
}
