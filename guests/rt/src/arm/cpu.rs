//! The processor: the few system registers and instructions that guests use, each wrapped once.

use core::arch::asm;

/// vCPUs a guest can have here; sizes the per-vCPU tables and the stacks of `guest.ld`.
pub const MAX: usize = 8;

/// Read a system register by its assembler name.
#[macro_export]
macro_rules! read_register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading a register that EL1 may read changes nothing and touches no memory.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack)) };
        value
    }};
}

/// Write a system register by its assembler name; private, since a write can break what Rust relies on.
macro_rules! write_register {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: used in this crate only, with registers of the interrupt controller, the timer and the vCPU number,
        // none of which changes how Rust code or memory behaves. Not `nomem`: it must stay in order with memory.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack)) };
    }};
}
pub(crate) use write_register;

/// Number of the vCPU that runs this: 0 is the boot vCPU.
pub fn index() -> usize {
    (read_register!("tpidr_el1") as usize).min(MAX - 1)
}

/// Wait for an interrupt; returns also when one is pending and masked.
pub fn wait_for_interrupt() {
    // SAFETY: WFI changes no state. Not `nomem`: an interrupt handler's writes must be seen after it.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Wait for an event (WFE).
pub fn wait_for_event() {
    // SAFETY: as for WFI.
    unsafe { asm!("wfe", options(nostack)) };
}

/// Make the event register of every vCPU say "go on" (SEV).
pub fn send_event() {
    // SAFETY: SEV changes no state that Rust knows of.
    unsafe { asm!("dsb ish", "sev", options(nostack)) };
}

/// Tell the processor (and an emulator) that this loop spins.
pub fn relax() {
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Instructions of a round of [`work`].
pub const ROUND: u64 = 32;

/// Execute `rounds` (at least 1) times [`ROUND`] instructions that do nothing. An emulator does long stretches without a
/// branch many times faster than a short loop.
pub fn work(rounds: u64) {
    // SAFETY: counts down a register.
    unsafe {
        asm!("2:", ".rept 30", "nop", ".endr", "sub {0}, {0}, #1", "cbnz {0}, 2b", inout(reg) rounds.max(1) => _,
            options(nomem, nostack));
    }
}

/// Clean and invalidate the first two levels of the data cache, line by line by set and way, as old boot loaders do.
/// Returns how many lines.
pub fn clean_by_set_and_way() -> u64 {
    let mut lines = 0;
    for level in 0..2 {
        if read_register!("clidr_el1") >> (3 * level) & 7 < 2 {
            break;
        }
        write_register!("csselr_el1", level << 1);
        synchronize();
        let size = read_register!("ccsidr_el1");
        let (line, ways, sets) = ((size & 7) + 4, (size >> 3 & 0x3ff) + 1, (size >> 13 & 0x7fff) + 1);
        let way_shift = (ways as u32 - 1).leading_zeros() % 32;
        for way in 0..ways {
            for set in 0..sets {
                let operand = way << way_shift | set << line | level << 1;
                // SAFETY: cleaning and invalidating a line changes no contents of memory.
                unsafe { asm!("dc cisw, {}", in(reg) operand, options(nostack)) };
                lines += 1;
            }
        }
    }
    synchronize();
    lines
}

/// Write a key of pointer authentication; the processor must have them.
pub fn set_key(value: u64) {
    write_register!("s3_0_c2_c1_0", value);
    write_register!("s3_0_c2_c3_1", !value);
    synchronize();
}

/// The key that [`set_key`] wrote.
pub fn key() -> [u64; 2] {
    [read_register!("s3_0_c2_c1_0"), read_register!("s3_0_c2_c3_1")]
}

/// Let interrupts in.
pub fn unmask_interrupts() {
    // SAFETY: the handler of entry.s keeps every register, and what it touches is atomic.
    unsafe { asm!("isb", "msr daifclr, #2", options(nostack)) };
}

/// Keep interrupts out.
pub fn mask_interrupts() {
    // SAFETY: only delays handlers.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Order what comes before against what comes after, for system registers too.
pub fn synchronize() {
    // SAFETY: barriers.
    unsafe { asm!("dsb sy", "isb", options(nostack)) };
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
    /// `entry.s`: fills the vector registers with values made from `seed`, burns `rounds` of float work, compares.
    /// Touches only registers that the calling convention lets a function change, or restores them.
    safe fn rt_float_check(seed: u64, rounds: u64) -> u64;
}

/// Hold known values in 24 vector registers during `rounds` (at least 1) of float work; were they still there at the
/// end? Each round is 5 instructions. A false answer means that somebody's context switch lost a register.
pub fn float_survives(seed: u64, rounds: u64) -> bool {
    rt_float_check(seed, rounds.max(1)) != 0
}
