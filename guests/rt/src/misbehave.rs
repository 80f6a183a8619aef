//! Misbehaviour, for the attacker: each function does one thing that a hypervisor must survive and report.
//!
//! A guest with vectors of its own gets an undefined instruction itself; [`forget_vectors`] first, and the processor
//! finds nothing but unmapped memory on its way to them, which is the hypervisor's business.

use core::arch::asm;

/// An address where neither Xen's memory map nor QEMU's virt machine with up to 2 GiB has anything; mapped by the guest
/// itself, executable.
pub const NOWHERE: u64 = 0xdead_0000;

/// Point VBAR_EL1 to nowhere.
pub fn forget_vectors() {
    // SAFETY: the next exception ends this guest, by intent; until then nothing changes.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) NOWHERE, options(nostack)) };
}

/// Execute an instruction that is undefined for ever (UDF).
pub fn undefined_instruction() {
    // SAFETY: raises an exception; where a handler skips it, nothing has changed.
    unsafe { asm!("udf #0", options(nostack)) };
}

/// Load 32 bits from any address.
pub fn read(address: u64) -> u32 {
    let value;
    // SAFETY: a load has no effect on Rust's memory; the address may fault, by intent.
    unsafe { asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) address, options(nostack, readonly)) };
    value
}

/// Jump to an address and do not come back.
pub fn jump(address: u64) -> ! {
    // SAFETY: only for addresses where nothing is: the guest ends there, and no Rust code runs after this.
    unsafe { asm!("br {}", in(reg) address, options(noreturn)) }
}
