//! How counts of a clock become nanoseconds.

const NS: u64 = 1_000_000_000;
/// How far a measured rate may be from a whole MHz and still mean it, in parts of it.
const TRUST: u64 = 10_000;

/// How counts become nanoseconds: shifted left by `shift` (right where negative), times `factor` over 2^32; the form of
/// Xen's `vcpu_time_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Fraction of 2^32.
    pub factor: u32,
    /// Bits.
    pub shift: i8,
}

impl Scale {
    /// For a counter of this rate in Hz, which is not 0.
    pub const fn of(hz: u64) -> Self {
        let (mut shift, mut hz) = (0, hz);
        while hz > 2 * NS {
            hz >>= 1;
            shift -= 1;
        }
        while hz <= NS {
            hz <<= 1;
            shift += 1;
        }
        Self { factor: ((NS << 32) / hz) as u32, shift }
    }

    /// Nanoseconds of so many counts.
    pub const fn ns(self, counts: u64) -> u64 {
        let counts = counts as u128;
        let counts = if self.shift < 0 { counts >> -self.shift } else { counts << self.shift };
        ((counts * self.factor as u128) >> 32) as u64
    }
}

/// The rate that a measured one means: a whole MHz where it is that but for the error of measuring.
pub const fn rounded(hz: u64) -> u64 {
    const MHZ: u64 = 1_000_000;
    let whole = (hz + MHZ / 2) / MHZ * MHZ;
    if hz.abs_diff(whole) <= whole / TRUST { whole } else { hz }
}

#[cfg(test)]
mod tests {
    use super::{NS, Scale, rounded};

    #[test]
    fn a_second_of_counts_is_a_second() {
        for hz in [1_000_000, 4_000_000, 999_999_999, NS, NS + 1, 2_400_000_000, 5_000_000_000] {
            let scale = Scale::of(hz);
            assert!(scale.factor >= 1 << 31, "{hz}: all the bits of the factor are used");
            assert!(scale.ns(hz).abs_diff(NS) <= 2, "{hz}: {}", scale.ns(hz));
            assert!(scale.ns(hz * 100_000).abs_diff(NS * 100_000) <= 100_000, "{hz}: a day is a day");
        }
    }

    #[test]
    fn a_rate_near_a_whole_megahertz_means_it() {
        assert_eq!(rounded(1_000_040_000), 1_000_000_000);
        assert_eq!(rounded(999_950_000), 1_000_000_000);
        assert_eq!(rounded(3_999_999), 4_000_000);
        assert_eq!(rounded(62_500_000), 62_500_000);
    }
}
