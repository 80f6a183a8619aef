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
    active_holds_back(checks);
    gic::disable(SGI);
    checks.that("gic-disable", gic::enabled() & 1 << SGI == 0, format_args!("{:#x}", gic::enabled()));
    disabled_timer_is_silent(checks);
    switched_off_timer_is_silent(checks);
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

/// An interrupt that is active is not taken; ICACTIVER lets it through.
fn active_holds_back(checks: &mut Checks) {
    let before = gic::count(SGI);
    gic::set_active(SGI, true);
    gic::send_sgi(SGI, read_register!("mpidr_el1"));
    timer::spin_until(timer::now() + STEP / 10);
    let bit = 1 << SGI;
    let state = (gic::active() & bit != 0, gic::pending() & bit != 0, gic::count(SGI) - before);
    checks.same("gic-active-holds-back", state, (true, true, 0));
    gic::set_active(SGI, false);
    timer::spin_until(timer::now() + STEP / 10);
    let state = (gic::active() & bit != 0, gic::pending() & bit != 0, gic::count(SGI) - before);
    checks.same("gic-inactive-lets-through", state, (false, false, 1));
}

fn disabled_timer_is_silent(checks: &mut Checks) {
    let before = gic::count(timer::intid());
    gic::disable(timer::intid());
    timer::set(timer::counter());
    timer::spin_until(timer::now() + STEP);
    checks.same("timer-disabled-at-gic", gic::count(timer::intid()), before);
    let shown = || gic::pending() & 1 << timer::intid() != 0;
    checks.same("timer-line-shows", shown(), true);
    timer::cancel();
    checks.same("timer-line-falls", shown(), false);
    timer::set(timer::counter());
    timer::spin_until(timer::now() + STEP / 10);
    // It is still pending: enabling lets it through.
    gic::enable(timer::intid());
    timer::spin_until(timer::now() + STEP);
    checks.same("timer-pending-then-enabled", gic::count(timer::intid()), before + 1);
    timer::cancel();
}

/// A timer that is switched off before its interrupt is taken does not interrupt. Nothing tells a hypervisor of the switch
/// itself, so there is an access to the interrupt controller in between.
fn switched_off_timer_is_silent(checks: &mut Checks) {
    let before = gic::count(timer::intid());
    cpu::mask_interrupts();
    timer::set(timer::counter());
    timer::spin_until(timer::now() + STEP / 10);
    let shown = || gic::pending() & 1 << timer::intid() != 0;
    let up = shown();
    timer::cancel();
    let down = !shown();
    cpu::unmask_interrupts();
    timer::spin_until(timer::now() + STEP / 10);
    checks.same("timer-switched-off", (up, down, gic::count(timer::intid()) - before), (true, true, 0));
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
