//! Breakpoints, watchpoints and single step (Arm ARM D2), for the probe.

use core::arch::asm;

use crate::cpu::write_register;
use crate::read_register;

/// MDSCR_EL1: single step; debug exceptions from EL1; breakpoints and watchpoints.
const STEP: u64 = 1 << 0;
const FROM_EL1: u64 = 1 << 13;
const MONITOR: u64 = 1 << 15;
/// DBGBCR and DBGWCR: on, at EL1, all bytes; a watchpoint for stores.
const AT_INSTRUCTION: u64 = 1 | 1 << 1 | 0xf << 5;
const AT_STORE: u64 = 1 | 1 << 1 | 2 << 3 | 0xff << 5;

unsafe extern "C" {
    /// In `entry.s`: one instruction, and a return.
    safe fn rt_breakpoint_here();
    /// In `entry.s`: steps over an access to ACTLR_EL1, which hypervisors trap; the address behind it.
    safe fn rt_step_once() -> u64;
}

/// Unlock, and let debug exceptions through.
pub fn open() {
    write_register!("oslar_el1", 0);
    write_register!("mdscr_el1", FROM_EL1 | MONITOR);
    // SAFETY: only unmasks exceptions that something here asks for.
    unsafe { asm!("isb", "msr daifclr, #8", options(nostack)) };
}

/// Everything off.
pub fn close() {
    write_register!("dbgbcr0_el1", 0);
    write_register!("dbgwcr0_el1", 0);
    write_register!("mdscr_el1", 0);
    // SAFETY: masks debug exceptions, as at the start.
    unsafe { asm!("isb", "msr daifset, #8", options(nostack)) };
}

/// Set breakpoint 0 at a function of this module.
pub fn set_breakpoint() {
    write_register!("dbgbvr0_el1", rt_breakpoint_here as *const () as u64);
    write_register!("dbgbcr0_el1", AT_INSTRUCTION);
    crate::cpu::synchronize();
}

/// Run into it.
pub fn run_into_breakpoint() {
    rt_breakpoint_here();
}

/// Set watchpoint 0 at a word, 8-byte aligned.
pub fn set_watchpoint(address: u64) {
    write_register!("dbgwvr0_el1", address);
    write_register!("dbgwcr0_el1", AT_STORE);
    crate::cpu::synchronize();
}

/// Execute a single instruction, one that is emulated; the exception behind it, if there was one: ELR_EL1 minus the
/// address behind the instruction.
pub fn step() -> i64 {
    // Masked until the exception return, or the very next instruction would be what is stepped.
    // SAFETY: only delays debug exceptions.
    unsafe { asm!("msr daifset, #8", options(nostack)) };
    write_register!("mdscr_el1", FROM_EL1 | STEP);
    let behind = rt_step_once();
    (crate::trap::last().pc as i64).wrapping_sub(behind as i64)
}

/// DBGBVR0, DBGBCR0, DBGWVR0, DBGWCR0, MDSCR.
pub fn registers() -> [u64; 5] {
    [
        read_register!("dbgbvr0_el1"),
        read_register!("dbgbcr0_el1"),
        read_register!("dbgwvr0_el1"),
        read_register!("dbgwcr0_el1"),
        read_register!("mdscr_el1"),
    ]
}

/// Read a breakpoint's control register by number: 0, the last that there must be (1), or one beyond all (15).
pub fn control(number: u8) -> u64 {
    match number {
        0 => read_register!("dbgbcr0_el1"),
        1 => read_register!("dbgbcr1_el1"),
        _ => read_register!("dbgbcr15_el1"),
    }
}
