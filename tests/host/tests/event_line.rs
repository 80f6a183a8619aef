//! The event interrupt of a vCPU that has its events before it has the interrupt: nothing keeps it awake any more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fake::{Act, Guest, Machine, program};
use host_tests::{MS, power_off, sleep_until};
use hyp_core::domain::{DomainConfig, EndAction};
use xen_abi::event_channel as ec;
use xen_abi::hypercall::EVENT_CHANNEL_OP;
use zerocopy::IntoBytes;

/// Words of the shared page: the first vCPU's record, whose low byte says that an event waits, and the pending ports.
const RECORD: usize = 0;
const PENDING: usize = 6;

/// Binds a port, sends on it to itself, takes the event without the interrupt, and sleeps until its timer.
fn code(step: &mut u32, guest: &mut Guest<'_>, idles: &AtomicU32) -> Act {
    *step += 1;
    match *step {
        1 => guest.call_with(
            EVENT_CHANNEL_OP,
            [ec::EVTCHNOP_BIND_IPI.into(), 0, 0],
            1,
            ec::BindIpi::default().as_bytes(),
        ),
        2 => {
            let send = ec::Send { port: 1 };
            guest.call_with(EVENT_CHANNEL_OP, [ec::EVTCHNOP_SEND.into(), 0, 0], 1, send.as_bytes())
        }
        3 => {
            assert!(guest.line, "the interrupt came");
            guest.domain.shared[PENDING].store(0, Ordering::Relaxed);
            guest.domain.shared[RECORD].fetch_and(!0xff, Ordering::Relaxed);
            Act::Compute(MS)
        }
        _ => match sleep_until(guest, 10 * MS) {
            Some(act) => {
                idles.fetch_add(1, Ordering::Relaxed);
                act
            }
            None => power_off(),
        },
    }
}

#[test]
fn an_event_that_was_taken_keeps_nobody_awake() {
    let machine = Machine::new(1);
    let idles = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&idles);
    let make = program(0u32, move |step, guest| code(step, guest, &counted));
    let mut config = DomainConfig::new("one");
    config.actions.poweroff = EndAction::MachineOff;
    machine.add(&config, &make);
    assert!(machine.run(100 * MS), "the guest came to its end");
    assert_eq!(idles.load(Ordering::Relaxed), 1, "it slept once, until its timer");
}
