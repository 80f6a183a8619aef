//! The processor as the guest sees it.

use rt::{Machine, cpu, misbehave, timer, trap};

use crate::UNMAPPED;
use crate::check::Checks;

/// Long enough that other guests run in between, where there are any: 64 ms at 5 instructions a round.
const FLOAT_ROUNDS: u64 = 12_800_000;
/// An address that is none: neither the lower nor the upper half of what there is.
const NOT_CANONICAL: u64 = 1 << 60;
/// Sleeps whose lateness is shown, and how long each is, ns.
const SAMPLES: u64 = 8;
const STEP: u64 = 500_000;
/// Later than this, ns, a timer counts as lost: longer than any slice of another guest.
const LOST: u64 = 100_000_000;

/// CPUID leaf 1, EDX: a local APIC, SSE2. ECX: VMX; a hypervisor is there.
const SSE2: u32 = 1 << 26;
const VMX: u32 = 1 << 5;
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 0x8000_0001, EDX: 64-bit mode. ECX: SVM.
const LONG_MODE: u32 = 1 << 29;
const SVM: u32 = 1 << 2;

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let basic = cpu::identify(1, 0);
    let extended = cpu::identify(0x8000_0001, 0);
    checks.that("sse2-offered", basic.edx & SSE2 != 0, format_args!("{:#x}", basic.edx));
    checks.that("long-mode-offered", extended.edx & LONG_MODE != 0, format_args!("{:#x}", extended.edx));
    if machine.hypervisor {
        checks.that("hypervisor-shown", basic.ecx & HYPERVISOR != 0, format_args!("{:#x}", basic.ecx));
        let nested = (basic.ecx & VMX, extended.ecx & SVM);
        checks.same("no-nested-virtualization", nested, (0, 0));
    }
    checks.that("float-kept", cpu::float_survives(0x0123_4567_89ab_cdef, FLOAT_ROUNDS), "a-vector-register-changed");
    counter_runs(checks);
    exceptions(checks);
    if timer::interrupts() {
        lateness(checks);
    }
}

fn counter_runs(checks: &mut Checks) {
    let before = timer::counter();
    timer::spin_until(timer::now() + 1_000);
    let after = timer::counter();
    checks.that("counter-runs", after > before, format_args!("{before}-to-{after}"));
}

/// They reach the guest, with what belongs to them.
fn exceptions(checks: &mut Checks) {
    let class = |caught: Option<u64>| caught.map(trap::class);
    let caught = trap::catch(misbehave::undefined_instruction);
    checks.same("undefined-reaches-guest", class(caught), Some("undefined instruction"));
    let caught = trap::catch(|| {
        misbehave::read(NOT_CANONICAL);
    });
    checks.same("not-canonical", class(caught), Some("general protection fault"));
    // Beyond the guest's own map: a page fault of its own, with the address.
    let caught = trap::catch(|| misbehave::write(UNMAPPED << 8));
    checks.same("page-fault", (class(caught), trap::last().address), (Some("page fault"), UNMAPPED << 8));
}

/// Sleeps that end by the timer.
fn lateness(checks: &mut Checks) {
    let mut worst = 0;
    for _ in 0..SAMPLES {
        worst = worst.max(timer::wait_until(timer::now() + STEP).unwrap_or(u64::MAX));
    }
    rt::println!("probe: timer lateness from HLT at most {worst} ns");
    checks.that("timer-from-hlt", worst < LOST, format_args!("{worst}-ns"));
    let mut worst = 0;
    for _ in 0..SAMPLES {
        let (before, deadline) = (timer::count(), timer::now() + STEP);
        timer::set(timer::to_ticks(deadline));
        timer::spin_until(deadline + STEP / 4);
        let fired = timer::count() > before;
        worst = worst.max(if fired { timer::to_ns(timer::last()).saturating_sub(deadline) } else { u64::MAX });
    }
    timer::cancel();
    rt::println!("probe: timer lateness while running at most {worst} ns");
    checks.that("timer-while-running", worst < LOST, format_args!("{worst}-ns"));
}
