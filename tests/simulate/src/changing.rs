//! Reservations that change while others rely on theirs: whoever keeps to its budget is never late.
//!
//! A set that was admitted runs, and in between a random server gets other terms. Those that keep to their budgets get what
//! they have once more, which must not disturb them; the others get anything from a tenth of what was admitted to all of it, in
//! another period, so that admission has nothing to refuse.

use hyp_core::sched::{Promise, Reservation, Scheduler, Share};
use hyp_core::time::{MILLISECOND, Nanos};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::Cpu;
use crate::sets::{Draw, Server, draw, is_admitted};

/// Lets an admitted set of this seed run for so long. Returns the changes, the jobs of those that behave, and how many of
/// them were late; `None` if admission refuses it.
pub fn run(seed: u64, time: Nanos) -> Option<(u64, u64, u64)> {
    let mut random = SmallRng::seed_from_u64(!seed);
    let (early, utilization) = (random.random(), random.random_range(0.3..0.97));
    let set = draw(seed, Draw { servers: (2, 12), utilization, early, trouble: true });
    if set.is_empty() || !is_admitted(&set) {
        return None;
    }
    let guests: Vec<_> = set.iter().map(|server| (share(server.terms), server.demand.clone())).collect();
    let mut cpu = Cpu::new(Scheduler::Client, &guests);
    let (mut now, mut changes) = (0, 0);
    while now < time {
        now += random.random_range(1..20 * MILLISECOND);
        cpu.run(now.min(time));
        let who = random.random_range(0..set.len());
        if let Some(terms) = other(&mut random, &set[who]) {
            cpu.change(who, &share(terms));
            changes += 1;
        }
    }
    let counted = cpu.outcomes().zip(&set).filter(|(_, server)| server.behaves);
    let (jobs, missed) = counted.fold((0, 0), |(jobs, missed), (one, _)| (jobs + one.jobs, missed + one.missed));
    Some((changes, jobs, missed))
}

fn share(terms: Reservation) -> Share {
    Share { promise: Promise::Reserve(terms), ..Share::of_weight(256) }
}

/// Other terms for a server that ask for no more of the CPU.
fn other(random: &mut SmallRng, server: &Server) -> Option<Reservation> {
    if server.behaves {
        return Some(server.terms);
    }
    let period = random.random_range(MILLISECOND..200 * MILLISECOND);
    let most = period * server.terms.budget() / server.terms.deadline();
    let mut terms = Reservation::new(random.random_range(most / 10..=most), period, period)?;
    (terms.hard, terms.reclaim) = (random.random(), random.random());
    Some(terms)
}
