//! Memory for tests: counts how often a byte is read, lets a hostile peer act between any two accesses, and stands still
//! when who writes to it has ended.
#![allow(dead_code, missing_docs, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::cell::{Cell, RefCell};

use hyp_pvio::memory::SharedMemory;

/// Pages of one process.
pub(crate) struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// How often each byte was copied out since [`Memory::forget_reads`].
    reads: RefCell<Vec<u8>>,
    /// After each copy, the bytes copied are changed by this much.
    pub(crate) hostile: Cell<u8>,
}

impl Memory {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: RefCell::new(vec![0; size]), reads: RefCell::new(vec![0; size]), hostile: Cell::new(0) }
    }

    pub(crate) fn poke(&self, offset: usize, value: u32) {
        self.bytes.borrow_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn peek(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes.borrow()[offset..offset + 4].try_into().unwrap())
    }

    pub(crate) fn fill(&self, from: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        let length = from.len().min(bytes.len());
        bytes[..length].copy_from_slice(&from[..length]);
    }

    pub(crate) fn forget_reads(&self) {
        self.reads.borrow_mut().fill(0);
    }

    pub(crate) fn most_reads(&self) -> u8 {
        self.reads.borrow().iter().copied().max().unwrap_or(0)
    }
}

impl SharedMemory for Memory {
    fn size(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn load(&self, offset: usize) -> u32 {
        assert_eq!(offset % 4, 0);
        self.peek(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        assert_eq!(offset % 4, 0);
        self.poke(offset, value);
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        let mut bytes = self.bytes.borrow_mut();
        let range = offset..offset + into.len();
        into.copy_from_slice(&bytes[range.clone()]);
        bytes[range.clone()].iter_mut().for_each(|byte| *byte = byte.wrapping_add(self.hostile.get()));
        self.reads.borrow_mut()[range].iter_mut().for_each(|count| *count = count.saturating_add(1));
    }

    fn write(&self, offset: usize, from: &[u8]) {
        self.bytes.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }

    fn fence(&self) {}
}

/// How much who writes to memory may still change before it ends: a byte, or a word at once.
#[derive(Debug)]
pub(crate) struct Life(Cell<u32>);

impl Life {
    pub(crate) const fn new(stores: u32) -> Self {
        Self(Cell::new(stores))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.get() == 0
    }

    /// How much it changed, of a life that began with all there can be.
    pub(crate) fn spent(&self) -> u32 {
        u32::MAX - self.0.get()
    }

    fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Memory as seen by who ends: nothing that it stores afterwards is there.
#[derive(Clone, Copy)]
pub(crate) struct Mortal<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) life: &'a Life,
}

impl SharedMemory for Mortal<'_> {
    fn size(&self) -> usize {
        self.memory.size()
    }

    fn load(&self, offset: usize) -> u32 {
        self.memory.load(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        if self.life.spend() {
            self.memory.store(offset, value);
        }
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        self.memory.read(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        for (at, byte) in (offset..).zip(from) {
            if self.life.spend() {
                self.memory.write(at, &[*byte]);
            }
        }
    }

    fn fence(&self) {}
}
