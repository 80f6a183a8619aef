//! Two domains that wake each other in turn: on one CPU the price of a domain switch, on two that of waking a CPU.

use rt::hypercall::xen_abi::errno::Errno;
use rt::hypercall::{alloc_unbound, send, unmask};
use rt::{cpu, events, measure, timer};

use crate::{ROUNDS, failed, print};

/// Numbers of the two domains: their order in the tree, from 1.
const PING: u16 = 1;
const PONG: u16 = 2;
/// The port that `ping` waits with: a domain's first.
const FIRST_PORT: u32 = 1;

/// The side that measures.
pub(crate) fn ping(row: &str) {
    cpu::mask_interrupts();
    let measured = events::connect().and_then(|()| alloc_unbound(PONG)).and_then(|port| {
        unmask(port)?;
        // The other side says that it is there.
        measure::sleep_for_event(port);
        let start = timer::counter();
        for _ in 0..ROUNDS {
            send(port)?;
            measure::sleep_for_event(port);
        }
        Ok(timer::counter() - start)
    });
    match measured {
        Ok(ticks) => print(row, ticks, 2 * ROUNDS),
        Err(error) => failed(row, format_args!("{error:?}")),
    }
}

/// The side that answers.
pub(crate) fn pong() {
    if let Err(error) = events::connect().and_then(|()| answer()) {
        failed("pong", format_args!("{error:?}"));
    }
}

fn answer() -> Result<(), Errno> {
    let port = events::bind_once_open(PING, FIRST_PORT)?;
    // Connecting makes a first event pending at this end.
    measure::sleep_for_event(port);
    send(port)?;
    for _ in 0..ROUNDS {
        measure::sleep_for_event(port);
        send(port)?;
    }
    Ok(())
}
