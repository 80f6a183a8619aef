//! The processor: the few instructions that guests use, each wrapped once.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

use x86_64::instructions::interrupts;

/// vCPUs a guest can have here.
pub const MAX: usize = 8;

/// Number of the vCPU that runs this: 0, since no other is started here yet.
pub fn index() -> usize {
    0
}

/// CPUID.
pub fn identify(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// Wait for an interrupt. One that is pending and masked is taken, and ends it too.
pub fn wait_for_interrupt() {
    // SAFETY: STI works only behind the instruction after it, so that no interrupt can come between the two; the handler
    // of entry.s keeps every register, and what it touches is atomic. The flags are restored.
    unsafe { asm!("pushfq", "sti", "hlt", "popfq") };
}

/// Instructions of a round of [`work`].
pub const ROUND: u64 = 32;

/// Execute `rounds` (at least 1) times [`ROUND`] instructions that do nothing. An emulator does long stretches without a
/// branch many times faster than a short loop.
pub fn work(rounds: u64) {
    // SAFETY: counts down a register.
    unsafe {
        asm!("2:", ".rept 30", "nop", ".endr", "dec {0}", "jnz 2b", inout(reg) rounds.max(1) => _,
            options(nomem, nostack));
    }
}

/// Tell the processor (and an emulator) that this loop spins.
pub fn relax() {
    core::hint::spin_loop();
}

/// Let interrupts in.
pub fn unmask_interrupts() {
    interrupts::enable();
}

/// Keep interrupts out.
pub fn mask_interrupts() {
    interrupts::disable();
}

/// How a lock waits here.
#[derive(Debug)]
pub struct Relax;

impl spin::RelaxStrategy for Relax {
    fn relax() {
        relax();
    }
}

unsafe extern "C" {
    /// `entry.s`: fills vector registers with values made from `seed`, burns `rounds` of float work, compares. Touches
    /// only registers that the calling convention lets a function change.
    safe fn rt_float_check(seed: u64, rounds: u64) -> u32;
}

/// Hold known values in 14 vector registers during `rounds` (at least 1) of float work; were they still there at the
/// end? Each round is 5 instructions. A false answer means that somebody's context switch lost a register.
pub fn float_survives(seed: u64, rounds: u64) -> bool {
    rt_float_check(seed, rounds.max(1)) != 0
}
