//! Timers that a guest sets by hypercalls: those of its vCPUs, and its watchdogs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine};
use host_tests::MS;
use host_tests::puppet::{Stage, outcome};
use hyp_core::arch::{Arch, Exit, ShutdownReason};
use hyp_core::domain::{DomainConfig, EndAction, EndActions};
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::hypercall::{SCHED_OP, VCPU_OP};
use xen_abi::sched::{SCHEDOP_BLOCK, SCHEDOP_WATCHDOG, Watchdog};
use xen_abi::vcpu::{
    SetPeriodicTimer, SetSingleshotTimer, VCPU_SSHOTTMR_FUTURE, VCPUOP_SET_PERIODIC_TIMER, VCPUOP_SET_SINGLESHOT_TIMER,
    VCPUOP_STOP_PERIODIC_TIMER, VCPUOP_STOP_SINGLESHOT_TIMER,
};

/// A guest of two vCPUs with the timer's interrupt of vCPU 0 bound to port 1, beside another one.
fn stage(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    stage.add(&DomainConfig { vcpus: 2, ..DomainConfig::new("one") });
    stage.add(&DomainConfig::new("two"));
    let mut arg = ec::BindVirq { virq: 0, vcpu: 0, port: 0 };
    stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut arg).unwrap();
    assert_eq!(arg.port, 1);
    stage
}

fn now(stage: &Stage<'_>) -> u64 {
    stage.machine.hypervisor.arch().now()
}

/// Whether the timer has rung since this was asked last.
fn rang(stage: &Stage<'_>) -> bool {
    let shared = &stage.domain(0).shared;
    shared[0].store(0, Ordering::Relaxed);
    shared[1].store(0, Ordering::Relaxed);
    shared[6].swap(0, Ordering::Relaxed) & 1 << 1 != 0
}

fn single(stage: &mut Stage<'_>, vcpu: u64, at: u64, flags: u32) -> Result<u64, Errno> {
    let mut arg = SetSingleshotTimer { timeout_abs_ns: at, flags, pad0: 0 };
    stage.call(0, VCPU_OP, [VCPUOP_SET_SINGLESHOT_TIMER.into(), vcpu, 0], 2, &mut arg)
}

fn periodic(stage: &mut Stage<'_>, vcpu: u64, period_ns: u64) -> Result<u64, Errno> {
    let mut arg = SetPeriodicTimer { period_ns };
    stage.call(0, VCPU_OP, [VCPUOP_SET_PERIODIC_TIMER.into(), vcpu, 0], 2, &mut arg)
}

fn vcpu_op(stage: &mut Stage<'_>, operation: u32, vcpu: u64) -> Result<u64, Errno> {
    outcome(stage.act(0, Act::call(VCPU_OP, [operation.into(), vcpu])))
}

#[test]
fn a_timer_that_rings_once_rings_on_time_and_once() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let at = now(&stage) + 20 * MS;
    assert_eq!(single(&mut stage, 0, at, VCPU_SSHOTTMR_FUTURE), Ok(0));
    // Whether it runs meanwhile or another one does.
    stage.pass(0, 10 * MS);
    stage.pass(1, 9 * MS);
    assert!(!rang(&stage));
    stage.pass(0, 2 * MS);
    assert!(rang(&stage));
    stage.pass(0, 50 * MS);
    assert!(!rang(&stage));
}

#[test]
fn a_blocked_vcpu_is_woken_by_its_timer() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let at = now(&stage) + 20 * MS;
    single(&mut stage, 0, at, 0).unwrap();
    stage.begin(0, 0, Act::call(SCHED_OP, [SCHEDOP_BLOCK.into()]));
    stage.pass(1, 15 * MS);
    assert_eq!(stage.result(0, 0), None);
    stage.pass(1, 10 * MS);
    assert_eq!(stage.result(0, 0), Some(0));
    assert!(rang(&stage));
}

#[test]
fn a_time_that_is_over_rings_at_once_or_is_refused() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    stage.pass(0, MS);
    assert_eq!(single(&mut stage, 0, 1, VCPU_SSHOTTMR_FUTURE), Err(Errno::ETIME));
    stage.pass(0, MS);
    assert!(!rang(&stage));
    assert_eq!(single(&mut stage, 0, 1, 0), Ok(0));
    stage.pass(0, MS);
    assert!(rang(&stage));
}

#[test]
fn stopping_stops() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let at = now(&stage) + 5 * MS;
    single(&mut stage, 0, at, 0).unwrap();
    periodic(&mut stage, 0, 3 * MS).unwrap();
    assert_eq!(vcpu_op(&mut stage, VCPUOP_STOP_SINGLESHOT_TIMER, 0), Ok(0));
    assert_eq!(vcpu_op(&mut stage, VCPUOP_STOP_PERIODIC_TIMER, 0), Ok(0));
    stage.pass(0, 20 * MS);
    assert!(!rang(&stage));
}

