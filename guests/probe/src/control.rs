//! A guest that may control others: it changes what another domain is promised while that runs.

use rt::hypercall::call;
use rt::{Machine, timer};
use xen_abi::domctl::{
    Rtds, SchedulerControl, SchedulerOp, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMCTL_SCHEDOP_GETINFO,
    XEN_DOMCTL_SCHEDOP_PUTINFO, XEN_DOMCTL_SCHEDULER_OP, XEN_SCHEDULER_RTDS,
};
use xen_abi::errno::Errno;
use xen_abi::hypercall::DOMCTL;

use crate::check::Checks;

/// When the reservation is changed, and when the machine ends, ns since power-on.
const CHANGE: u64 = 100_000_000;
const END: u64 = 300_000_000;
/// What the manifest promises, and what is promised then.
const OLD: Rtds = Rtds { period: 10_000, budget: 2_000, flags: 0 };
const NEW: Rtds = Rtds { period: 20_000, budget: 12_000, flags: 0 };

/// The call about a domain: its result, and what it wrote.
pub(crate) fn scheduler(domain: u16, cmd: u32, Rtds { period, budget, flags }: Rtds) -> (u64, Rtds) {
    let mut control = SchedulerControl {
        cmd: XEN_DOMCTL_SCHEDULER_OP,
        interface_version: XEN_DOMCTL_INTERFACE_VERSION,
        domain,
        pad: [0; 3],
        op: SchedulerOp { sched_id: XEN_SCHEDULER_RTDS, cmd, u: [period, budget, flags, 0] },
    };
    let result = call(DOMCTL, [&raw mut control as u64, 0, 0, 0, 0]);
    let [period, budget, flags, _] = control.op.u;
    (result, Rtds { period, budget, flags })
}

/// Changes the reservation of the domain that the boot argument `domain=` names.
pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let domain = machine.argument("domain").and_then(|number| number.parse().ok()).unwrap_or(0);
    let get = || scheduler(domain, XEN_DOMCTL_SCHEDOP_GETINFO, Rtds::default());
    let put = |terms| scheduler(domain, XEN_DOMCTL_SCHEDOP_PUTINFO, terms).0;
    checks.same("reservation-of-the-manifest", get(), (0, OLD));
    let refused = [
        ("no-budget", Rtds { budget: 0, ..OLD }, Errno::EINVAL),
        ("no-period", Rtds { period: 0, ..OLD }, Errno::EINVAL),
        ("budget-over-period", Rtds { budget: 10_001, ..OLD }, Errno::EINVAL),
        ("huge-times", Rtds { period: u32::MAX, budget: u32::MAX, flags: 0 }, Errno::EINVAL),
        ("does-not-fit", Rtds { budget: 9_600, ..OLD }, Errno::ENOSPC),
    ];
    for (name, terms, errno) in refused {
        checks.same(name, put(terms), errno.to_result());
    }
    checks.same("reservation-as-before", get(), (0, OLD));
    timer::wait_until(CHANGE);
    checks.same("reservation-changed", put(NEW), 0);
    checks.same("reservation-is-new", get(), (0, NEW));
    timer::wait_until(END);
}
