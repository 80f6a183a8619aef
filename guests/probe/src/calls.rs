//! Hypercalls other than event channels: version, parameters, scheduling, and what must be refused.

use rt::hypercall::{self, call, operate};
use rt::{events, println, timer};
use xen_abi::errno::Errno;
use xen_abi::{console, domctl, features, hvm, hypercall as number, memory, sched, vcpu, version, virq};

use crate::arch::FEATURES;
use crate::check::Checks;
use crate::control;

/// The version this hypervisor says it is: 4.17.
const VERSION: u32 = 4 << 16 | 17;
/// A guest-physical address with nothing behind it, mapped by the guest's own tables.
const UNMAPPED: u64 = 0x1000_0000;
/// An address outside of the guest's own tables.
const BEYOND_TABLES: u64 = 0x7f_0000_0000;
/// Largest address there is: adding a length to it overflows.
const LAST: u64 = u64::MAX - 7;
/// How long a poll with a time-out sleeps, ns.
const NAP: u64 = 1_000_000;

pub(crate) fn run(checks: &mut Checks) {
    versions(checks);
    refused(checks);
    parameters(checks);
    scheduling(checks);
    lists(checks);
    controls(checks);
}

fn versions(checks: &mut Checks) {
    checks.same("xen-version", hypercall::xen_version(), Ok(VERSION));
    let page = call(number::XEN_VERSION, [u64::from(version::XENVER_PAGESIZE), 0, 0, 0, 0]);
    checks.same("xen-page-size", page, 4096);
    let offered = hypercall::features(0).unwrap_or(0);
    let everywhere = [
        ("feature-auto-translated", features::XENFEAT_AUTO_TRANSLATED_PHYSMAP),
        ("feature-not-direct-mapped", features::XENFEAT_NOT_DIRECT_MAPPED),
    ];
    for (name, bit) in everywhere.into_iter().chain(FEATURES) {
        checks.that(name, offered & 1 << bit != 0, format_args!("{offered:#x}"));
    }
    let mut extra = [0xffu8; version::EXTRAVERSION_LEN];
    let answer = operate(number::XEN_VERSION, version::XENVER_EXTRAVERSION, &mut extra);
    checks.that("xen-extraversion", answer.is_ok() && extra.contains(&0), format_args!("{answer:?}"));
}

/// Numbers and pointers that lead nowhere get an error and nothing else.
fn refused(checks: &mut Checks) {
    let enosys = Errno::ENOSYS.to_result();
    checks.same("unknown-hypercall", call(63, [0; 5]), enosys);
    checks.same("huge-hypercall", call(u64::MAX, [0; 5]), enosys);
    checks.same("unknown-version-operation", call(number::XEN_VERSION, [999, 0, 0, 0, 0]), enosys);
    let bad = |operation: u64, address| call(number::XEN_VERSION, [operation, address, 0, 0, 0]);
    let efault = Errno::EFAULT.to_result();
    let get_features = u64::from(version::XENVER_GET_FEATURES);
    checks.same("pointer-unmapped", bad(get_features, UNMAPPED), efault);
    checks.same("pointer-beyond-tables", bad(get_features, BEYOND_TABLES), efault);
    checks.same("pointer-last", bad(get_features, LAST), efault);
    let write = |address| call(number::CONSOLE_IO, [u64::from(console::CONSOLEIO_WRITE), 16, address, 0, 0]);
    checks.same("console-pointer", write(UNMAPPED), efault);
    let events = call(number::EVENT_CHANNEL_OP, [4, UNMAPPED, 0, 0, 0]);
    checks.same("event-pointer", events, efault);
    let mut foreign = hvm::HvmParam { domid: 77, index: hvm::HVM_PARAM_STORE_PFN, ..Default::default() };
    let answer = operate(number::HVM_OP, hvm::HVMOP_GET_PARAM, &mut foreign);
    checks.that("foreign-parameter", refusal(answer), format_args!("{answer:?}"));
    let (answer, _) = control::scheduler(77, domctl::XEN_DOMCTL_SCHEDOP_GETINFO, domctl::Rtds::default());
    checks.same("control-of-others", answer, Errno::EPERM.to_result());
    let mut foreign = memory::AddToPhysmap { domid: 77, ..Default::default() };
    let answer = operate(number::MEMORY_OP, memory::XENMEM_ADD_TO_PHYSMAP, &mut foreign);
    checks.that("foreign-memory", refusal(answer), format_args!("{answer:?}"));
    let mut no_space = memory::AddToPhysmap { domid: xen_abi::domid::DOMID_SELF, space: 99, ..Default::default() };
    let answer = operate(number::MEMORY_OP, memory::XENMEM_ADD_TO_PHYSMAP, &mut no_space);
    checks.that("unknown-map-space", answer.is_err(), format_args!("{answer:?}"));
}

/// What a hypervisor may answer about a domain that is not there or not ours.
pub(crate) fn refusal<T>(answer: Result<T, Errno>) -> bool {
    matches!(answer, Err(Errno::EPERM | Errno::ESRCH | Errno::EACCES))
}

fn parameters(checks: &mut Checks) {
    let callback = hypercall::get_param(hvm::HVM_PARAM_CALLBACK_IRQ);
    checks.that("parameter-get", callback.is_ok(), format_args!("{callback:?}"));
    checks.same("parameter-unknown", hypercall::get_param(hvm::HVM_NR_PARAMS), Err(Errno::EINVAL));
    checks.same("parameter-huge", hypercall::get_param(u32::MAX), Err(Errno::EINVAL));
    let set = hypercall::set_param(hvm::HVM_NR_PARAMS, 1);
    checks.same("parameter-set-unknown", set, Err(Errno::EINVAL));
}

