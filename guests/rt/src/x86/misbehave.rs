//! Misbehaviour, for the attacker: each function does one thing that a hypervisor must survive and report.
//!
//! A guest with vectors of its own gets an exception itself; [`forget_vectors`] first, and the processor finds nothing on
//! its way to them, which is a triple fault and the hypervisor's business.

use core::arch::asm;

use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::port;
use crate::trap;

/// An address where no guest has anything; mapped by the guest itself, executable.
pub const NOWHERE: u64 = 0xdead_0000;

/// Load a table of vectors that has none.
pub fn forget_vectors() {
    // SAFETY: the next exception or interrupt ends this guest, by intent; until then nothing changes.
    unsafe { lidt(&DescriptorTablePointer { limit: 0, base: VirtAddr::zero() }) };
}

/// Execute an instruction that is undefined for ever (UD2).
pub fn undefined_instruction() {
    // SAFETY: raises an exception; where a handler ends it, nothing has changed.
    unsafe {
        asm!("lea {there}, [rip + 2f]", "mov [{recovery}], {there}", "ud2", "2:", "mov qword ptr [{recovery}], 0",
            there = out(reg) _, recovery = in(reg) trap::recovery());
    }
}

/// Load 32 bits from any address.
pub fn read(address: u64) -> u32 {
    let mut value = 0u32;
    // SAFETY: a load has no effect on Rust's memory; the address may fault, by intent.
    unsafe {
        asm!("lea {there}, [rip + 2f]", "mov [{recovery}], {there}", "mov {value:e}, [{address}]", "2:",
            "mov qword ptr [{recovery}], 0", there = out(reg) _, recovery = in(reg) trap::recovery(),
            value = inout(reg) value, address = in(reg) address);
    }
    value
}

/// Store 32 bits to any address.
pub fn write(address: u64) {
    // SAFETY: for addresses where nothing is, or the hypervisor's emulation; it may fault, by intent.
    unsafe {
        asm!("lea {there}, [rip + 2f]", "mov [{recovery}], {there}", "mov dword ptr [{address}], 0", "2:",
            "mov qword ptr [{recovery}], 0", there = out(reg) _, recovery = in(reg) trap::recovery(),
            address = in(reg) address);
    }
}

/// Read 32 bits from any port.
pub fn read_port(port: u16) -> u32 {
    port::read_double(port)
}

/// Ask for a reset of the machine, as a kernel does that knows no better way.
pub fn reset() {
    crate::arch::system_reset();
}

/// Jump to an address and do not come back.
pub fn jump(address: u64) -> ! {
    // SAFETY: only for addresses where nothing is: the guest ends there, and no Rust code runs after this.
    unsafe { asm!("jmp {}", in(reg) address, options(noreturn)) }
}
