//! Interrupt controller and timer.

use rt::{Machine, cpu, gic, println, read_register, timer};

use crate::check::Checks;

const SGI: u32 = 3;
/// Sleeps and waits whose lateness is shown.
const SAMPLES: u64 = 8;
/// Between two of them, ns: shorter than any slice of another guest would be.
const STEP: u64 = 500_000;
/// Later than this, ns, a timer counts as lost: longer than any slice of another guest.
const LOST: u64 = 100_000_000;

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let Some(version) = machine.gic.map(gic::Gic::version).filter(|_| gic::present()) else {
        return checks.that("gic-present", false, "no-interrupt-controller-or-no-redistributor");
    };
    checks.same("gic-revision", gic::revision(machine), Some(version));
    let lines = gic::distributor_type(machine).unwrap_or(0);
    checks.that("gic-distributor-type", lines & 0x1f != 0, format_args!("{lines:#x}"));
    if let Some(redistributor) = gic::redistributor_type() {
        let affinity = read_register!("mpidr_el1") & 0xff_ffff;
        checks.same("gic-redistributor-affinity", redistributor >> 32, affinity);
    }
    gic::enable(SGI);
    checks.that("gic-enable", gic::enabled() & 1 << SGI != 0, format_args!("{:#x}", gic::enabled()));
    sgi_to_self(checks);
    gic::disable(SGI);
    checks.that("gic-disable", gic::enabled() & 1 << SGI == 0, format_args!("{:#x}", gic::enabled()));
    disabled_timer_is_silent(checks);
    lateness(checks);
}

fn sgi_to_self(checks: &mut Checks) {
    let sent = timer::counter();
    gic::send_sgi(SGI, read_register!("mpidr_el1"));
    let end = timer::now() + LOST;
    while gic::count(SGI) == 0 && timer::now() < end {
        cpu::relax();
    }
    checks.same("sgi-to-self", gic::count(SGI), 1);
    println!("probe: SGI to self took {} ns", timer::to_ns(gic::last(SGI).saturating_sub(sent)));
}

fn disabled_timer_is_silent(checks: &mut Checks) {
    let before = gic::count(timer::intid());
    gic::disable(timer::intid());
    timer::set(timer::counter());
    timer::spin_until(timer::now() + STEP);
    checks.same("timer-disabled-at-gic", gic::count(timer::intid()), before);
    // It is still pending: enabling lets it through.
    gic::enable(timer::intid());
    timer::spin_until(timer::now() + STEP);
    checks.same("timer-pending-then-enabled", gic::count(timer::intid()), before + 1);
    timer::cancel();
}

fn lateness(checks: &mut Checks) {
    let mut worst = 0;
    for _ in 0..SAMPLES {
        worst = worst.max(timer::wait_until(timer::now() + STEP).unwrap_or(u64::MAX));
    }
    println!("probe: timer lateness from WFI at most {worst} ns");
    checks.that("timer-from-wfi", worst < LOST, format_args!("{worst}-ns"));
    let mut worst = 0;
    for _ in 0..SAMPLES {
        let (before, deadline) = (gic::count(timer::intid()), timer::now() + STEP);
        timer::set(timer::to_ticks(deadline));
        timer::spin_until(deadline + STEP / 4);
        let fired = gic::count(timer::intid()) > before;
        let late = timer::to_ns(gic::last(timer::intid())).saturating_sub(deadline);
        worst = worst.max(if fired { late } else { u64::MAX });
        timer::cancel();
    }
    println!("probe: timer lateness while running at most {worst} ns");
    checks.that("timer-while-running", worst < LOST, format_args!("{worst}-ns"));
}
