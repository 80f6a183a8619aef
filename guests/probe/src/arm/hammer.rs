//! The attacker of the interrupt controller: loads and stores at random, all over its registers, in every width and at
//! every alignment, while its timer is due. The hypervisor must neither fall nor mind; afterwards everything is set up
//! anew and must work, for a vCPU too that was off meanwhile and whose registers were within reach.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rt::{Machine, cpu, gic, misbehave, println, psci, smp, timer, trap, tree};

use super::interrupts;
use crate::check::Checks;

const ACCESSES: u32 = 1_200_000;
const SGI: u32 = 6;
/// How long the other vCPU may take, ns.
const PATIENCE: u64 = 5_000_000_000;
/// Bytes of one vCPU's redistributor, for a GICv3.
const REDISTRIBUTOR: usize = 0x2_0000;

static READY: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(checks: &mut Checks, machine: &'static Machine) {
    let Some(regions) = gic::regions(machine) else {
        return checks.that("gic-present", false, "no-interrupt-controller");
    };
    let kind = gic::distributor_type(machine);
    hammer(0x6d61_6b75_6861_7269, regions);
    gic::recover(machine);
    gic::recover_here(machine);
    cpu::unmask_interrupts();
    println!("probe: {ACCESSES} accesses");
    checks.same("gic-the-same", gic::distributor_type(machine), kind);
    interrupts::run(checks, machine);
    let Some(&mpidr) = machine.cpus().get(1) else { return };
    checks.same("vcpu-start", smp::start(machine, 1, other), Ok(()));
    checks.that("vcpu-recovers", wait_for(|| READY.load(SeqCst)), "");
    let before = gic::count_on(1, SGI);
    gic::send_sgi(SGI, mpidr);
    checks.that("vcpu-takes-sgi", wait_for(|| gic::count_on(1, SGI) == before + 1), gic::count_on(1, SGI));
    let off = || psci::call(psci::function::AFFINITY_INFO, mpidr, 0, 0) == 1;
    checks.that("vcpu-switches-off", wait_for(off), "");
}

/// What the second vCPU does.
fn other(_: usize) {
    cpu::mask_interrupts();
    if let Some(machine) = tree::machine() {
        gic::recover_here(machine);
    }
    gic::enable(SGI);
    cpu::unmask_interrupts();
    let before = gic::count(SGI);
    READY.store(true, SeqCst);
    wait_for(|| gic::count(SGI) > before);
}

fn wait_for(condition: impl Fn() -> bool) -> bool {
    let end = timer::now() + PATIENCE;
    while !condition() && timer::now() < end {
        cpu::relax();
    }
    condition()
}

/// Xorshift64 (Marsaglia 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Leaves interrupts masked and the timer off.
fn hammer(seed: u64, regions: [(usize, usize); 2]) {
    cpu::mask_interrupts();
    timer::set(timer::counter());
    let mut random = seed;
    // A GICv2's CPU interface is the hardware's, which refuses what is not aligned.
    trap::catch(|| {
        for _ in 0..ACCESSES {
            let (choice, value) = (next(&mut random), next(&mut random));
            let (address, bytes) = place(choice, regions);
            misbehave::touch_device(address, bytes, (choice >> 60 & 1 != 0).then_some(value));
        }
    });
    timer::cancel();
}

/// An address and a width, made of random bits. Most hit where registers are; one in 16 is not aligned.
fn place(choice: u64, [distributor, own]: [(usize, usize); 2]) -> (usize, u32) {
    let bytes = 1usize << (choice >> 32 & 3);
    let (base, size) = if choice >> 34 & 1 != 0 { distributor } else { own };
    let frame = match (size, choice >> 35 & 3) {
        // Of redistributors: those of these two vCPUs, and one that nobody has; the SGIs' frame more often.
        (REDISTRIBUTOR.., kind) => {
            (choice >> 37 & 7).min(2) as usize * REDISTRIBUTOR + (kind as usize).min(1) * 0x1_0000
        }
        _ => 0,
    };
    let offset = choice as usize & if choice >> 40 & 3 == 0 { 0xffff } else { 0xfff };
    let offset = (frame + offset) % size;
    let aligned = if choice >> 42 & 15 == 0 { offset } else { offset & !(bytes - 1) };
    (base + aligned.min(size - bytes), bytes as u32)
}