fn scheduling(checks: &mut Checks) {
    checks.same("yield", hypercall::yield_cpu(), Ok(()));
    checks.same("unknown-sched-operation", call(number::SCHED_OP, [999, 0, 0, 0, 0]), Errno::ENOSYS.to_result());
    // Time-outs are in system time, which the virtual counter is not.
    let (before, system) = (timer::now(), timer::system_time());
    checks.same("poll-time-out", hypercall::poll(&[], system + NAP), Ok(()));
    let slept = timer::now() - before;
    println!("probe: a poll of {NAP} ns took {slept} ns");
    checks.that("poll-sleeps", slept >= NAP / 2, format_args!("{slept}-ns"));
    let mut too_many = sched::Poll { nr_ports: 129, ..Default::default() };
    let answer = operate(number::SCHED_OP, sched::SCHEDOP_POLL, &mut too_many);
    checks.that("poll-too-many", answer.is_err(), format_args!("{answer:?}"));
    // What the cheapest calls cost, for people; the figures' gates have their own scenario.
    const CALLS: u64 = 1000;
    let before = timer::counter();
    for _ in 0..CALLS {
        let _ = hypercall::xen_version();
    }
    println!("probe: xen_version takes {} ns", timer::to_ns(timer::counter() - before) / CALLS);
}

fn lists(checks: &mut Checks) {
    const LENGTH: usize = 20;
    let unknown = number::MulticallEntry { op: 63, ..Default::default() };
    let version = number::MulticallEntry { op: number::XEN_VERSION, ..Default::default() };
    let nested = number::MulticallEntry { op: number::MULTICALL, ..Default::default() };
    let mut list = [version; LENGTH];
    (list[0], list[1]) = (unknown, nested);
    let answer = hypercall::multicall(&mut list);
    let errors = [Errno::ENOSYS, Errno::EINVAL].map(Errno::to_result);
    let results = list.map(|entry| entry.result);
    let fine = results.starts_with(&errors) && results[2..].iter().all(|result| *result == u64::from(VERSION));
    checks.that("multicall", answer.is_ok() && fine, format_args!("{answer:?}-{results:x?}"));
    checks.same("multicall-pointer", call(number::MULTICALL, [UNMAPPED, 1, 0, 0, 0]), Errno::EFAULT.to_result());
}

/// What a plain guest may not do, and what there is not on ARM.
fn controls(checks: &mut Checks) {
    let mut other = sched::RemoteShutdown { domain_id: 77, pad0: 0, reason: 0 };
    let answer = operate(number::SCHED_OP, sched::SCHEDOP_REMOTE_SHUTDOWN, &mut other);
    checks.that("remote-shutdown", refusal(answer), format_args!("{answer:?}"));
    let pinned = operate(number::SCHED_OP, sched::SCHEDOP_PIN_OVERRIDE, &mut sched::PinOverride { pcpu: 0 });
    checks.same("pin-override", pinned, Err(Errno::EPERM));
    let enosys = Errno::ENOSYS.to_result();
    for (name, number) in [("physdev", number::PHYSDEV_OP), ("argo", number::ARGO_OP), ("xsm", number::XSM_OP)] {
        checks.same(name, call(number, [0; 5]), enosys);
    }
    let up = hypercall::vcpu_op(vcpu::VCPUOP_UP, 0, &mut 0u64);
    checks.same("vcpu-up", up, Err(Errno::EINVAL));
    checks.same("watchdog-none", hypercall::watchdog(1, 1), Err(Errno::EINVAL));
    let fed = hypercall::watchdog(0, 100).and_then(|id| hypercall::watchdog(id as u32, 0));
    checks.same("watchdog", fed, Ok(0));
    let assist = call(number::VM_ASSIST, [9, 4, 0, 0, 0]);
    checks.same("vm-assist-unknown-type", assist, Errno::EINVAL.to_result());
}

/// A vCPU's own timer, with events connected: it rings on time, or says that its time is over.
pub(crate) fn vcpu_timer(checks: &mut Checks) {
    let set = |at, flags| {
        let mut argument = vcpu::SetSingleshotTimer { timeout_abs_ns: at, flags, pad0: 0 };
        hypercall::vcpu_op(vcpu::VCPUOP_SET_SINGLESHOT_TIMER, 0, &mut argument)
    };
    checks.same("timer-over", set(1, vcpu::VCPU_SSHOTTMR_FUTURE), Err(Errno::ETIME));
    let port = match hypercall::bind_virq(virq::VIRQ_TIMER, 0) {
        Ok(port) => port,
        Err(error) => return checks.that("timer-bind", false, format_args!("{error:?}")),
    };
    let (count, _) = (events::count(port), hypercall::unmask(port));
    let before = timer::now();
    checks.same("timer-set", set(timer::system_time() + NAP, vcpu::VCPU_SSHOTTMR_FUTURE), Ok(0));
    let rang = crate::events::delivered(port, count + 1);
    let took = timer::now() - before;
    checks.that("timer-rings", rang && (NAP..2 * NAP).contains(&took), format_args!("{took}-ns"));
    let mut period = vcpu::SetPeriodicTimer { period_ns: NAP };
    checks.same("timer-period", hypercall::vcpu_op(vcpu::VCPUOP_SET_PERIODIC_TIMER, 0, &mut period), Ok(0));
    checks.that("timer-rings-again", crate::events::delivered(port, count + 2), "once");
    checks.same("timer-stop", hypercall::vcpu_op(vcpu::VCPUOP_STOP_PERIODIC_TIMER, 0, &mut 0u64), Ok(0));
    checks.same("timer-close", hypercall::close(port), Ok(()));
}
