//! LZMA2: chunks that are as they were, or packed by LZMA into bytes and repetitions of what came before.
//!
//! Unpacked in steps straight to where the bytes belong, which is also all that repetitions may refer to: nothing else has
//! to be kept but the chances of the stream's bits, some 28 KiB. The libraries that there are want the dictionary beside,
//! 32 MiB for a kernel (ADR 0017).
//!
//! Source: Igor Pavlov's `lzma-specification.txt`, in the public domain, and `Lzma2Dec.c` of the LZMA SDK, also in the public
//! domain, for what a chunk begins with.

use super::Complaint;
use super::range::{EVEN, Range};

const CUT_OFF: Complaint = "is packed by xz and cut off: load all of it";
const DAMAGED: Complaint = "is packed by xz and damaged: make it again";
const MORE: Complaint = "is packed by xz and unpacks to more than its last bytes say: make it again";

/// Places of the chances. Where there is one for each of the last symbols' 12 kinds and for each of 16 places:
const KINDS: usize = 12;
const PLACES: usize = 16;
const IS_REPETITION: usize = 0;
const IS_OLD_PLACE: usize = IS_REPETITION + KINDS * PLACES;
const IS_NOT_LAST: usize = IS_OLD_PLACE + KINDS;
const IS_NOT_SECOND: usize = IS_NOT_LAST + KINDS;
const IS_NOT_THIRD: usize = IS_NOT_SECOND + KINDS;
const IS_LONG: usize = IS_NOT_THIRD + KINDS;
const LENGTHS: usize = IS_LONG + KINDS * PLACES;
/// Of a length: whether it is short, whether it is middling, then the three trees.
const LENGTH_SHORT: usize = 2;
const LENGTH_MIDDLING: usize = LENGTH_SHORT + PLACES * 8;
const LENGTH_LONG: usize = LENGTH_MIDDLING + PLACES * 8;
const OLD_PLACES_LENGTHS: usize = LENGTHS + LENGTH_LONG + 256;
const SLOTS: usize = OLD_PLACES_LENGTHS + LENGTH_LONG + 256;
/// Of a distance: the slot by the length's four kinds, then the bits below by slot, then the lowest four.
const SLOT_BITS: u32 = 6;
const NEAR: usize = SLOTS + 4 * 64;
const FIRST_FAR_SLOT: usize = 14;
const LOWEST: usize = NEAR + 115;
const LOWEST_BITS: u32 = 4;
const BYTES: usize = LOWEST + 16;
const FOR_A_BYTE: usize = 0x300;
/// Bits of the last byte and of the place that choose a byte's chances: at most four (`xz-file-format.txt`, 5.3.1).
const CONTEXT_BITS: u32 = 4;
/// The chances that there are.
pub(super) const CHANCES: usize = BYTES + (FOR_A_BYTE << CONTEXT_BITS);

/// The shortest repetition, of those that have a length.
const SHORTEST: usize = 2;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The header of a chunk.
    Chunk,
    /// Bytes as they are.
    Plain,
    /// Symbols.
    Symbols,
}

/// How far a stream is unpacked.
pub(super) struct Unpacker<'r> {
    next: Next,
    range: Range,
    written: usize,
    /// Where the chunk ends in the output.
    end: usize,
    /// Where what repetitions refer to begins in the output, once a chunk has said so.
    dictionary: Option<usize>,
    /// A chunk has said how the model is shaped.
    is_shaped: bool,
    model: Model<'r>,
}

/// What is known of the symbols to come.
struct Model<'r> {
    chances: &'r mut [u16],
    /// What the last symbols were: below 7 the very last was a byte.
    kind: usize,
    /// The last four distances, less one.
    distances: [usize; 4],
    /// Bits of the last byte that choose a byte's chances, and masks of the place for that and for all others.
    byte_bits: u32,
    byte_mask: usize,
    place_mask: usize,
}

