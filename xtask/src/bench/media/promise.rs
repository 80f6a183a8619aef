//! What a scheduler promises, and whether it kept it. Only ours promise anything, and only what they are made for: the
//! others are there to be compared with.

use super::cell::{Cell, Sched};
use super::measured::Measured;
use crate::report::grouped;

/// Longest wake-up of the player but one in a thousand, and of all, ns.
const WAKE_LIMITS: [u64; 2] = [10_000, 50_000];

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is promised; why.
    None(&'static str),
    /// It is kept.
    Kept,
    /// It is not; what is too much.
    Broken(Vec<String>),
}

impl Verdict {
    /// Judges a cell.
    pub(super) fn of(cell: &Cell, measured: &Measured) -> Self {
        match cell.sched {
            Sched::Reserve | Sched::AutoReserve => {}
            // Half a percent for what switches cost.
            Sched::Client if measured.entitled() + 0.005 >= cell.work().demand() => {}
            Sched::Client => return Self::None("the player wants more than its share"),
            _ => return Self::None("for comparison"),
        }
        let mut broken = Vec::new();
        let mut hold = |what: &str, value: u64, limit: u64| {
            if value > limit {
                broken.push(format!("{what}: {}, at most {} promised", grouped(value), grouped(limit)));
            }
        };
        hold("late frames", measured.late(), 0);
        hold("dropped frames", measured.dropped(), 0);
        hold("late sound periods", measured.audio_late(), 0);
        // On two CPUs an instruction takes two nanoseconds, and the emulator gives the CPUs turns.
        if let (Some(wake), 1) = (measured.wake(), cell.cpus) {
            hold("wake-up p99.9, ns", wake.p999, WAKE_LIMITS[0]);
            hold("longest wake-up, ns", wake.max, WAKE_LIMITS[1]);
        }
        if broken.is_empty() { Self::Kept } else { Self::Broken(broken) }
    }

    /// A word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::None(_) => "-",
            Self::Kept => "kept",
            Self::Broken(_) => "BROKEN",
        }
    }
}
