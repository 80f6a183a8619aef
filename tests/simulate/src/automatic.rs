//! Reservations that are found by looking: a player whose frames change their rate in mid-play, beside hogs.

use hyp_core::sched::{Promise, Scheduler, Share};
use hyp_core::time::{MILLISECOND, Nanos};
use hyp_core::vcpu::VcpuId;

use crate::{Cpu, Demand};

/// What came of a change of the rate.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Frames from the change to when the reservation has the new period.
    pub periods: u64,
    /// The part of a CPU that is promised in the end.
    pub part: f64,
    /// Frames that were late after that, of all after it.
    pub late: u64,
    /// Frames after it.
    pub frames: u64,
}

/// A player with frames of `work` each, one in `before`, and after two seconds one in `after`, beside hogs. `None` if the new
/// rate has not been found after a hundred frames.
pub fn follow(before: Nanos, after: Nanos, work: Nanos, hogs: usize) -> Option<Followed> {
    let first = 10 * MILLISECOND;
    let slow = (2000 * MILLISECOND / before) as usize;
    let gaps: Vec<Nanos> = std::iter::repeat_n(before, slow).chain(std::iter::repeat_n(after, 100_000)).collect();
    let change = first + before * slow as Nanos;
    let frames = Demand::Jobs { first, gaps, work, deadline: after.min(before) };
    let mut guests = vec![(Share { weight: 256, promise: Promise::Auto }, frames)];
    guests.extend(std::iter::repeat_n((Share::of_weight(256), Demand::Hog), hogs));
    let mut cpu = Cpu::new(Scheduler::Client, &guests);
    let player = VcpuId::new(0)?;
    let is_at = |cpu: &Cpu, period: Nanos| {
        let terms = cpu.queue().reservation(player);
        terms.is_some_and(|terms| terms.period().abs_diff(period) < period / 32)
    };
    cpu.run(change);
    if !is_at(&cpu, before) {
        return None;
    }
    let found = (1..=100).find(|count| {
        cpu.run(change + count * after);
        is_at(&cpu, after)
    })?;
    let at = cpu.outcomes().next()?.clone();
    cpu.run(change + (found + 1000) * after);
    let end = cpu.outcomes().next()?.clone();
    let part = f64::from(cpu.queue().reservation(player)?.density()) / f64::from(hyp_core::sched::WHOLE);
    Some(Followed { periods: found, part, late: end.missed - at.missed, frames: end.jobs - at.jobs })
}
