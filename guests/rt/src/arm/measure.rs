//! Loops for measuring: one instruction that traps, between two reads of the counter.
//!
//! A figure per operation is worth something only when the operation is all there is in the loop, so these loops are
//! assembly: the operation, a decrement, a branch. The counter of an emulator ticks every 16 instructions, which is why
//! each runs many times; [`empty`] says what the loop itself costs.

use core::arch::asm;

use crate::{cpu, gic, hypercall};

macro_rules! repeat {
    ($times:expr, $setup:literal, $operation:literal $(, $name:ident = $value:expr)*) => {{
        let start: u64;
        let end: u64;
        // SAFETY: every operation here either traps and changes registers x0 to x4 and x16 alone, which are given up,
        // or reads a register or a device; no memory that Rust knows of changes.
        unsafe {
            asm!("isb", "mrs {start}, cntvct_el0", "2:", $setup, $operation, "sub {left}, {left}, #1",
                "cbnz {left}, 2b", "mrs {end}, cntvct_el0",
                start = out(reg) start, end = out(reg) end, left = inout(reg) $times => _,
                $($name = in(reg) $value,)*
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x16") _, options(nostack));
        }
        end - start
    }};
}

/// Ticks for `times` rounds of nothing.
pub fn empty(times: u64) -> u64 {
    repeat!(times, "", "")
}

/// Ticks for `times` hypercalls with an operation in x0 and an address in x1.
pub fn hypercalls(times: u64, number: u64, operation: u64, address: u64) -> u64 {
    repeat!(
        times,
        "mov x16, {number}\n mov x0, {operation}\n mov x1, {address}",
        "hvc #0xea1",
        number = number,
        operation = operation,
        address = address
    )
}

/// Ticks for `times` firmware calls without arguments.
pub fn firmware_calls(times: u64, function: u64) -> u64 {
    repeat!(times, "mov x0, {function}", "hvc #0", function = function)
}

/// Ticks for `times` reads of ACTLR_EL1, which no guest has.
pub fn trapped_register_reads(times: u64) -> u64 {
    repeat!(times, "", "mrs x0, actlr_el1")
}

/// Ticks for `times` reads of a device register of 32 bits. `address` must be one that the machine's tree names.
pub fn device_reads(times: u64, address: usize) -> u64 {
    repeat!(times, "", "ldr w0, [{address}]", address = address)
}

/// Spins some instructions, a different number for each `round`, so that 16 rounds meet all phases of a counter that
/// ticks every 16 instructions and their mean is exact.
pub fn dither(round: u64) {
    // SAFETY: counts down a register.
    unsafe {
        asm!("2: subs {0}, {0}, #1", "b.pl 2b", "tbz {1}, #0, 3f", "nop", "3:",
            inout(reg) (round >> 1 & 7) => _, in(reg) round, options(nomem, nostack));
    }
}

/// Reads the counter and sends an SGI at once; the counter. `value` is from [`gic::sgi_value`].
pub fn stamped_sgi(value: u64) -> u64 {
    timed_sgi(value).0
}

/// The same, and the counter when the sender goes on.
pub fn timed_sgi(value: u64) -> (u64, u64) {
    let (stamp, end): (u64, u64);
    if gic::is_v2() {
        // SAFETY: an SGI's handler keeps every register, and what it touches is atomic; GICD_SGIR is no memory.
        unsafe {
            asm!("mrs {0}, cntvct_el0", "str {2:w}, [{3}]", "mrs {1}, cntvct_el0",
                out(reg) stamp, out(reg) end, in(reg) value, in(reg) gic::sgi_register_v2(), options(nostack));
        }
        return (stamp, end);
    }
    // SAFETY: as above.
    unsafe {
        asm!("mrs {0}, cntvct_el0", "msr icc_sgi1r_el1, {2}", "mrs {1}, cntvct_el0",
            out(reg) stamp, out(reg) end, in(reg) value, options(nostack));
    }
    (stamp, end)
}

/// Reads the counter and makes a hypercall at once; the counter. `argument` is a structure that the call reads.
pub fn stamped_hypercall<T>(number: u64, operation: u32, argument: &mut T) -> u64 {
    let stamp: u64;
    let address = &raw mut *argument as u64;
    // SAFETY: as for `hypercall::call`; the structure is borrowed exclusively.
    unsafe {
        asm!("mrs {0}, cntvct_el0", "hvc #0xea1", out(reg) stamp, inout("x0") u64::from(operation) => _,
            inout("x1") address => _, out("x2") _, out("x3") _, out("x4") _, inout("x16") number => _,
            options(nostack));
    }
    stamp
}

/// Whether there is somebody who takes hypercalls.
pub fn has_hypervisor() -> bool {
    hypercall::call(hypercall::xen_abi::hypercall::XEN_VERSION, [0; 5]) < 1 << 32
}

/// Sleeps until the port is pending, with interrupts masked, and clears it: a wake-up without a handler's cost. The
/// interrupt is acknowledged, since a hypervisor may let nobody sleep who has one.
pub fn sleep_for_event(port: u32) {
    while !crate::events::take_silently(port) {
        cpu::wait_for_interrupt();
    }
    crate::gic::drop_pending();
}
