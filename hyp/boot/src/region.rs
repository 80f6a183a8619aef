//! A range of addresses. Half of this crate compares them, so the comparisons are in one place and never overflow.

use core::fmt;

/// `size` bytes from `start`; host-physical or guest-physical as the context says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub size: u64,
}

impl Region {
    /// `size` bytes from `start`.
    pub const fn new(start: u64, size: u64) -> Self {
        Self { start, size }
    }

    /// The bytes from `start` up to, not including, `end`; empty where `end` is not above `start`.
    pub const fn between(start: u64, end: u64) -> Self {
        Self { start, size: end.saturating_sub(start) }
    }

    /// The first byte behind it; the top of the address space for a range that would pass it.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }

    /// Have the two a byte in common?
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.size != 0 && other.size != 0 && self.start < other.end() && other.start < self.end()
    }

    /// Does it contain all of `other`?
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end() <= self.end()
    }

    /// The largest part whose both ends are multiples of `unit`, a power of two.
    pub const fn shrink_to(&self, unit: u64) -> Self {
        match align_up(self.start, unit) {
            Some(start) => Self::between(start, align_down(self.end(), unit)),
            None => Self::new(self.start, 0),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}

/// The next multiple of `unit`, a power of two; `None` above the top of the address space.
pub(crate) const fn align_up(address: u64, unit: u64) -> Option<u64> {
    match address.checked_add(unit.wrapping_sub(1)) {
        Some(sum) => Some(align_down(sum, unit)),
        None => None,
    }
}

/// The multiple of `unit`, a power of two, at or below an address.
pub(crate) const fn align_down(address: u64, unit: u64) -> u64 {
    address & !unit.wrapping_sub(1)
}
