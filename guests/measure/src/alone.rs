//! One guest, one vCPU, nobody else.

use rt::hypercall::xen_abi::event_channel::{EVTCHNOP_SEND, Send};
use rt::hypercall::xen_abi::hypercall::{EVENT_CHANNEL_OP, SCHED_OP, XEN_VERSION};
use rt::hypercall::xen_abi::sched::SCHEDOP_YIELD;
use rt::hypercall::xen_abi::{domid::DOMID_SELF, errno::Errno};
use rt::hypercall::{self, alloc_unbound, bind_interdomain, bind_ipi};
use rt::{Machine, cpu, events, measure, timer};

use crate::{ROUNDS, TIMES, arch, failed, print};

/// A number far above all hypercalls.
const UNKNOWN: u64 = 100;
/// From setting a timer to its deadline, ns.
const STEP: u64 = 20_000;

pub(crate) fn run(machine: &Machine) {
    let empty = measure::empty(TIMES);
    let each = |name: &str, ticks: u64| print(name, ticks.saturating_sub(empty), TIMES);
    if machine.hypervisor {
        each("xen_version", measure::hypercalls(TIMES, XEN_VERSION, 0, 0));
        each("unknown_hypercall", measure::hypercalls(TIMES, UNKNOWN, 0, 0));
        each("sched_yield", measure::hypercalls(TIMES, SCHED_OP, u64::from(SCHEDOP_YIELD), 0));
    }
    arch::run(machine, &each);
    if timer::interrupts() {
        timer_lateness();
    }
    if machine.hypervisor {
        match event_to_self() {
            Ok(()) => {}
            Err(error) => failed("event_to_self", format_args!("{error:?}")),
        }
    }
}

fn event_to_self() -> Result<(), Errno> {
    events::connect()?;
    let port = bind_ipi(0)?;
    hypercall::unmask(port)?;
    let mut argument = Send { port };
    let mut ticks = 0;
    for round in 0..ROUNDS {
        let before = events::count(port);
        measure::dither(round);
        let sent = measure::stamped_hypercall(EVENT_CHANNEL_OP, EVTCHNOP_SEND, &mut argument);
        while events::count(port) == before {
            cpu::relax();
        }
        ticks += events::last(port) - sent;
    }
    print("event_to_self", ticks, ROUNDS);
    // A port that is masked and pending already: the send has nothing left to do.
    let far = alloc_unbound(DOMID_SELF)?;
    let near = bind_interdomain(DOMID_SELF, far)?;
    events::mask(far);
    hypercall::send(near)?;
    let empty = measure::empty(TIMES);
    let mut argument = Send { port: near };
    let address = &raw mut argument as u64;
    let ticks = measure::hypercalls(TIMES, EVENT_CHANNEL_OP, u64::from(EVTCHNOP_SEND), address);
    print("event_send_pending", ticks.saturating_sub(empty), TIMES);
    Ok(())
}

fn timer_lateness() {
    let mut late = 0;
    for round in 0..ROUNDS {
        let before = timer::count();
        measure::dither(round);
        let deadline = timer::counter() + timer::to_ticks(STEP);
        timer::set(deadline);
        while timer::count() == before {
            cpu::relax();
        }
        late += timer::last() - deadline;
    }
    print("timer_running", late, ROUNDS);
    let mut late = 0;
    for round in 0..ROUNDS {
        measure::dither(round);
        let deadline = timer::now() + STEP;
        late += timer::to_ticks(timer::wait_until(deadline).unwrap_or(u64::MAX / ROUNDS));
    }
    print("timer_wfi", late, ROUNDS);
}
