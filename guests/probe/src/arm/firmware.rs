//! Firmware calls: PSCI and SMCCC.

use rt::psci::{self, function};
use rt::{Machine, cpu, gic, println, smp, timer};

use crate::check::Checks;

/// A number that nobody has given out, in the range of the operating system's own services.
const UNKNOWN: u32 = 0x8600_ff77;
/// Affinity of a vCPU that no domain has: the last one in its cluster numbering, 15.15 of Aff1 and Aff0.
const NOBODY: u64 = 0xf0f;
/// AFFINITY_INFO: the vCPU is on, is off.
const ON: i64 = 0;
const OFF: i64 = 1;
/// How long a started vCPU may take: ns.
const PATIENCE: u64 = 500_000_000;
/// MPIDR affinity of vCPU 0.
const FIRST: u64 = 0;
/// SGI between vCPUs.
const SGI: u32 = 2;
/// The SGI that answers it, to vCPU 0.
const ANSWER: u32 = 5;

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let call = |function| psci::call(function, 0, 0, 0);
    let version = call(function::VERSION);
    checks.that("psci-version", version >= 0x1_0000, format_args!("{version:#x}"));
    for (name, function) in [
        ("psci-features-cpu-on", function::CPU_ON),
        ("psci-features-system-off", function::SYSTEM_OFF),
        ("psci-features-system-reset", function::SYSTEM_RESET),
    ] {
        checks.same(name, psci::call(function::FEATURES, u64::from(function), 0, 0), 0);
    }
    let unknown = psci::call(function::FEATURES, u64::from(UNKNOWN), 0, 0);
    checks.same("psci-features-unknown", unknown, psci::NOT_SUPPORTED);
    let migrate = call(function::MIGRATE_INFO_TYPE);
    checks.that("psci-migrate-info-type", migrate == 2 || migrate == psci::NOT_SUPPORTED, format_args!("{migrate}"));
    let own = machine.cpus().first().copied().unwrap_or_default();
    checks.same("psci-affinity-info", psci::call(function::AFFINITY_INFO, own, 0, 0), ON);
    checks.same("psci-cpu-on-self", psci::call(function::CPU_ON, own, 0x4008_0000, 0), psci::ALREADY_ON);
    let nobody = psci::call(function::CPU_ON, NOBODY, 0x4008_0000, 0);
    checks.same("psci-cpu-on-nobody", nobody, psci::INVALID_PARAMETERS);
    if machine.hypervisor {
        let smccc = call(function::SMCCC_VERSION);
        checks.that("smccc-version", smccc >= 0x1_0001, format_args!("{smccc:#x}"));
        checks.same("hvc-unknown", call(UNKNOWN), psci::NOT_SUPPORTED);
        let mut by_smc = 0;
        let trapped = rt::trap::catch(|| by_smc = psci::call_by_smc(UNKNOWN, 0, 0, 0));
        checks.same("smc-unknown", (trapped, by_smc), (None, psci::NOT_SUPPORTED));
    }
}

/// Start every other vCPU; each marks itself as started, answers one SGI and switches itself off.
pub(crate) fn start_others(checks: &mut Checks, machine: &'static Machine) {
    gic::enable(ANSWER);
    for (index, &mpidr) in machine.cpus().iter().enumerate().skip(1) {
        let info = |target| psci::call(function::AFFINITY_INFO, target, 0, 0);
        checks.same("vcpu-off-at-first", info(mpidr), OFF);
        checks.same("vcpu-start", smp::start(machine, index, answer), Ok(()));
        let before = smp::started();
        let up = wait_for(|| smp::started() >= index);
        checks.that("vcpu-runs", up, format_args!("vcpu-{index}-of-{before}-started"));
        if !up {
            return;
        }
        checks.same("vcpu-start-again", smp::start(machine, index, answer), Err(psci::ALREADY_ON));
        gic::send_sgi(SGI, mpidr);
        checks.that("vcpu-takes-sgi", wait_for(|| gic::count_on(index, SGI) > 0), format_args!("vcpu-{index}"));
        let answers = wait_for(|| gic::count(ANSWER) >= index as u64);
        checks.that("vcpu-answers", answers, format_args!("vcpu-{index}"));
        if machine.gic.is_some_and(|gic| gic.version() == 2) {
            checks.same("sgi-sender", gic::sender(ANSWER), index as u32);
        }
        checks.that("vcpu-switches-off", wait_for(|| info(mpidr) == OFF), format_args!("vcpu-{index}"));
    }
}

fn answer(index: usize) {
    gic::enable(SGI);
    println!("probe: vCPU {index} is up");
    wait_for(|| gic::count(SGI) > 0);
    gic::send_sgi(ANSWER, FIRST);
}

fn wait_for(condition: impl Fn() -> bool) -> bool {
    let end = timer::now() + PATIENCE;
    while timer::now() < end {
        if condition() {
            return true;
        }
        cpu::relax();
    }
    condition()
}
