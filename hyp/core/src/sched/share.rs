//! What the vCPUs of a domain get of their CPUs: a part of what is left over, or a promise.
//!
//! A promise is kept whatever others do, so it must be possible to say no: how much of a CPU each one takes is known
//! beforehand, and no CPU promises more than [`BOUND`].

use crate::limits::MAX_VCPUS;
use crate::time::Nanos;

/// Fraction bits of a part of a CPU.
const FRACTION: u32 = 20;
/// A whole CPU, as parts of one are counted.
pub const WHOLE: u32 = 1 << FRACTION;
/// How much of a CPU is promised at most: 95 %. The rest is for changing from one vCPU to another, and for those that
/// nothing is promised, as whoever is to set things right may be one of them. Each part is rounded up, so this is too.
pub const BOUND: u32 = (WHOLE as u64 * 95 / 100) as u32 + MAX_VCPUS as u32;
/// The shortest budget, ns: a few changes of the vCPU.
pub const SHORTEST_BUDGET: Nanos = 10_000;
/// The longest period, ns: 4 s.
pub const LONGEST_PERIOD: Nanos = 4_000_000_000;

/// The scheduler of vCPUs that nothing is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Scheduler {
    /// Credit, accounted by time stamps.
    #[default]
    Client,
    /// Credit as it was in 2008, accounted by a tick.
    Stock,
    /// Earliest deadline first as in Xen 3.
    Sedf,
}

impl Scheduler {
    /// The scheduler with this number; the usual one where there is none.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Stock,
            2 => Self::Sedf,
            _ => Self::Client,
        }
    }

    /// It is in this build. Those to compare with are there with the feature `comparison`.
    pub const fn is_built(self) -> bool {
        matches!(self, Self::Client) || cfg!(feature = "comparison")
    }
}

/// What each vCPU of a domain gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Share of the time that nobody else is promised, relative to the others on the CPU; at least 1.
    pub weight: u16,
    /// What is promised.
    pub promise: Promise,
}

/// What is promised to each vCPU of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing.
    None,
    /// A whole CPU.
    Pinned,
    /// Its budget in every period, before everybody that has no such promise.
    Reserve(Reservation),
    /// A reservation that is found by looking at the vCPU; until there is one, nothing.
    Auto,
    /// Budget and period in the words of Xen's `sedf`; only [`Scheduler::Sedf`] heeds it.
    Sedf(Reservation),
}

/// A budget in every period. Memory bandwidth and a part of the cache may join it some day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    budget: u32,
    period: u32,
    deadline: u32,
    /// It may use what other reservations leave of theirs.
    pub reclaim: bool,
    /// Past its budget it does not run at all, rather than as if nothing were promised.
    pub hard: bool,
}

impl Reservation {
    /// Stands where there is none. It is all zeros, as what is in a static and is not takes room in the image.
    pub(crate) const NONE: Self = Self { budget: 0, period: 0, deadline: 0, reclaim: false, hard: false };

    /// `budget` ns in each `period`, done `deadline` ns after the start of it at the latest; soft, and not reclaiming.
    /// `None` unless [`SHORTEST_BUDGET`] <= budget <= deadline <= period <= [`LONGEST_PERIOD`].
    pub const fn new(budget: Nanos, period: Nanos, deadline: Nanos) -> Option<Self> {
        let fits = SHORTEST_BUDGET <= budget && budget <= deadline && deadline <= period && period <= LONGEST_PERIOD;
        if !fits {
            return None;
        }
        let (budget, period, deadline) = (budget as u32, period as u32, deadline as u32);
        Some(Self { budget, period, deadline, reclaim: false, hard: false })
    }

    /// What it may run in a period, ns.
    pub fn budget(&self) -> Nanos {
        self.budget.into()
    }

    /// How often it gets its budget, ns.
    pub fn period(&self) -> Nanos {
        self.period.into()
    }

    /// How long after the start of a period it has run its budget at the latest, ns.
    pub fn deadline(&self) -> Nanos {
        self.deadline.into()
    }

    /// Budget by deadline, rounded up: what it may ask of a CPU at worst.
    pub fn density(&self) -> u32 {
        part(self.budget().wrapping_shl(FRACTION).div_ceil(self.deadline().max(1)))
    }

    /// Budget by period, rounded down: what it asks of a CPU in the long run.
    pub fn bandwidth(&self) -> u32 {
        part(self.budget().wrapping_shl(FRACTION).checked_div(self.period()).unwrap_or(0))
    }
}

/// A part of a CPU is at most a whole one.
fn part(number: u64) -> u32 {
    number.min(WHOLE.into()) as u32
}

impl Promise {
    /// How much of a CPU it takes.
    pub fn part(&self) -> u32 {
        match self {
            Self::None | Self::Auto => 0,
            Self::Pinned => WHOLE,
            Self::Reserve(reservation) | Self::Sedf(reservation) => reservation.density(),
        }
    }
}

impl Share {
    /// This weight, and no promise.
    pub const fn of_weight(weight: u16) -> Self {
        Self { weight, promise: Promise::None }
    }
}

/// Time that passes on a clock that runs at `rate` of [`WHOLE`], rounded up.
pub(super) fn scaled(elapsed: Nanos, rate: u32) -> Nanos {
    if rate >= WHOLE {
        return elapsed;
    }
    let (whole, rest) = (elapsed >> FRACTION, elapsed & u64::from(WHOLE - 1));
    let rest = rest.wrapping_mul(rate.into()).div_ceil(WHOLE.into());
    whole.saturating_mul(rate.into()).saturating_add(rest)
}

/// How long a clock that runs at `rate` of [`WHOLE`] takes for `time`, rounded up; at most 2^43 ns are counted.
pub(super) fn stretched(time: Nanos, rate: u32) -> Nanos {
    if rate >= WHOLE {
        return time;
    }
    time.min(1 << (63 - FRACTION)).wrapping_shl(FRACTION).div_ceil(rate.max(1).into())
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_PERIOD, Reservation, WHOLE, scaled, stretched};

    #[test]
    fn what_makes_no_sense_is_none() {
        assert!(Reservation::new(10_000, 10_000, 10_000).is_some());
        for (budget, period, deadline) in [
            (0, 1_000_000, 1_000_000),
            (9_999, 1_000_000, 1_000_000),
            (20_000, 30_000, 19_999),
            (20_000, 30_000, 30_001),
            (20_000, LONGEST_PERIOD + 1, 30_000),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            assert_eq!(Reservation::new(budget, period, deadline), None, "{budget} {period} {deadline}");
        }
    }

    #[test]
    fn parts_are_rounded_against_whoever_asks() {
        let third = Reservation::new(1_000_000, 3_000_000, 2_000_000).unwrap();
        assert_eq!((third.density(), third.bandwidth()), (WHOLE / 2, WHOLE / 3));
        let odd = Reservation::new(1_000_000, 3_000_000, 3_000_000).unwrap();
        assert_eq!(odd.density(), WHOLE / 3 + 1);
    }

    #[test]
    fn a_slow_clock_takes_longer() {
        assert_eq!(scaled(1000, WHOLE), 1000);
        assert_eq!(scaled(1000, WHOLE / 4), 250);
        assert_eq!(scaled(1001, WHOLE / 4), 251);
        assert_eq!(scaled(1 << 63, WHOLE / 2), 1 << 62);
        for rate in [1, 3, WHOLE / 3, WHOLE - 1] {
            for time in [1, 1000, 1_000_003] {
                let paid = scaled(stretched(time, rate), rate);
                assert!((time..=time + 1).contains(&paid), "{time} at {rate}: {paid}");
            }
        }
    }
}
