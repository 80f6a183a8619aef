//! The range decoder of LZMA: bits, each with a chance that is learnt from the bits before it.
//!
//! Source: Igor Pavlov's `lzma-specification.txt`, in the public domain.

/// A chance is of 2,048; at the beginning it is even.
const CHANCE_BITS: u32 = 11;
pub(super) const EVEN: u16 = 1 << (CHANCE_BITS - 1);
/// How fast it is learnt: by a part in 32.
const RATE: u32 = 5;
/// Below it the range gets another byte.
const TOP: u32 = 1 << 24;

/// Where a decoder is. `None` from any of its methods means that there are no more bytes, or no chance at such a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    /// The next byte in the file.
    pub(super) read: usize,
    /// Where its bytes end.
    pub(super) end: usize,
    range: u32,
    code: u32,
}

impl Range {
    /// Begins with the bytes at `read`, which end at `end`.
    pub(super) fn begin(file: &[u8], read: usize, end: usize) -> Option<Self> {
        let (zero, code) = file.get(read..end)?.get(..5)?.split_first()?;
        let code = u32::from_be_bytes(code.try_into().ok()?);
        (*zero == 0).then_some(Self { read: read.wrapping_add(5), end, range: u32::MAX, code })
    }

    /// Whether all has been read, and was well.
    pub(super) fn is_finished(&mut self, file: &[u8]) -> bool {
        self.refill(file).is_some() && self.code == 0 && self.read == self.end
    }

    #[inline(always)]
    fn refill(&mut self, file: &[u8]) -> Option<()> {
        if self.range < TOP {
            if self.read >= self.end {
                return None;
            }
            let byte = *file.get(self.read)?;
            self.read = self.read.wrapping_add(1);
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
        }
        Some(())
    }

    /// A bit whose chance is at `at`.
    #[inline(always)]
    pub(super) fn bit(&mut self, file: &[u8], chances: &mut [u16], at: usize) -> Option<usize> {
        self.refill(file)?;
        let chance = chances.get_mut(at)?;
        let bound = (self.range >> CHANCE_BITS).wrapping_mul(u32::from(*chance));
        if self.code < bound {
            self.range = bound;
            *chance = chance.wrapping_add((1u16 << CHANCE_BITS).wrapping_sub(*chance) >> RATE);
            Some(0)
        } else {
            self.range = self.range.wrapping_sub(bound);
            self.code = self.code.wrapping_sub(bound);
            *chance = chance.wrapping_sub(*chance >> RATE);
            Some(1)
        }
    }

    /// A number of so many bits, the highest first; their chances are a tree from `at` on.
    #[inline(never)]
    pub(super) fn tree(&mut self, file: &[u8], chances: &mut [u16], at: usize, bits: u32) -> Option<usize> {
        let mut symbol = 1;
        let mut range = *self;
        while symbol >> bits == 0 {
            symbol = symbol << 1 | range.bit(file, chances, at.wrapping_add(symbol))?;
        }
        *self = range;
        Some(symbol.wrapping_sub(1 << bits))
    }

    /// The same with the lowest bit first.
    pub(super) fn tree_from_below(&mut self, file: &[u8], chances: &mut [u16], at: usize, bits: u32) -> Option<usize> {
        let (mut symbol, mut number) = (1, 0);
        for place in 0..bits {
            let bit = self.bit(file, chances, at.wrapping_add(symbol))?;
            symbol = symbol << 1 | bit;
            number |= bit << place;
        }
        Some(number)
    }

    /// A number of so many bits that have no chances, the highest first.
    pub(super) fn even(&mut self, file: &[u8], bits: u32) -> Option<usize> {
        let mut number = 0;
        for _ in 0..bits {
            self.refill(file)?;
            self.range >>= 1;
            let bit = self.code >= self.range;
            self.code = if bit { self.code.wrapping_sub(self.range) } else { self.code };
            number = number << 1 | usize::from(bit);
        }
        Some(number)
    }
}