impl<'r> Unpacker<'r> {
    /// At the beginning of a stream that begins at `read`; `chances` has room for [`CHANCES`].
    pub(super) fn new(chances: &'r mut [u16]) -> Self {
        let model = Model { chances, kind: 0, distances: [0; 4], byte_bits: 0, byte_mask: 0, place_mask: 0 };
        let range = Range::default();
        Self { next: Next::Chunk, range, written: 0, end: 0, dictionary: None, is_shaped: false, model }
    }

    /// Starts at the beginning of a stream again.
    pub(super) fn start(&mut self, read: usize) {
        self.next = Next::Chunk;
        self.range = Range::default();
        self.range.read = read;
        (self.written, self.dictionary, self.is_shaped) = (0, None, false);
    }

    /// How far the file has been read.
    pub(super) fn read(&self) -> usize {
        self.range.read
    }

    /// Bytes that have been written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Unpacks the next bytes, at most `budget` of them and what the last symbol gives. Returns whether the stream is done.
    pub(super) fn step(&mut self, file: &[u8], out: &mut [u8], budget: usize) -> Result<bool, Complaint> {
        let stop = out.len().min(self.written.saturating_add(budget));
        loop {
            match self.next {
                Next::Chunk => {
                    let control = self.byte(file)?;
                    if control == 0 {
                        return Ok(true);
                    }
                    if self.begin_chunk(file, control, out.len())? {
                        // Forgetting takes as long as a step.
                        return Ok(false);
                    }
                }
                _ if self.written >= stop => return Ok(false),
                Next::Plain => self.plain(file, out, stop)?,
                Next::Symbols => self.symbols(file, out, stop).ok_or(DAMAGED)?,
            }
            if self.written == self.end && self.next != Next::Chunk {
                if self.next == Next::Symbols && !self.range.is_finished(file) {
                    return Err(DAMAGED);
                }
                self.next = Next::Chunk;
            }
        }
    }

    fn byte(&mut self, file: &[u8]) -> Result<u8, Complaint> {
        let byte = *file.get(self.range.read).ok_or(CUT_OFF)?;
        self.range.read = self.range.read.wrapping_add(1);
        Ok(byte)
    }

    fn half(&mut self, file: &[u8]) -> Result<usize, Complaint> {
        Ok(u16::from_be_bytes([self.byte(file)?, self.byte(file)?]).into())
    }

    /// Reads the header of a chunk; whether the model was made new.
    fn begin_chunk(&mut self, file: &[u8], control: u8, room: usize) -> Result<bool, Complaint> {
        let packed = control & 0x80 != 0;
        // What is forgotten: nothing, what the model knows, its shape too, the dictionary too.
        let forgets = if packed { control >> 5 & 3 } else { 0 };
        if control == 1 || forgets == 3 {
            self.dictionary = Some(self.written);
        }
        if self.dictionary.is_none() || (!packed && control > 2) {
            return Err(DAMAGED);
        }
        let high = if packed { usize::from(control & 0x1f) << 16 } else { 0 };
        let size = (high | self.half(file)?).wrapping_add(1);
        self.end = self.written.saturating_add(size);
        if self.end > room {
            return Err(MORE);
        }
        if !packed {
            self.next = Next::Plain;
            self.is_shaped &= control != 1;
            return Ok(false);
        }
        let size = self.half(file)?.wrapping_add(1);
        if forgets >= 2 {
            let shape = self.byte(file)?;
            self.model.set_shape(shape).ok_or(DAMAGED)?;
            self.is_shaped = true;
        }
        if !self.is_shaped {
            return Err(DAMAGED);
        }
        if forgets != 0 {
            self.model.forget();
        }
        let end = self.range.read.saturating_add(size);
        if end > file.len() {
            return Err(CUT_OFF);
        }
        self.range = Range::begin(file, self.range.read, end).ok_or(DAMAGED)?;
        self.next = Next::Symbols;
        Ok(forgets != 0)
    }

