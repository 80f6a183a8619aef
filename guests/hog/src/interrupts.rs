//! A storm of interrupts: its own timer, 20,000 times a second, while it never sleeps.

use rt::{cpu, timer};

use crate::Clock;

/// Nanoseconds between two interrupts.
const PERIOD: u64 = 50_000;
/// Rounds of work between two looks at the count: 256 instructions.
const ROUNDS: u64 = 8;

pub(crate) fn run(mut clock: Clock) {
    let period = timer::to_ticks(PERIOD);
    let mut next = timer::counter();
    let mut seen = timer::count();
    timer::set(next);
    loop {
        let count = timer::count();
        if count == seen {
            cpu::work(ROUNDS);
            continue;
        }
        seen = count;
        // What was missed while others ran is over.
        next = (next + period).max(timer::counter());
        timer::set(next);
        clock.look(count);
    }
}
