//! The deflate format (RFC 1951), unpacked in steps.
//!
//! Kernels are unpacked beside guests that run on the same CPU, so a step must be short whatever a file says. Libraries look
//! words up in tables of thousands of entries, which each block of a file makes anew in one go. Here a code is its symbols
//! in the order of their words, made in a few thousand instructions, and a word is found by its length (ADR 0018).

use crate::words::{WORD, set_word, word};

/// Bits of the longest word of a code.
const LONGEST: u32 = 15;
/// Symbols of the code of bytes and lengths of repetitions, of the code of distances, and of the code in which those two
/// are told. The last two of the first and of the second mean nothing (section 3.2.6).
const SYMBOLS: usize = 288;
const DISTANCES: usize = 32;
const TELLING: usize = 19;
const END_OF_BLOCK: usize = 256;
/// Work of making a block's two codes: as long as writing so many bytes takes.
const MAKING: usize = 128;

/// Why a stream cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It ends too early.
    CutOff,
    /// It breaks the format.
    Broken,
}

/// Why a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It has done its work.
    Budget,
    /// There is more output than room.
    Full,
    /// The stream has ended.
    End,
}

/// A canonical prefix code.
struct Code<const N: usize> {
    /// By length of words, from 1: the first longer word, filled up with zeros to [`LONGEST`] bits, and what makes of a word
    /// its place in `symbols`.
    lengths: [(u16, u16); LONGEST as usize],
    symbols: [u16; N],
}

impl<const N: usize> Code<N> {
    const fn new() -> Self {
        Self { lengths: [(0, 0); LONGEST as usize], symbols: [0; N] }
    }

    /// Makes the code in which the words of symbols have these lengths; 0 is a symbol without a word (section 3.2.2).
    #[inline(never)]
    fn make(&mut self, lengths: &[u8]) -> Result<(), Fault> {
        let mut places = [0u16; LONGEST as usize + 1];
        for length in lengths {
            let count = places.get_mut(usize::from(*length)).ok_or(Fault::Broken)?;
            *count = count.wrapping_add(1);
        }
        let (mut word, mut place, mut length) = (0u32, 0u16, 0u32);
        for row in &mut self.lengths {
            length = length.wrapping_add(1);
            let unused = LONGEST.wrapping_sub(length);
            let first = word;
            let count = places.get_mut(length as usize).ok_or(Fault::Broken)?;
            word = word.wrapping_add(u32::from(*count).wrapping_shl(unused));
            *row = (word as u16, place.wrapping_sub(first.wrapping_shr(unused) as u16));
            place = place.wrapping_add(core::mem::replace(count, place));
        }
        // There are words enough for all, and none is left over unless there is nothing to tell apart.
        if word != 1 << LONGEST && place > 1 {
            return Err(Fault::Broken);
        }
        let mut symbol = 0u16;
        for length in lengths {
            if let Some(place) = places.get_mut(usize::from(*length)).filter(|_| *length != 0) {
                *self.symbols.get_mut(usize::from(*place)).ok_or(Fault::Broken)? = symbol;
                *place = place.wrapping_add(1);
            }
            symbol = symbol.wrapping_add(1);
        }
        Ok(())
    }

    /// The symbol whose word these bits begin with, and the word's length.
    #[inline(always)]
    fn find(&self, bits: u64) -> Option<(usize, u32)> {
        let word = (bits as u16).reverse_bits() >> 1;
        let mut unused = LONGEST;
        for (end, place) in &self.lengths {
            unused = unused.wrapping_sub(1);
            if word < *end {
                let place = word.wrapping_shr(unused).wrapping_add(*place);
                let symbol = self.symbols.get(usize::from(place))?;
                return Some((usize::from(*symbol), LONGEST.wrapping_sub(unused)));
            }
        }
        None
    }
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    /// A block.
    Block,
    /// So many bytes as they are.
    Stored { left: usize },
    /// The length of the next symbol's word, with so many known of `all`, the first `symbols` of which are no distances.
    Length { known: usize, symbols: usize, all: usize },
    /// The codes, of words of lengths that are known now.
    Codes { symbols: usize, all: usize },
    /// A symbol.
    Symbol,
    /// So many bytes from so far back.
    Repetition { left: usize, back: usize },
    /// Nothing.
    Nothing,
}

/// How far a stream is unpacked: little more than a KiB.
pub(crate) struct Inflater {
    next: Next,
    last_block: bool,
    /// Bits that were read and not used, the next one lowest. Above `held` of them there may be more of the stream's.
    bits: u64,
    held: u32,
    /// Bytes that were read.
    read: usize,
    /// Bytes that were written.
    pub(crate) written: usize,
    lengths: [u8; SYMBOLS + DISTANCES],
    symbols: Code<SYMBOLS>,
    /// Also the code in which the codes are told, before they are.
    distances: Code<DISTANCES>,
}

