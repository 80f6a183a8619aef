//! Sleeping just before the tick, the attack on credit that was published again and again (Zhou, Goel, Desnoyers and
//! Sundaram, "Scheduler vulnerabilities and coordinated attacks in cloud computing", 2011): who is never there when it is
//! looked who runs, never pays.

use hyp_core::sched::{Scheduler, Share};
use hyp_core::time::{MICROSECOND, MILLISECOND, Nanos};

use crate::{Cpu, Demand};

/// What an attacker beside so many hogs gets of the CPU beyond its fair share. It sleeps for so long before and after each
/// tick of 10 ms.
pub fn gain(scheduler: Scheduler, hogs: usize, asleep: Nanos, time: Nanos) -> f64 {
    let mut guests = vec![(Share::of_weight(256), Demand::Dodge { period: 10 * MILLISECOND, asleep })];
    guests.extend(std::iter::repeat_n((Share::of_weight(256), Demand::Hog), hogs));
    let mut cpu = Cpu::new(scheduler, &guests);
    cpu.run(time);
    let ran = cpu.outcomes().next().map_or(0, |outcome| outcome.ran);
    ran as f64 / time as f64 - 1.0 / (hogs as f64 + 1.0)
}

/// The most of [`gain`] for some lengths of sleep and numbers of hogs.
pub fn best_gain(scheduler: Scheduler, time: Nanos) -> f64 {
    let tries =
        (1..=4).flat_map(|hogs| [1, 10, 100, 500].map(|asleep| gain(scheduler, hogs, asleep * MICROSECOND, time)));
    tries.fold(f64::MIN, f64::max)
}
