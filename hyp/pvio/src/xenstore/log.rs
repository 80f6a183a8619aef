//! Batches of bytes in memory that outlives who writes them.
//!
//! A writer may end at any instruction, and its next life finds every batch whose writing came to an end, and nothing of
//! one that did not. The memory has two halves. Batches follow each other in one of them, each behind its length and its
//! checksum; the length is stored last, and the word that comes behind is made 0 before. When a half is full, everything
//! that still counts goes as one batch into the other half, whose number is stored last and is then the newer one.

use alloc::vec::Vec;

use crate::memory::SharedMemory;

/// Says that this is such a half, and how what is in it is laid out.
const MAGIC: u32 = 0x5853_0001;
/// Where the number of a half is (`u32`); 0 where nothing is in it.
const NUMBER: usize = 4;
/// Where the first batch is.
const BATCHES: usize = 8;
/// Bytes before a batch: its length and its checksum, of 4 each.
const HEADER: usize = 8;

/// A batch does not fit into a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A half of the memory.
#[derive(Clone, Copy)]
struct Half {
    start: usize,
    number: u32,
    /// Where its next batch goes, from its start on.
    end: usize,
}

/// The memory.
pub(super) struct Log<M> {
    memory: M,
    /// The half in use.
    half: Option<Half>,
}

impl<M: SharedMemory> Log<M> {
    /// The log, and the batches in it.
    pub(super) fn open(memory: M) -> (Self, Vec<Vec<u8>>) {
        let mut log = Self { memory, half: None };
        let mut halves = [0, log.size()].map(|start| Half { start, number: log.number(start), end: BATCHES });
        if halves[0].number.wrapping_sub(halves[1].number).cast_signed() < 0 {
            halves.reverse();
        }
        for mut half in halves.into_iter().filter(|half| half.number != 0) {
            let batches: Vec<Vec<u8>> = core::iter::from_fn(|| log.next(&mut half)).collect();
            if !batches.is_empty() {
                log.half = Some(half);
                return (log, batches);
            }
        }
        (log, Vec::new())
    }

    /// Bytes of a half, a multiple of 4.
    fn size(&self) -> usize {
        self.memory.size() / 8 * 4
    }

    fn number(&self, start: usize) -> u32 {
        let is_half = self.size() >= BATCHES && self.memory.load(start) == MAGIC;
        if is_half { self.memory.load(start + NUMBER) } else { 0 }
    }

    /// Where a batch ends that begins at `end`, if there is room for it and for the word behind it.
    fn after(&self, end: usize, length: usize) -> Option<usize> {
        let after = length.checked_next_multiple_of(4)?.checked_add(end + HEADER)?;
        (after.checked_add(4)? <= self.size()).then_some(after)
    }

    /// The next batch of a half.
    fn next(&self, half: &mut Half) -> Option<Vec<u8>> {
        let at = half.start + half.end;
        let length = self.memory.load(at) as usize;
        let after = self.after(half.end, length).filter(|_| length > 0)?;
        let mut batch = alloc::vec![0; length];
        self.memory.read(at + HEADER, &mut batch);
        if self.memory.load(at + 4) != checksum(half, &batch) {
            return None;
        }
        half.end = after;
        Some(batch)
    }

    fn write(&self, half: &mut Half, batch: &[u8]) -> Result<(), Full> {
        let after = self.after(half.end, batch.len()).ok_or(Full)?;
        let at = half.start + half.end;
        self.memory.write(at + HEADER, batch);
        self.memory.store(half.start + after, 0);
        self.memory.store(at + 4, checksum(half, batch));
        self.memory.store(at, batch.len() as u32);
        half.end = after;
        Ok(())
    }

    /// Adds a batch, which is not empty.
    ///
    /// # Errors
    /// There is no room for it behind the others, or no first one: then all that counts is to be [put](Self::put).
    pub(super) fn append(&mut self, batch: &[u8]) -> Result<(), Full> {
        let mut half = self.half.ok_or(Full)?;
        self.write(&mut half, batch)?;
        self.half = Some(half);
        Ok(())
    }

    /// Puts a batch in the place of all those that are there.
    ///
    /// # Errors
    /// It is larger than a half; then what was there is still there.
    pub(super) fn put(&mut self, batch: &[u8]) -> Result<(), Full> {
        let (start, number) = match self.half {
            Some(Half { start: 0, number, .. }) => (self.size(), number),
            Some(Half { number, .. }) => (0, number),
            None => (0, 0),
        };
        let mut half = Half { start, number: number.checked_add(1).unwrap_or(1), end: BATCHES };
        self.after(half.end, batch.len()).ok_or(Full)?;
        self.memory.store(start + NUMBER, 0);
        self.write(&mut half, batch)?;
        self.memory.store(start, MAGIC);
        self.memory.store(start + NUMBER, half.number);
        self.half = Some(half);
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.half = None;
        let starts = [0, self.size()].into_iter().filter(|_| self.size() >= BATCHES);
        starts.for_each(|start| self.memory.store(start + NUMBER, 0));
    }
}

/// Of a batch at its place (FNV-1a, 32 bits).
fn checksum(half: &Half, batch: &[u8]) -> u32 {
    let place = [half.number, half.end as u32].map(u32::to_le_bytes);
    let bytes = place.iter().flatten().chain(batch);
    bytes.fold(0x811C_9DC5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