impl Inflater {
    /// For a stream that begins at this offset of the input.
    pub(crate) const fn new(start: usize) -> Self {
        Self {
            next: Next::Block,
            last_block: false,
            bits: 0,
            held: 0,
            read: start,
            written: 0,
            lengths: [0; SYMBOLS + DISTANCES],
            symbols: Code::new(),
            distances: Code::new(),
        }
    }

    /// Does so much work, in bytes that are written: about what takes as long, and so much that a stream of nothing else ends.
    /// A block's codes count as [`MAKING`] and begin a step, however short. `out` is the place of the whole output, and holds
    /// what earlier steps wrote.
    #[inline(never)]
    pub(crate) fn step(&mut self, input: &[u8], out: &mut [u8], budget: usize) -> Result<Stop, Fault> {
        let mut left = budget;
        while left > 0 {
            self.fill(input);
            let work = match self.next {
                Next::Symbol => self.symbol(out)?,
                Next::Repetition { left: wanted, back } => self.repeat(out, wanted.min(left), wanted, back),
                Next::Length { known, symbols, all } => Some(self.length(known, symbols, all)?),
                Next::Block => Some(self.block(input)?),
                Next::Codes { .. } if left < budget => return Ok(Stop::Budget),
                Next::Codes { symbols, all } => Some(self.make(symbols, all)?),
                Next::Stored { left: wanted } => self.copy(input, out, wanted.min(left), wanted)?,
                Next::Nothing => return Ok(Stop::End),
            };
            let Some(work) = work else { return Ok(Stop::Full) };
            left = left.saturating_sub(work);
        }
        Ok(Stop::Budget)
    }

    /// Where in the input the first byte is that is not used.
    pub(crate) fn used(&self) -> usize {
        self.read.wrapping_sub(self.held as usize / 8)
    }

    /// Makes sure of 48 bits, which is what a repetition may have, or all that there are.
    #[inline(always)]
    fn fill(&mut self, input: &[u8]) {
        if self.held >= 48 {
            return;
        }
        if let Some(word) = word(input, self.read) {
            self.bits |= u64::from_le_bytes(word).wrapping_shl(self.held);
            let bytes = 63u32.wrapping_sub(self.held) / 8;
            self.read = self.read.wrapping_add(bytes as usize);
            self.held = self.held.wrapping_add(bytes.wrapping_mul(8));
            return;
        }
        while let Some(byte) = input.get(self.read).filter(|_| self.held < 48) {
            self.bits |= u64::from(*byte).wrapping_shl(self.held);
            self.read = self.read.wrapping_add(1);
            self.held = self.held.wrapping_add(8);
        }
    }

    /// Uses some bits, 32 at most.
    #[inline(always)]
    fn take(&mut self, count: u32) -> Result<usize, Fault> {
        self.held = self.held.checked_sub(count).ok_or(Fault::CutOff)?;
        let bits = self.bits & !u64::MAX.wrapping_shl(count);
        self.bits = self.bits.wrapping_shr(count);
        Ok(bits as usize)
    }

    /// Uses the word of a symbol that was looked for.
    #[inline(always)]
    fn found(&mut self, symbol: Option<(usize, u32)>) -> Result<usize, Fault> {
        match symbol {
            Some((symbol, length)) => self.take(length).map(|_| symbol),
            None if self.held < LONGEST => Err(Fault::CutOff),
            None => Err(Fault::Broken),
        }
    }

    /// Goes back to the first whole byte that is not used.
    fn align(&mut self) {
        self.read = self.used();
        (self.bits, self.held) = (0, 0);
    }

    fn end_block(&mut self) -> usize {
        self.next = Next::Block;
        if self.last_block {
            self.align();
            self.next = Next::Nothing;
        }
        1
    }

    /// The beginning of a block (sections 3.2.3 to 3.2.7).
    #[inline(never)]
    fn block(&mut self, input: &[u8]) -> Result<usize, Fault> {
        self.last_block = self.take(1)? == 1;
        match self.take(2)? {
            0 => {
                self.take(self.held % 8)?;
                let (left, inverse) = (self.take(16)?, self.take(16)?);
                if left ^ inverse != 0xffff {
                    return Err(Fault::Broken);
                }
                self.align();
                self.next = Next::Stored { left };
                Ok(if left == 0 { self.end_block() } else { 1 })
            }
            1 => {
                for (lengths, length) in [(0..144, 8), (144..256, 9), (256..280, 7), (280..288, 8), (288..320, 5)] {
                    self.lengths.get_mut(lengths).unwrap_or_default().fill(length);
                }
                self.next = Next::Codes { symbols: SYMBOLS, all: SYMBOLS + DISTANCES };
                Ok(1)
            }
            2 => {
                let symbols = self.take(5)?.wrapping_add(257);
                let all = self.take(5)?.wrapping_add(1).wrapping_add(symbols);
                let told = self.take(4)?.wrapping_add(4);
                let mut lengths = [0; TELLING];
                for at in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(told) {
                    self.fill(input);
                    *lengths.get_mut(at).ok_or(Fault::Broken)? = self.take(3)? as u8;
                }
                self.distances.make(&lengths)?;
                self.next = Next::Length { known: 0, symbols, all };
                Ok(TELLING)
            }
            _ => Err(Fault::Broken),
        }
    }

