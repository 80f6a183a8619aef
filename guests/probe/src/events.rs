//! Event channels of both kinds, with this domain at both ends: the same checks by the 2-level rules, by queues, and by the
//! 2-level rules again.

use rt::hypercall::{self, alloc_unbound, bind_interdomain, bind_ipi, bind_virq, close, poll, send, status, unmask};
use rt::{cpu, events, println, timer};
use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::event_channel::{
    AllocUnbound, EVTCHNOP_ALLOC_UNBOUND, EVTCHNSTAT_CLOSED, EVTCHNSTAT_INTERDOMAIN, EVTCHNSTAT_IPI,
    EVTCHNSTAT_UNBOUND, EVTCHNSTAT_VIRQ,
};
use xen_abi::shared_info::EVTCHN_PENDING_SEL;
use xen_abi::virq::{VIRQ_DEBUG, VIRQ_TIMER};

use crate::calls::refusal;
use crate::check::Checks;

/// A port far above any that is open.
const NO_PORT: u32 = 1000;
/// How long an event may take, ns: longer than any slice of another guest.
const PATIENCE: u64 = 100_000_000;
/// How long to look for an event that must not come, ns.
const LOOK: u64 = 200_000;

pub(crate) fn run(checks: &mut Checks) {
    let connected = events::connect();
    checks.same("shared-info-map", connected, Ok(()));
    if connected.is_err() {
        return;
    }
    // Nothing is open yet: no port is pending, whatever the mask says.
    let quiet = events::shared_word(events::LAYOUT.pending) | events::shared_word(EVTCHN_PENDING_SEL);
    checks.that(
        "shared-info-quiet",
        quiet == 0,
        format_args!("{quiet:#x}-mask-{:#x}", events::shared_word(events::LAYOUT.mask)),
    );
    channels(checks);
    crate::calls::vcpu_timer(checks);
    crate::queues::run(checks);
    channels(checks);
}

/// What both kinds do.
pub(crate) fn channels(checks: &mut Checks) {
    refused(checks);
    match alloc_unbound(DOMID_SELF) {
        Ok(port) => interdomain(checks, port),
        Err(error) => checks.that("alloc-unbound", false, format_args!("{error:?}")),
    }
    ipi(checks);
    virq(checks);
}

fn refused(checks: &mut Checks) {
    checks.same("send-no-port", send(NO_PORT), Err(Errno::EINVAL));
    checks.same("send-huge-port", send(u32::MAX), Err(Errno::EINVAL));
    checks.same("close-no-port", close(NO_PORT), Err(Errno::EINVAL));
    checks.same("close-port-0", close(0), Err(Errno::EINVAL));
    let ipi = bind_ipi(999);
    checks.that("ipi-no-vcpu", matches!(ipi, Err(Errno::ENOENT | Errno::EINVAL)), format_args!("{ipi:?}"));
    let virq = bind_virq(999, 0);
    checks.that("virq-unknown", virq == Err(Errno::EINVAL), format_args!("{virq:?}"));
    let foreign = bind_interdomain(77, 1);
    checks.that("bind-foreign", refusal(foreign), format_args!("{foreign:?}"));
    let mut argument = AllocUnbound { dom: 77, remote_dom: DOMID_SELF, port: 0 };
    let foreign = hypercall::event_channel(EVTCHNOP_ALLOC_UNBOUND, &mut argument);
    checks.that("alloc-for-foreign", refusal(foreign), format_args!("{foreign:?}"));
}

/// A channel from this domain to itself: one end is sent to, the other is told.
fn interdomain(checks: &mut Checks, far: u32) {
    checks.same("status-unbound", status(far).map(|status| status.status), Ok(EVTCHNSTAT_UNBOUND));
    // It is the next free port.
    let first = events::count(far + 1);
    let near = match bind_interdomain(DOMID_SELF, far) {
        Ok(port) => port,
        Err(error) => return checks.that("bind-interdomain", false, format_args!("{error:?}")),
    };
    let answer = status(near).map(|status| (status.status, status.detail_port));
    checks.same("status-interdomain", answer, Ok((EVTCHNSTAT_INTERDOMAIN, far)));
    // What was sent before the binding is lost, so binding makes a first event pending at the new end.
    checks.that("first-event", delivered(near, first + 1), format_args!("count-{}", events::count(near)));
    // Whoever had the port before may have masked it.
    let _ = unmask(far);
    let before = (events::count(far), timer::counter());
    checks.same("send", send(near), Ok(()));
    checks.that("upcall", delivered(far, before.0 + 1), format_args!("count-{}", events::count(far)));
    println!("probe: event channel to self took {} ns", timer::to_ns(events::last(far).saturating_sub(before.1)));
    masked(checks, near, far);
    // A poll for an event that is already there does not sleep; the handler must not take it first.
    events::mask(far);
    let sent = send(near).and_then(|()| poll(&[far], timer::now() + PATIENCE));
    checks.same("poll-pending", (sent, events::take(far)), (Ok(()), true));
    checks.same("close", close(near), Ok(()));
    checks.same("status-after-close", status(near).map(|status| status.status), Ok(EVTCHNSTAT_CLOSED));
    checks.same("far-end-unbound-again", status(far).map(|status| status.status), Ok(EVTCHNSTAT_UNBOUND));
    checks.same("close-far", close(far), Ok(()));
}

/// An event for a masked port stays pending until it is unmasked.
fn masked(checks: &mut Checks, near: u32, far: u32) {
    events::mask(far);
    let before = events::count(far);
    let sent = send(near);
    timer::spin_until(timer::now() + LOOK);
    let silent = events::count(far) == before && events::is_pending(far);
    checks.that("masked-stays-pending", sent.is_ok() && silent, format_args!("count-{}", events::count(far)));
    checks.same("unmask", unmask(far), Ok(()));
    checks.that("unmask-delivers", delivered(far, before + 1), format_args!("count-{}", events::count(far)));
}

fn ipi(checks: &mut Checks) {
    let port = match bind_ipi(0) {
        Ok(port) => port,
        Err(error) => return checks.that("bind-ipi", false, format_args!("{error:?}")),
    };
    checks.same("status-ipi", status(port).map(|status| status.status), Ok(EVTCHNSTAT_IPI));
    let (before, _) = (events::count(port), unmask(port));
    checks.same("ipi-send", send(port), Ok(()));
    checks.that("ipi-upcall", delivered(port, before + 1), format_args!("count-{}", events::count(port)));
    checks.same("ipi-close", close(port), Ok(()));
}

fn virq(checks: &mut Checks) {
    match bind_virq(VIRQ_TIMER, 0) {
        Ok(port) => {
            checks.same(
                "status-virq",
                status(port).map(|status| (status.status, status.detail)),
                Ok((EVTCHNSTAT_VIRQ, 0)),
            );
            checks.same("virq-twice", bind_virq(VIRQ_TIMER, 0), Err(Errno::EEXIST));
            checks.same("virq-close", close(port), Ok(()));
        }
        Err(error) => checks.that("bind-virq", false, format_args!("{error:?}")),
    }
    let debug = bind_virq(VIRQ_DEBUG, 0).and_then(close);
    checks.same("virq-debug", debug, Ok(()));
}

/// Wait until the handler has seen the port `count` times.
pub(crate) fn delivered(port: u32, count: u64) -> bool {
    let end = timer::now() + PATIENCE;
    while events::count(port) < count && timer::now() < end {
        cpu::relax();
    }
    events::count(port) == count
}
