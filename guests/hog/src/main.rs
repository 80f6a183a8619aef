//! A guest that burns the CPU, or loads the machine in another way.
//!
//! It is the bad neighbour of every media test. The boot argument `mode=` selects what it does, without end and without
//! sleep: `float` (also when absent), `count`, `interrupts`, `events` (with its partner, `sink`, which does sleep) or `memory`. About
//! every second it tells how far it is and how much of the CPU it got. With `end_ms=` it ends after so many milliseconds: it
//! switches itself off or, with `end=reboot`, starts anew.
#![no_std]
#![no_main]

mod events;
mod float;
mod interrupts;
mod memory;

use rt::{Machine, cpu, power, println, runstate, timer};

rt::entry!(main);

/// Nanoseconds between two lines.
const LINE_EVERY: u64 = 1_000_000_000;
/// Rounds of counting between two looks at the clock: 0.1 ms at 1 instruction a ns.
const COUNTS: u64 = 100_000 / cpu::ROUND;

fn main(machine: &'static Machine) {
    let mode = machine.argument("mode").unwrap_or("float");
    println!("hog: mode {mode}, one line a second");
    let clock = Clock::new(machine);
    match mode {
        "float" => float::run(clock),
        "count" => count(clock),
        "interrupts" => interrupts::run(clock),
        "events" => events::run(machine, clock),
        "sink" => events::sink(machine),
        "memory" => memory::run(clock),
        _ => {
            println!("hog: unknown mode {mode}; known: float, count, interrupts, events, sink, memory");
            power::crash();
        }
    }
}

/// Counts: what an emulator does fastest, for runs in which much time has to pass.
fn count(mut clock: Clock) {
    let mut loops: u64 = 0;
    loop {
        cpu::work(COUNTS);
        loops += 1;
        clock.look(loops);
    }
}

/// When to say something.
struct Clock {
    next_line: u64,
    tells_share: bool,
    /// When it ends, and whether it starts anew then.
    end: u64,
    restarts: bool,
}

impl Clock {
    fn new(machine: &Machine) -> Self {
        let tells_share = runstate::register().is_ok();
        if tells_share {
            runstate::print_running();
        }
        let life = machine.argument("end_ms").and_then(|ms| ms.parse::<u64>().ok());
        let end = life.map_or(u64::MAX, |ms| timer::now().saturating_add(ms.saturating_mul(1_000_000)));
        let restarts = machine.argument("end") == Some("reboot");
        Self { next_line: timer::now() + LINE_EVERY, tells_share, end, restarts }
    }

    /// Called after every `loops`: once a second, tell; when it is time, end.
    fn look(&mut self, loops: u64) {
        let now = timer::now();
        if now >= self.next_line {
            println!("@hog loops={loops}");
            if self.tells_share {
                runstate::print_running();
            }
            self.next_line = now + LINE_EVERY;
        }
        if now >= self.end {
            if self.restarts { power::reboot() } else { power::off() }
        }
    }
}
