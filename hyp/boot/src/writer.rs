//! Writes flattened device trees, version 17, into a buffer that the caller gives.
//!
//! Guests' trees are written at EL2, where nothing allocates; the crate that reads trees needs a heap to build one. A
//! tree is three blocks (Devicetree Specification, chapter 5): reservations, structure, strings. The structure grows
//! in the buffer; the strings, known only at the end, wait in a small table. Running out of room is remembered and
//! reported once, by [`Writer::finish`].

use heapless::Vec;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
/// Header of ten words, then one empty reservation of 16 bytes.
const HEADER_BYTES: usize = 40;
const STRUCTURE: usize = HEADER_BYTES + 16;
/// Names of all properties that a guest's tree has, each once, with its NUL. Ours take some 250 bytes, the rest is for a
/// partial tree's.
const STRINGS: usize = 1024;

/// A tree being written.
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    used: usize,
    strings: Vec<u8, STRINGS>,
    full: bool,
}

impl<'b> Writer<'b> {
    /// Starts a tree; the root node is still to be begun, with an empty name.
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        let mut writer = Self { buffer, used: 0, strings: Vec::new(), full: false };
        writer.bytes(&[0; STRUCTURE]);
        writer
    }

    /// Opens a node.
    pub(crate) fn begin(&mut self, name: &str) {
        self.word(BEGIN_NODE);
        self.bytes(name.as_bytes());
        self.bytes(&[0]);
        self.pad();
    }

    /// Opens a node named `name@unit`, the unit in hexadecimal.
    pub(crate) fn begin_at(&mut self, name: &str, unit: u64) {
        self.word(BEGIN_NODE);
        self.bytes(name.as_bytes());
        self.bytes(b"@");
        let digits = (64 - unit.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let value = (unit >> (digit * 4)) as u8 & 15;
            self.bytes(&[value + if value < 10 { b'0' } else { b'a' - 10 }]);
        }
        self.bytes(&[0]);
        self.pad();
    }

    /// Closes the node opened last.
    pub(crate) fn end(&mut self) {
        self.word(END_NODE);
    }

    /// A property of raw bytes.
    pub(crate) fn property(&mut self, name: &str, value: &[u8]) {
        self.start_property(name, value.len());
        self.bytes(value);
        self.pad();
    }

    /// The same, its value at a multiple of 8 bytes. Returns at which.
    pub(crate) fn aligned_property(&mut self, name: &str, value: &[u8]) -> usize {
        if self.used.is_multiple_of(8) {
            self.word(NOP);
        }
        self.start_property(name, value.len());
        let at = self.used;
        self.bytes(value);
        self.pad();
        at
    }

    /// A property that is one string, or several when they are joined by NULs.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.start_property(name, value.len().saturating_add(1));
        self.bytes(value.as_bytes());
        self.bytes(&[0]);
        self.pad();
    }

    /// A property of 32-bit cells.
    pub(crate) fn cells(&mut self, name: &str, value: &[u32]) {
        self.start_property(name, value.len().saturating_mul(4));
        for cell in value {
            self.word(*cell);
        }
    }

    /// Finishes the tree. Returns its size in bytes, or `None` when the buffer was too small.
    pub(crate) fn finish(mut self) -> Option<usize> {
        self.word(END);
        let strings_at = self.used;
        let strings = core::mem::take(&mut self.strings);
        self.bytes(&strings);
        let size = self.used;
        let words = [
            MAGIC,
            size as u32,
            STRUCTURE as u32,
            strings_at as u32,
            HEADER_BYTES as u32,
            17,
            16,
            0,
            strings.len() as u32,
            strings_at.saturating_sub(STRUCTURE) as u32,
        ];
        self.used = 0;
        for word in words {
            self.word(word);
        }
        (!self.full).then_some(size)
    }

    fn start_property(&mut self, name: &str, size: usize) {
        let offset = self.string(name);
        self.word(PROPERTY);
        self.word(size as u32);
        self.word(offset);
    }

    /// Offset of a property's name in the strings, put there when it is new.
    fn string(&mut self, name: &str) -> u32 {
        let mut offset = 0;
        for known in self.strings.split(|byte| *byte == 0) {
            if known == name.as_bytes() {
                return offset;
            }
            offset = offset.saturating_add(known.len() as u32).saturating_add(1);
        }
        let offset = self.strings.len() as u32;
        let stored = self.strings.extend_from_slice(name.as_bytes()).is_ok() && self.strings.push(0).is_ok();
        self.full |= !stored;
        offset
    }

    fn word(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    fn pad(&mut self) {
        while !self.used.is_multiple_of(4) && !self.full {
            self.bytes(&[0]);
        }
    }

    fn bytes(&mut self, value: &[u8]) {
        let end = self.used.saturating_add(value.len());
        match self.buffer.get_mut(self.used..end) {
            Some(place) => {
                place.copy_from_slice(value);
                self.used = end;
            }
            None => self.full = true,
        }
    }
}
