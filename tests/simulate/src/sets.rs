//! Random sets of reservations: whom admission takes in is never late, whatever the others do.
//!
//! Utilizations are drawn by UUniFast (Bini and Buttazzo, 2005), periods from 1 ms to 200 ms evenly on a logarithmic scale.
//! Of the servers of a set some keep to their budget, and must never be late; others wake whenever they like, want more than
//! their budget, or never sleep. Hogs without a promise are there as well.

use hyp_core::sched::{BOUND, Promise, Reservation, Scheduler, Share, WHOLE};
use hyp_core::time::{MICROSECOND, MILLISECOND, Nanos};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::{Cpu, Demand};

/// Budgets end to the nanosecond, but one that is paid at a lower rate is rounded up each time somebody looks.
const ROUNDING: Nanos = 2 * MICROSECOND;

/// How a set is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// The least and most servers.
    pub servers: (usize, usize),
    /// What they ask for together, of a CPU.
    pub utilization: f64,
    /// Deadlines may come before the end of a period.
    pub early: bool,
    /// Some misbehave, and there are hogs.
    pub trouble: bool,
}

/// One server of a set.
#[derive(Clone, Debug)]
pub struct Server {
    /// What it is promised.
    pub terms: Reservation,
    /// What it wants.
    pub demand: Demand,
    /// It keeps to its budget, so that it must not be late.
    pub behaves: bool,
}

/// A set by its seed.
pub fn draw(seed: u64, draw: Draw) -> Vec<Server> {
    let mut random = SmallRng::seed_from_u64(seed);
    let count = random.random_range(draw.servers.0..=draw.servers.1);
    let parts = uunifast(&mut random, count, draw.utilization);
    parts.into_iter().filter_map(|part| server(&mut random, part, draw)).collect()
}

/// Parts of a whole, drawn evenly, none of them more than a CPU.
fn uunifast(random: &mut SmallRng, count: usize, whole: f64) -> Vec<f64> {
    loop {
        let parts = any_parts(random, count.max(whole.ceil() as usize), whole);
        if parts.iter().all(|part| *part <= 1.0) {
            return parts;
        }
    }
}

fn any_parts(random: &mut SmallRng, count: usize, whole: f64) -> Vec<f64> {
    let mut rest = whole;
    let parts = (1..count).rev().map(|left| {
        let next = rest * random.random::<f64>().powf(1.0 / left as f64);
        let part = rest - next;
        rest = next;
        part
    });
    let mut parts: Vec<f64> = parts.collect();
    parts.push(rest);
    parts
}

fn server(random: &mut SmallRng, part: f64, draw: Draw) -> Option<Server> {
    let period = (MILLISECOND as f64 * 200f64.powf(random.random())) as Nanos;
    let budget = (period as f64 * part) as Nanos;
    let latest = period;
    let deadline = if draw.early && random.random() { random.random_range(budget.max(1)..=latest) } else { latest };
    // Parts that are too small to be promised are left out.
    let mut terms = Reservation::new(budget, period, deadline)?;
    terms.reclaim = random.random();
    terms.hard = random.random();
    let first = random.random_range(0..=period);
    let work = budget.saturating_sub(if terms.reclaim { ROUNDING } else { 0 }).max(1);
    let kind = if draw.trouble { random.random_range(0..6) } else { 0 };
    let (demand, behaves) = match kind {
        0..3 => {
            let gaps = (0..7).map(|_| period + if random.random() { random.random_range(0..period) } else { 0 });
            (Demand::Jobs { first, gaps: gaps.collect(), work, deadline }, true)
        }
        3 => {
            let gaps = (0..7).map(|_| random.random_range(1..=period)).collect();
            let work = random.random_range(1..=budget * 2);
            (Demand::Jobs { first, gaps, work, deadline }, false)
        }
        4 => (Demand::Yields(random.random_range(1..=budget * 2)), false),
        _ => (Demand::Hog, false),
    };
    Some(Server { terms, demand, behaves })
}

/// What a set asks for, as admission counts it; of [`WHOLE`].
pub fn density(set: &[Server]) -> u64 {
    set.iter().map(|server| u64::from(server.terms.density())).sum()
}

/// Whether admission takes it in.
pub fn is_admitted(set: &[Server]) -> bool {
    density(set) <= u64::from(BOUND)
}

/// Lets a set run, beside so many hogs. Returns the jobs of those that behave, and how many of them were late.
pub fn run(set: &[Server], hogs: usize, scheduler: Scheduler, time: Nanos) -> (u64, u64) {
    let reserve = |server: &Server| Share { weight: 256, promise: Promise::Reserve(server.terms) };
    let mut guests: Vec<_> = set.iter().map(|server| (reserve(server), server.demand.clone())).collect();
    guests.extend(std::iter::repeat_n((Share::of_weight(256), Demand::Hog), hogs));
    let mut cpu = Cpu::new(scheduler, &guests);
    cpu.run(time);
    let counted = cpu.outcomes().zip(set).filter(|(_, server)| server.behaves);
    counted.fold((0, 0), |(jobs, missed), (outcome, _)| (jobs + outcome.jobs, missed + outcome.missed))
}

/// How many of the sets that were drawn are admitted, run, and are late; until so many are admitted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Sets that were drawn.
    pub drawn: u64,
    /// Sets that were admitted, and ran.
    pub admitted: u64,
    /// Jobs that they had.
    pub jobs: u64,
    /// Jobs that were late.
    pub missed: u64,
    /// Seed of the first set with one.
    pub first_missed: Option<u64>,
}

/// Draws sets of 1 to 20 servers of all utilizations until so many were admitted, and lets each run for `time`.
pub fn admitted_sets(first: u64, wanted: u64, time: Nanos) -> Tally {
    let mut tally = Tally::default();
    for seed in first.. {
        if tally.admitted == wanted {
            break;
        }
        let mut random = SmallRng::seed_from_u64(!seed);
        let early = random.random();
        let utilization = random.random_range(0.05..0.97);
        let set = draw(seed, Draw { servers: (1, 20), utilization, early, trouble: true });
        tally.drawn += 1;
        if set.is_empty() || !is_admitted(&set) {
            continue;
        }
        let scheduler = [Scheduler::Client, Scheduler::Client, Scheduler::Stock, Scheduler::Sedf][seed as usize % 4];
        let (jobs, missed) = run(&set, random.random_range(0..4), scheduler, time);
        tally.admitted += 1;
        tally.jobs += jobs;
        tally.missed += missed;
        if missed != 0 {
            tally.first_missed.get_or_insert(seed);
        }
    }
    tally
}

/// Acceptance and misses at a utilization: of `sets` sets the part that admission takes in, and the part of jobs that are
/// late when all run regardless.
pub fn acceptance(utilization: f64, sets: u64, early: bool, time: Nanos) -> (f64, f64) {
    let (mut admitted, mut jobs, mut missed) = (0u64, 0, 0);
    for seed in 0..sets {
        let set = draw(seed, Draw { servers: (2, 20), utilization, early, trouble: false });
        admitted += u64::from(is_admitted(&set));
        let (done, late) = run(&set, 1, Scheduler::Client, time);
        jobs += done;
        missed += late;
    }
    (admitted as f64 / sets as f64, missed as f64 / jobs.max(1) as f64)
}

/// The bound of admission, of a CPU.
pub fn bound() -> f64 {
    f64::from(BOUND) / f64::from(WHOLE)
}
