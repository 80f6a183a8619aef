//! Misbehaviour, for the attacker: each function does one thing that a hypervisor must survive and report.
//!
//! A guest with vectors of its own gets an undefined instruction itself; [`forget_vectors`] first, and the processor
//! finds nothing but unmapped memory on its way to them, which is the hypervisor's business.

use core::arch::asm;

use crate::memory;

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

/// Load (`value` absent) or store 1, 2, 4 or 8 bytes at an address of the first GiB, where devices are, as if it were memory:
/// the processor then lets any alignment pass. May fault, by intent.
pub fn touch_device(address: usize, bytes: u32, value: Option<u64>) -> u64 {
    let address = address + memory::DEVICES_AS_MEMORY;
    let mut register = value.unwrap_or(0);
    macro_rules! access {
        ($instruction:literal) => {
            // SAFETY: nothing that Rust owns lies among the devices; plain instructions without write-back, so that a
            // hypervisor gets a syndrome.
            unsafe { core::arch::asm!($instruction, inout(reg) register, in(reg) address, options(nostack)) }
        };
    }
    match (bytes, value.is_some()) {
        (1, false) => access!("ldrb {0:w}, [{1}]"),
        (2, false) => access!("ldrh {0:w}, [{1}]"),
        (4, false) => access!("ldr {0:w}, [{1}]"),
        (_, false) => access!("ldr {0:x}, [{1}]"),
        (1, true) => access!("strb {0:w}, [{1}]"),
        (2, true) => access!("strh {0:w}, [{1}]"),
        (4, true) => access!("str {0:w}, [{1}]"),
        (_, true) => access!("str {0:x}, [{1}]"),
    }
    register
}

/// Store 32 bits to any address.
pub fn write(address: u64) {
    // SAFETY: for addresses where nothing is, or the hypervisor's emulation; it may fault, by intent.
    unsafe { asm!("str wzr, [{}]", in(reg) address, options(nostack)) };
}

/// The same with SP_EL0 as the stack, so that the exception takes another vector; interrupts masked meanwhile.
pub fn write_on_other_stack(address: u64) {
    // SAFETY: as for `write`; the stack pointer is selected back, and no Rust code runs on the other one.
    unsafe {
        asm!("mrs {d}, daif", "msr daifset, #15", "msr spsel, #0", "str wzr, [{a}]", "msr spsel, #1", "msr daif, {d}",
            a = in(reg) address, d = out(reg) _, options(nostack))
    };
}

/// Call an address where nothing is; comes back only where a handler returns to the caller.
pub fn call(address: u64) {
    // SAFETY: nothing is executed there; whoever catches the exception returns to the instruction behind.
    unsafe { asm!("blr {}", in(reg) address, clobber_abi("C"), options(nostack)) };
}

/// SMC with a number that the convention leaves to nobody.
pub fn strange_secure_call() {
    // SAFETY: undefined; where a handler skips it, nothing has changed.
    unsafe { asm!("smc #77", clobber_abi("C"), options(nostack)) };
}

/// Jump to an address and do not come back.
pub fn jump(address: u64) -> ! {
    // SAFETY: only for addresses where nothing is: the guest ends there, and no Rust code runs after this.
    unsafe { asm!("br {}", in(reg) address, options(noreturn)) }
}
