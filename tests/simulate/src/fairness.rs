//! Shares by weight: hogs get what their weights say, whatever sleeps and wakes beside them, and nobody starves.

use hyp_core::sched::{Scheduler, Share};
use hyp_core::time::{MILLISECOND, Nanos};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::{Cpu, Demand};

/// What came of one set of hogs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    /// The largest difference between what a hog got and what its weight says, as a part of the CPU.
    pub error: f64,
    /// The longest time that one did not run, ns.
    pub starved: Nanos,
}

/// Hogs of random weights.
pub fn hogs(scheduler: Scheduler, seed: u64, time: Nanos) -> Shares {
    let mut random = SmallRng::seed_from_u64(seed);
    let count = random.random_range(2..=10);
    let weights: Vec<u16> = (0..count).map(|_| random.random_range(64..=1024)).collect();
    let guests: Vec<_> = weights.iter().map(|weight| (Share::of_weight(*weight), Demand::Hog)).collect();
    let mut cpu = Cpu::new(scheduler, &guests);
    cpu.run(time);
    let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let mut shares = Shares::default();
    for (outcome, weight) in cpu.outcomes().zip(&weights) {
        let error = outcome.ran as f64 / time as f64 - f64::from(*weight) / all;
        shares.error = shares.error.max(error.abs());
        shares.starved = shares.starved.max(outcome.starved);
    }
    shares
}

/// A player of 60 frames a second whose work is this part of its CPU, beside hogs of the same weight. Returns the part of
/// its frames that are late, and its longest wake-up.
pub fn player(scheduler: Scheduler, part: f64, hogs: usize, time: Nanos) -> (f64, Nanos) {
    let period = 16_666_667;
    let work = (period as f64 * part) as Nanos;
    let frames = Demand::Jobs { first: 50 * MILLISECOND, gaps: vec![period], work, deadline: period };
    let mut guests = vec![(Share::of_weight(256), frames)];
    guests.extend(std::iter::repeat_n((Share::of_weight(256), Demand::Hog), hogs));
    let mut cpu = Cpu::new(scheduler, &guests);
    cpu.run(time);
    let outcome = cpu.outcomes().next().cloned().unwrap_or_default();
    (outcome.missed as f64 / outcome.jobs.max(1) as f64, outcome.latency)
}
