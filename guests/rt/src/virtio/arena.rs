//! The memory that devices may write to.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spin::mutex::SpinMutex;
use talc::TalcLock;
use talc::source::Manual;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::cpu::Relax;

/// Bytes of the arena.
const BYTES: usize = 24 << 20;

/// In a section of its own, which neither the loader nor the entry code writes.
#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; BYTES]>);

// SAFETY: nobody but the allocator below reaches it, which hands out disjoint parts.
unsafe impl Sync for Arena {}

#[unsafe(link_section = ".bss.devices")]
static ARENA: Arena = Arena(UnsafeCell::new([0; BYTES]));

static ALLOCATOR: TalcLock<SpinMutex<(), Relax>, Manual> = TalcLock::new(Manual);

/// What is added to our addresses to get those that devices use.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Begins to use the arena. Once, when all devices are reset: `offset` is what is to be added to our addresses to get
/// those that devices use.
pub fn init(offset: u64) {
    OFFSET.store(offset, Relaxed);
    // SAFETY: the arena is claimed once, because iod calls this once, and nobody else uses it.
    unsafe { ALLOCATOR.lock().claim(ARENA.0.get().cast(), BYTES) };
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, PAGE_SIZE).ok()
}

fn allocate(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: the layout has a size that is not 0, as callers see to.
    NonNull::new(unsafe { ALLOCATOR.alloc_zeroed(layout(bytes)?) })
}

fn free(at: NonNull<u8>, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        // SAFETY: it came from `allocate` with the same size.
        unsafe { ALLOCATOR.dealloc(at.as_ptr(), layout) };
    }
}

/// Whole pages that a device may read and write while it has them.
#[derive(Debug)]
pub struct Buffer {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, as a box does.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Zeroed bytes, rounded up to pages; nothing if there is no room.
    pub fn new(bytes: usize) -> Option<Self> {
        let bytes = bytes.max(1).next_multiple_of(PAGE_SIZE);
        allocate(bytes).map(|at| Self { at, bytes })
    }

    /// The guest frame of the page with this byte, for grant operations.
    pub fn frame(&self, byte: usize) -> u64 {
        ((self.at.as_ptr() as usize + byte) / PAGE_SIZE) as u64
    }

    /// How many bytes there are.
    pub const fn size(&self) -> usize {
        self.bytes
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with that size and initialised; who has the buffer has no device that writes to it, as a
        // driver owns it meanwhile.
        unsafe { core::slice::from_raw_parts(self.at.as_ptr(), self.bytes) }
    }

    /// A part of the bytes, to be written, while a device may use the others; nothing if it is not inside.
    pub(super) fn part_mut(&mut self, from: usize, bytes: usize) -> Option<&mut [u8]> {
        if from.checked_add(bytes)? > self.bytes {
            return None;
        }
        let at = self.at.as_ptr().wrapping_add(from);
        // SAFETY: inside of what was allocated and initialised; the reference covers this part only, and is exclusive.
        Some(unsafe { core::slice::from_raw_parts_mut(at, bytes) })
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has a reference, as this one is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        free(self.at, self.bytes);
    }
}

/// Where a device finds a buffer.
pub(super) fn device_address(buffer: &Buffer) -> u64 {
    buffer.at.as_ptr() as u64 + OFFSET.load(Relaxed)
}

/// How the drivers get and name memory.
pub(crate) struct Memory;

// SAFETY: `dma_alloc` gives zeroed, page-aligned memory that nobody else has. Our map is an identity map and memory is
// coherent with devices, so an address of ours plus the constant is what a device uses, and sharing is nothing.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match allocate(pages.max(1) * PAGE_SIZE) {
            Some(at) => (at.as_ptr() as u64 + OFFSET.load(Relaxed), at),
            // The driver takes address 0 as "none".
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, at: NonNull<u8>, pages: usize) -> i32 {
        free(at, pages.max(1) * PAGE_SIZE);
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as u64 + OFFSET.load(Relaxed)
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
