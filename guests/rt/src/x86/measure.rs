//! Loops for measuring: one instruction that traps, between two reads of the counter.
//!
//! A figure per operation is worth something only when the operation is all there is in the loop, so these loops are
//! assembly: the operation, a decrement, a branch. [`empty`] says what the loop itself costs.

use core::arch::asm;

use crate::arch::hypercall as page;
use crate::{events, hypercall, timer};

macro_rules! repeat {
    ($times:expr, $setup:literal, $operation:literal $(, $name:ident = $value:expr)*) => {{
        let start = timer::counter();
        // SAFETY: every operation here traps and changes only registers that are given up, RBX being restored; no memory
        // that Rust knows of changes.
        unsafe {
            asm!("mov {kept}, rbx", "2:", $setup, $operation, "dec {left}", "jnz 2b", "mov rbx, {kept}",
                kept = out(reg) _, left = inout(reg) $times => _,
                $($name = in(reg) $value,)*
                out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r10") _);
        }
        timer::counter() - start
    }};
}

/// Ticks for `times` rounds of nothing.
pub fn empty(times: u64) -> u64 {
    repeat!(times, "", "")
}

/// Ticks for `times` hypercalls with an operation and an address.
pub fn hypercalls(times: u64, number: u64, operation: u64, address: u64) -> u64 {
    repeat!(
        times,
        "mov rdi, {operation}\n mov rsi, {address}",
        "call {entry}",
        entry = page::entry(number),
        operation = operation,
        address = address
    )
}

/// Ticks for `times` CPUID instructions.
pub fn identifications(times: u64) -> u64 {
    repeat!(times, "mov eax, 1\n xor ecx, ecx", "cpuid")
}

/// Spins some instructions, a different number for each `round`.
pub fn dither(round: u64) {
    for _ in 0..round & 15 {
        crate::cpu::relax();
    }
}

/// Reads the counter and makes a hypercall at once; the counter. `argument` is a structure that the call reads.
pub fn stamped_hypercall<T>(number: u64, operation: u32, argument: &mut T) -> u64 {
    let stamp = timer::counter();
    page::call(number, [u64::from(operation), &raw mut *argument as u64, 0, 0, 0]);
    stamp
}

/// Sleeps until the port is pending, with interrupts masked, and clears it: a wake-up without a handler's cost.
pub fn sleep_for_event(port: u32) {
    while !events::take_silently(port) {
        let _ = hypercall::poll(&[port], 0);
    }
}