    fn plain(&mut self, file: &[u8], out: &mut [u8], stop: usize) -> Result<(), Complaint> {
        let count = self.end.min(stop).saturating_sub(self.written);
        let read = self.range.read.saturating_add(count);
        let written = self.written.saturating_add(count);
        let from = file.get(self.range.read..read).ok_or(CUT_OFF)?;
        out.get_mut(self.written..written).ok_or(MORE)?.copy_from_slice(from);
        (self.range.read, self.written) = (read, written);
        Ok(())
    }

    fn symbols(&mut self, file: &[u8], out: &mut [u8], stop: usize) -> Option<()> {
        let start = self.dictionary?;
        let out = out.get_mut(start..self.end)?;
        let (mut at, stop) = (self.written.checked_sub(start)?, stop.min(self.end).checked_sub(start)?);
        while at < stop {
            let (model, range) = (&mut self.model, &mut self.range);
            let place = at & model.place_mask;
            let is_repetition = IS_REPETITION.wrapping_add(model.kind << 4).wrapping_add(place);
            if range.bit(file, model.chances, is_repetition)? == 0 {
                let byte = model.byte(range, file, out, at)?;
                *out.get_mut(at)? = byte;
                at = at.wrapping_add(1);
            } else {
                let length = model.repetition(range, file, place)?;
                let [distance, ..] = model.distances;
                repeat(out, at, distance, length)?;
                at = at.wrapping_add(length);
            }
            self.written = start.wrapping_add(at);
        }
        Some(())
    }
}

/// Repeats `length` bytes from `distance` and one bytes before `at`.
#[inline(always)]
fn repeat(out: &mut [u8], at: usize, distance: usize, length: usize) -> Option<()> {
    let mut from = at.checked_sub(distance)?.checked_sub(1)?;
    let end = at.wrapping_add(length);
    let out = out.get_mut(..end)?;
    for to in at..end {
        let byte = *out.get(from)?;
        *out.get_mut(to)? = byte;
        from = from.wrapping_add(1);
    }
    Some(())
}

