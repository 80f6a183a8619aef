//! Memory that somebody else can change at any time.
//!
//! A page shared with another guest is no Rust memory: a reference to it would promise that it stands still. So it is
//! reached through this trait, by copies. How a copy is made, volatile and in which order, is the business of who mapped
//! the page, and the only part that needs `unsafe`; tests bring a memory that misbehaves on purpose.

/// Pages that are shared with a peer.
///
/// An implementation holds to this:
/// - [`load`](Self::load) reads the word once and is ordered before every later access (acquire);
/// - [`store`](Self::store) is ordered after every earlier access (release);
/// - [`fence`](Self::fence) orders everything before it before everything after it, a store before a load too;
/// - [`read`](Self::read) and [`write`](Self::write) touch each byte once, in any order;
/// - what is not below [`size`](Self::size) is not touched; this crate asks for none of it.
pub trait SharedMemory {
    /// How many bytes there are. It never changes.
    fn size(&self) -> usize;
    /// The word at `offset`, a multiple of 4.
    fn load(&self, offset: usize) -> u32;
    /// Sets the word at `offset`, a multiple of 4.
    fn store(&self, offset: usize, value: u32);
    /// Copies the bytes from `offset` on.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies bytes to `offset`.
    fn write(&self, offset: usize, from: &[u8]);
    /// Orders what came before before what comes after.
    fn fence(&self);
}

impl<M: SharedMemory + ?Sized> SharedMemory for &M {
    fn size(&self) -> usize {
        (**self).size()
    }

    fn load(&self, offset: usize) -> u32 {
        (**self).load(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        (**self).store(offset, value);
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        (**self).read(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        (**self).write(offset, from);
    }

    fn fence(&self) {
        (**self).fence();
    }
}
