//! A storm of events: one domain sends to another and computes in between, and the other goes to sleep again after each,
//! so that every send wakes it. With the boot argument `rate=` it sends so often a second, else as fast as it can: then
//! nearly all of the time is switches between the two, which an emulator does slowly.

use rt::hypercall::{alloc_unbound, send, xen_abi::errno::Errno};
use rt::{Machine, cpu, events, measure, println, timer};

use crate::Clock;

const SECOND: u64 = 1_000_000_000;
/// The port that the sender opens: a domain's first.
const FIRST_PORT: u32 = 1;
/// Rounds of work between two looks at the counter: 1,024 instructions.
const ROUNDS: u64 = 32;

/// The number of the other domain, `to=N`.
fn other(machine: &Machine) -> u16 {
    machine.argument("to").and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The one that sends.
pub(crate) fn run(machine: &Machine, mut clock: Clock) {
    let port = match alloc_unbound(other(machine)) {
        Ok(port) => port,
        Err(error) => return println!("@check name=events result=fail detail={error:?}"),
    };
    let rate = machine.argument("rate").and_then(|number| number.parse::<u64>().ok()).filter(|rate| *rate > 0);
    let period = rate.map_or(0, |rate| timer::to_ticks(SECOND / rate));
    let (mut next, mut loops) = (timer::counter(), 0);
    loop {
        // Until the other side is there, it is an error, and as much of a storm.
        let _ = send(port);
        loops += 1;
        clock.look(loops);
        // What was missed while others ran is over.
        next = (next + period).max(timer::counter());
        while timer::counter() < next {
            cpu::work(ROUNDS);
        }
    }
}

/// The one that is woken.
pub(crate) fn sink(machine: &Machine) {
    let Err(error) = events::connect().and_then(|()| take(other(machine), Clock::new(machine)));
    println!("@check name=sink result=fail detail={error:?}");
}

fn take(sender: u16, mut clock: Clock) -> Result<core::convert::Infallible, Errno> {
    let port = events::bind_once_open(sender, FIRST_PORT)?;
    let mut loops = 0;
    loop {
        measure::sleep_for_event(port);
        loops += 1;
        clock.look(loops);
    }
}
