//! The processor as the guest sees it.

use rt::{Machine, cpu, read_register, timer, trap};

use crate::check::Checks;

/// Long enough that other guests run in between, where there are any: 64 ms at 5 instructions a round.
const FLOAT_ROUNDS: u64 = 12_800_000;

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let level = read_register!("currentel") >> 2 & 3;
    checks.same("exception-level", level, 1);
    let midr = read_register!("midr_el1");
    checks.that("midr", midr >> 24 & 0xff == 0x41, format_args!("{midr:#x}"));
    // Affinity fields; bits 31 (set), 30 (uniprocessor) and 24 are not part of the tree's number.
    let mpidr = read_register!("mpidr_el1");
    checks.same("mpidr", mpidr & 0xff_00ff_ffff, machine.cpus().first().copied().unwrap_or(u64::MAX));
    checks.that("mpidr-format", mpidr & 1 << 31 != 0, format_args!("{mpidr:#x}"));
    let features = read_register!("id_aa64pfr0_el1");
    checks.that("float-offered", features >> 16 & 0xf != 0xf, format_args!("{features:#x}"));
    checks.that("float-kept", cpu::float_survives(0x0123_4567_89ab_cdef, FLOAT_ROUNDS), "a-vector-register-changed");
    let frequency = read_register!("cntfrq_el0");
    checks.that("counter-frequency", frequency >= 1_000_000, format_args!("{frequency}"));
    counter_runs(checks);
    // Neither WFI with an interrupt in sight nor WFE after SEV may hang.
    cpu::send_event();
    cpu::wait_for_event();
    checks.that("wfe-returns", true, "");
    let syndrome = trap::catch(rt::misbehave::undefined_instruction);
    checks.same("undefined-reaches-guest", syndrome.map(trap::class), Some("undefined instruction"));
}

fn counter_runs(checks: &mut Checks) {
    let before = timer::counter();
    timer::spin_until(timer::now() + 1_000);
    let after = timer::counter();
    checks.that("counter-runs", after > before, format_args!("{before}-to-{after}"));
}
