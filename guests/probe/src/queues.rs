//! Event queues: what they add to event channels.

use rt::hypercall::{self, bind_ipi, bind_virq, close, expand_array, init_control, send, set_priority, unmask};
use rt::{cpu, events, queues};
use xen_abi::errno::Errno;
use xen_abi::event_channel::{EVTCHN_FIFO_LINKED, EVTCHN_FIFO_PENDING};
use xen_abi::virq::VIRQ_DEBUG;

use crate::check::Checks;
use crate::events::{channels, delivered};

/// A guest frame with nothing behind it.
const NO_FRAME: u64 = 0x1_0000;

pub(crate) fn run(checks: &mut Checks) {
    checks.same("queues-no-array-yet", expand_array(NO_FRAME), Err(Errno::EOPNOTSUPP));
    checks.same("queues-no-priority-yet", set_priority(1, 7), Err(Errno::ENOSYS));
    checks.same("queues-bad-frame", init_control(NO_FRAME, 0, 0), Err(Errno::EINVAL));
    checks.same("queues-bad-alignment", init_control(NO_FRAME, 4, 0), Err(Errno::EINVAL));
    checks.same("queues-bad-offset", init_control(NO_FRAME, 4096 - 64, 0), Err(Errno::EINVAL));
    checks.same("queues-bad-vcpu", init_control(NO_FRAME, 0, 99), Err(Errno::ENOENT));
    // An event that is pending when the rules change comes by the new ones.
    cpu::mask_interrupts();
    let early = bind_ipi(0).and_then(|port| send(port).map(|()| (port, events::count(port))));
    let begun = queues::begin();
    cpu::unmask_interrupts();
    checks.same("queues-begin", begun, Ok(()));
    if begun.is_err() {
        return;
    }
    match early {
        Ok((port, before)) => {
            checks.that("queues-early-event", delivered(port, before + 1), "lost");
            checks.same("queues-close-early", close(port), Ok(()));
        }
        Err(error) => checks.that("queues-early-event", false, format_args!("{error:?}")),
    }
    channels(checks);
    let refused = [set_priority(1, 16), set_priority(0, 7), set_priority(u32::MAX, 7)];
    checks.same("queues-bad-priority", refused, [Err(Errno::EINVAL); 3]);
    checks.same("queues-twice", queues_twice(), Err(Errno::EINVAL));
    let ordered = priorities();
    checks.that("queues-priorities", ordered.is_ok(), format_args!("{ordered:?}"));
    closed_in_queue(checks);
    checks.same("queues-end", queues::end(), Ok(()));
}

fn queues_twice() -> Result<u8, Errno> {
    init_control(0x4_0000, 0, 0)
}

/// Events that come together are seen by priority, and in the order of their sending where that is the same.
fn priorities() -> Result<(), [u32; 4]> {
    let open = || {
        let port = bind_ipi(0).unwrap_or_default();
        let _ = unmask(port);
        port
    };
    let [low, first, second, high] = [open(), open(), open(), open()];
    let mut fine = set_priority(low, 15).is_ok() && set_priority(high, 0).is_ok();
    let sent = [low, first, second, high];
    let before = sent.map(events::count);
    cpu::mask_interrupts();
    fine &= sent.into_iter().all(|port| send(port).is_ok());
    cpu::unmask_interrupts();
    fine &= sent.into_iter().zip(before).all(|(port, count)| delivered(port, count + 1));
    let seen = events::arrivals::<4>();
    fine &= sent.into_iter().all(|port| close(port).is_ok());
    if fine && seen == [high, first, second, low] { Ok(()) } else { Err(seen) }
}

/// A port that is closed in its queue is not given out again until it is out, and its event is forgotten.
fn closed_in_queue(checks: &mut Checks) {
    cpu::mask_interrupts();
    let again = bind_ipi(0).and_then(|port| {
        let _ = (send(port)?, close(port)?);
        let word = queues::event_word(port);
        let linked = word >> EVTCHN_FIFO_LINKED & 1 == 1 && word >> EVTCHN_FIFO_PENDING & 1 == 0;
        bind_virq(VIRQ_DEBUG, 0).map(|other| (port, other, linked, events::count(port)))
    });
    cpu::unmask_interrupts();
    let Ok((port, other, linked, count)) = again else {
        return checks.that("queues-closed-in-queue", false, format_args!("{again:?}"));
    };
    let _ = hypercall::yield_cpu();
    let silent = events::count(port) == count;
    let closed = close(other);
    let reused = bind_ipi(0);
    let _ = reused.and_then(close);
    let fine = linked && other != port && silent && closed.is_ok() && reused == Ok(port);
    checks.that("queues-closed-in-queue", fine, format_args!("{port}-{other}-{linked}-{silent}-{reused:?}"));
}