    /// The lengths of one or more symbols' words, all alike (section 3.2.7).
    #[inline(never)]
    fn length(&mut self, known: usize, symbols: usize, all: usize) -> Result<usize, Fault> {
        let (length, count) = match self.found(self.distances.find(self.bits))? {
            16 => {
                let last = known.checked_sub(1).and_then(|last| self.lengths.get(last)).ok_or(Fault::Broken)?;
                (*last, self.take(2)?.wrapping_add(3))
            }
            17 => (0, self.take(3)?.wrapping_add(3)),
            18 => (0, self.take(7)?.wrapping_add(11)),
            length => (length as u8, 1),
        };
        let end = known.wrapping_add(count);
        self.lengths.get_mut(known..end).filter(|_| end <= all).ok_or(Fault::Broken)?.fill(length);
        self.next = if end == all { Next::Codes { symbols, all } } else { Next::Length { known: end, symbols, all } };
        Ok(2)
    }

    /// Makes a block's codes.
    fn make(&mut self, symbols: usize, all: usize) -> Result<usize, Fault> {
        self.symbols.make(self.lengths.get(..symbols).ok_or(Fault::Broken)?)?;
        self.distances.make(self.lengths.get(symbols..all).ok_or(Fault::Broken)?)?;
        self.next = Next::Symbol;
        Ok(MAKING)
    }

    /// A byte, or the beginning of a repetition (section 3.2.5). `None`: there is no room.
    #[inline(always)]
    fn symbol(&mut self, out: &mut [u8]) -> Result<Option<usize>, Fault> {
        let symbol = self.found(self.symbols.find(self.bits))?;
        if symbol < END_OF_BLOCK {
            let Some(place) = out.get_mut(self.written) else { return Ok(None) };
            *place = symbol as u8;
            self.written = self.written.wrapping_add(1);
            return Ok(Some(1));
        }
        if symbol == END_OF_BLOCK {
            return Ok(Some(self.end_block()));
        }
        let left = match symbol.wrapping_sub(257) {
            short @ ..8 => short.wrapping_add(3),
            long @ ..28 => self.scaled(4, long)?.wrapping_add(3),
            28 => 258,
            _ => return Err(Fault::Broken),
        };
        let back = match self.found(self.distances.find(self.bits))? {
            near @ ..4 => near.wrapping_add(1),
            far @ ..30 => self.scaled(2, far)?.wrapping_add(1),
            _ => return Err(Fault::Broken),
        };
        if back > self.written {
            return Err(Fault::Broken);
        }
        self.next = Next::Repetition { left, back };
        Ok(Some(2))
    }

    /// A number of which a symbol is the highest bits, and its weight: `steps` symbols in a row have as many bits below.
    #[inline(always)]
    fn scaled(&mut self, steps: usize, symbol: usize) -> Result<usize, Fault> {
        let bits = (symbol / steps).wrapping_sub(1) as u32;
        Ok(steps.wrapping_add(symbol % steps).wrapping_shl(bits) | self.take(bits)?)
    }

    /// Repeats at most `now` of `left` bytes.
    #[inline(always)]
    fn repeat(&mut self, out: &mut [u8], now: usize, left: usize, back: usize) -> Option<usize> {
        let (from, to) = (self.written.wrapping_sub(back), self.written);
        let now = now.min(out.len().saturating_sub(to));
        let mut done = 0usize;
        while back >= WORD && now.wrapping_sub(done) >= WORD {
            set_word(out, to.wrapping_add(done), word(out, from.wrapping_add(done))?)?;
            done = done.wrapping_add(WORD);
        }
        while done < now {
            *out.get_mut(to.wrapping_add(done))? = *out.get(from.wrapping_add(done))?;
            done = done.wrapping_add(1);
        }
        self.written = to.wrapping_add(done);
        let left = left.wrapping_sub(done);
        self.next = if left == 0 { Next::Symbol } else { Next::Repetition { left, back } };
        Some(done).filter(|done| *done > 0)
    }

    /// Copies at most `now` of `left` stored bytes.
    fn copy(&mut self, input: &[u8], out: &mut [u8], now: usize, left: usize) -> Result<Option<usize>, Fault> {
        // Whatever was read ahead comes from there again.
        self.align();
        let now = now.min(out.len().saturating_sub(self.written));
        let (read, written) = (self.read.wrapping_add(now), self.written.wrapping_add(now));
        let from = input.get(self.read..read).ok_or(Fault::CutOff)?;
        let Some(to) = out.get_mut(self.written..written) else { return Ok(None) };
        to.copy_from_slice(from);
        (self.read, self.written) = (read, written);
        self.next = Next::Stored { left: left.wrapping_sub(now) };
        if now == left {
            self.end_block();
        }
        Ok(Some(now).filter(|now| *now > 0))
    }
}