impl Model<'_> {
    /// Takes the properties of LZMA: how many bits choose a chance.
    fn set_shape(&mut self, shape: u8) -> Option<()> {
        let (byte_bits, rest) = (u32::from(shape % 9), shape / 9);
        let (byte_places, places) = (u32::from(rest % 5), rest / 5);
        if places > 4 || byte_bits.wrapping_add(byte_places) > CONTEXT_BITS {
            return None;
        }
        self.byte_bits = byte_bits;
        self.byte_mask = (1usize << byte_places).wrapping_sub(1);
        self.place_mask = (1usize << places).wrapping_sub(1);
        Some(())
    }

    /// Forgets all but the shape.
    fn forget(&mut self) {
        self.chances.fill(EVEN);
        self.kind = 0;
        self.distances = [0; 4];
    }

    /// Reads a byte, whose chances depend on the one before and, after a repetition, on the one that would have been repeated
    /// next.
    #[inline(always)]
    fn byte(&mut self, range: &mut Range, file: &[u8], out: &[u8], at: usize) -> Option<u8> {
        let last = at.checked_sub(1).map_or(Some(0), |last| out.get(last).copied())?;
        let context = (at & self.byte_mask) << self.byte_bits | usize::from(last) >> 8u32.wrapping_sub(self.byte_bits);
        let chances = BYTES.wrapping_add(context.wrapping_mul(FOR_A_BYTE));
        let chances = self.chances.get_mut(chances..)?.get_mut(..FOR_A_BYTE)?;
        let kind = self.kind;
        self.kind = kind.saturating_sub(if kind < 10 { 3 } else { 6 });
        if kind < 7 {
            return range.tree(file, chances, 0, 8).map(|byte| byte as u8);
        }
        let [distance, ..] = self.distances;
        let mut expected = usize::from(*out.get(at.checked_sub(distance)?.checked_sub(1)?)?);
        let (mut symbol, mut agrees) = (1usize, 0x100);
        while symbol < 0x100 {
            expected <<= 1;
            let other = expected & agrees;
            let bit = range.bit(file, chances, agrees.wrapping_add(other).wrapping_add(symbol))?;
            symbol = symbol << 1 | bit;
            agrees &= if bit == 0 { !other } else { other };
        }
        Some(symbol as u8)
    }

    /// Reads the distance and the length of a repetition, and returns the length.
    fn repetition(&mut self, range: &mut Range, file: &[u8], place: usize) -> Option<usize> {
        let kind = self.kind;
        let after_byte = kind < 7;
        if range.bit(file, self.chances, IS_OLD_PLACE.wrapping_add(kind))? == 0 {
            let length = self.length(range, file, LENGTHS, place)?;
            let distance = self.distance(range, file, length)?;
            let [first, second, third, _] = self.distances;
            self.distances = [distance, first, second, third];
            self.kind = if after_byte { 7 } else { 10 };
            return Some(length);
        }
        if range.bit(file, self.chances, IS_NOT_LAST.wrapping_add(kind))? == 0 {
            if range.bit(file, self.chances, IS_LONG.wrapping_add(kind << 4).wrapping_add(place))? == 0 {
                self.kind = if after_byte { 9 } else { 11 };
                return Some(1);
            }
        } else {
            self.take_older(range, file)?;
        }
        self.kind = if after_byte { 8 } else { 11 };
        self.length(range, file, OLD_PLACES_LENGTHS, place)
    }

    /// Brings the second, third or fourth of the last distances to the front.
    fn take_older(&mut self, range: &mut Range, file: &[u8]) -> Option<()> {
        let kind = self.kind;
        let [first, second, third, fourth] = self.distances;
        self.distances = if range.bit(file, self.chances, IS_NOT_SECOND.wrapping_add(kind))? == 0 {
            [second, first, third, fourth]
        } else if range.bit(file, self.chances, IS_NOT_THIRD.wrapping_add(kind))? == 0 {
            [third, first, second, fourth]
        } else {
            [fourth, first, second, third]
        };
        Some(())
    }

    fn length(&mut self, range: &mut Range, file: &[u8], at: usize, place: usize) -> Option<usize> {
        let chances = self.chances.get_mut(at..)?;
        let (shorter, tree, bits) = if range.bit(file, chances, 0)? == 0 {
            (0, LENGTH_SHORT.wrapping_add(place << 3), 3)
        } else if range.bit(file, chances, 1)? == 0 {
            (8, LENGTH_MIDDLING.wrapping_add(place << 3), 3)
        } else {
            (16, LENGTH_LONG, 8)
        };
        Some(range.tree(file, chances, tree, bits)?.wrapping_add(shorter).wrapping_add(SHORTEST))
    }

    /// Reads a new distance, less one.
    fn distance(&mut self, range: &mut Range, file: &[u8], length: usize) -> Option<usize> {
        let slots = SLOTS.wrapping_add(length.wrapping_sub(SHORTEST).min(3) << SLOT_BITS);
        let slot = range.tree(file, self.chances, slots, SLOT_BITS)?;
        if slot < 4 {
            return Some(slot);
        }
        let bits = (slot as u32 >> 1).wrapping_sub(1);
        let start = (2 | slot & 1) << bits;
        if slot < FIRST_FAR_SLOT {
            let tree = NEAR.wrapping_add(start).wrapping_sub(slot);
            return Some(start | range.tree_from_below(file, self.chances, tree, bits)?);
        }
        let high = range.even(file, bits.wrapping_sub(LOWEST_BITS))?;
        let low = range.tree_from_below(file, self.chances, LOWEST, LOWEST_BITS)?;
        Some(start.wrapping_add(high << LOWEST_BITS).wrapping_add(low))
    }
}