#[test]
fn a_period_comes_again_and_again() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    periodic(&mut stage, 0, 10 * MS).unwrap();
    let rings = (0..100).filter(|turn| {
        stage.pass(turn % 2, MS);
        rang(&stage)
    });
    assert_eq!(rings.count(), 10);
}

#[test]
fn what_is_no_period_and_whose_timer_it_is_not() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    for period in [0, MS - 1, (u64::MAX >> 2) + 1, u64::MAX] {
        assert_eq!(periodic(&mut stage, 0, period), Err(Errno::EINVAL), "{period}");
    }
    assert_eq!(periodic(&mut stage, 1, MS), Ok(0), "another vCPU of its own");
    assert_eq!(periodic(&mut stage, 2, MS), Err(Errno::ENOENT));
    assert_eq!(single(&mut stage, 1, 1, 0), Err(Errno::EINVAL), "only for itself");
    assert_eq!(vcpu_op(&mut stage, VCPUOP_STOP_SINGLESHOT_TIMER, 1), Err(Errno::EINVAL));
    assert_eq!(single(&mut stage, 2, 1, 0), Err(Errno::ENOENT));
}

fn watchdog(stage: &mut Stage<'_>, id: u32, timeout: u32) -> Result<u64, Errno> {
    stage.call(0, SCHED_OP, [SCHEDOP_WATCHDOG.into(), 0, 0], 1, &mut Watchdog { id, timeout })
}

const SECOND: u64 = 1000 * MS;

#[test]
fn a_watchdog_that_nobody_feeds_ends_the_domain() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    assert_eq!(watchdog(&mut stage, 0, 2), Ok(1));
    for _ in 0..4 {
        stage.pass(1, SECOND);
        assert_eq!(watchdog(&mut stage, 1, 2), Ok(0));
    }
    // Asleep or not.
    stage.begin(0, 0, Act::call(SCHED_OP, [SCHEDOP_BLOCK.into()]));
    stage.pass(1, 2 * SECOND - 100 * MS);
    assert!(!machine.reported("name=one state=crashed"));
    stage.pass(1, 200 * MS);
    assert!(machine.reported("name=one state=crashed reason=watchdog"));
}

#[test]
fn a_watchdog_ends_also_who_never_leaves_its_cpu_and_dies_with_the_life_it_was_set_in() {
    let machine = Machine::new(1);
    let mut stage = Stage::new(&machine);
    let actions = EndActions { watchdog: EndAction::Restart, ..EndActions::DEFAULT };
    stage.add(&DomainConfig { actions, ..DomainConfig::new("one") });
    stage.add(&DomainConfig::new("two"));
    for (id, timeout) in [(0, 1), (0, 2)] {
        watchdog(&mut stage, id, timeout).unwrap();
    }
    stage.begin(0, 0, Act::Compute(1500 * MS));
    stage.pass(1, SECOND);
    assert!(machine.reported("name=one state=restarted reason=watchdog"));
    stage.pass(1, 3 * SECOND);
    let ends = machine.reports().into_iter().filter(|line| line.contains("state=restarted"));
    assert_eq!(ends.count(), 1);
    // Nor does one of a life that ended otherwise.
    watchdog(&mut stage, 0, 1).unwrap();
    stage.act(0, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    (0..3).for_each(|_| stage.pass(1, SECOND));
    let ends = machine.reports().into_iter().filter(|line| line.contains("reason=watchdog"));
    assert_eq!(ends.count(), 1);
}

#[test]
fn watchdogs_are_two_and_have_numbers() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    assert_eq!(watchdog(&mut stage, 0, 0), Err(Errno::EINVAL));
    assert_eq!(watchdog(&mut stage, 1, 5), Err(Errno::EINVAL), "not set up");
    assert_eq!((watchdog(&mut stage, 0, 5), watchdog(&mut stage, 0, 5)), (Ok(1), Ok(2)));
    assert_eq!(watchdog(&mut stage, 0, 5), Err(Errno::ENOSPC));
    for id in [3, 4, u32::MAX] {
        assert_eq!(watchdog(&mut stage, id, 5), Err(Errno::EINVAL), "{id}");
    }
    assert_eq!(watchdog(&mut stage, 1, 0), Ok(0));
    assert_eq!(watchdog(&mut stage, 1, 0), Err(Errno::EINVAL), "removed");
    assert_eq!(watchdog(&mut stage, 0, u32::MAX), Ok(1));
    assert_eq!(watchdog(&mut stage, 2, 0), Ok(0));
    (0..10).for_each(|_| stage.pass(1, SECOND));
    assert!(!machine.reported("name=one state=crashed"));
}
