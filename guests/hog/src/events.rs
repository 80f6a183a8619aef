//! A storm of events: one domain sends to another without end, and the other goes to sleep again after each, so that
//! every send may wake it.

use rt::hypercall::{alloc_unbound, send, xen_abi::errno::Errno};
use rt::{Machine, events, measure, println};

use crate::Clock;

/// The port that the sender opens: a domain's first.
const FIRST_PORT: u32 = 1;
/// Sends between two looks at the clock.
const SENDS: u64 = 1_000;

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
    let mut loops = 0;
    loop {
        for _ in 0..SENDS {
            // Until the other side is there, it is an error, and as much of a storm.
            let _ = send(port);
        }
        loops += SENDS;
        clock.look(loops);
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
