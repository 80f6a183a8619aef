//! The processor's own instructions, by the names of its manuals (AMD APM volume 2, Intel SDM volume 3).

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc};

/// Base of GS in the mode that runs.
pub(crate) const IA32_GS_BASE: u32 = 0xc000_0101;
/// Long mode, no-execute, AMD-V.
pub(crate) const IA32_EFER: u32 = 0xc000_0080;
/// Address and state of the local APIC.
pub(crate) const IA32_APIC_BASE: u32 = 0x1b;

/// What CPUID answers: EAX, EBX, ECX, EDX.
pub(crate) type Leaf = [u32; 4];

/// CPUID.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> Leaf {
    let answer = __cpuid_count(leaf, subleaf);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// The time stamp counter.
#[inline(always)]
pub(crate) fn tsc() -> u64 {
    // SAFETY: the hypervisor lets itself read the counter.
    unsafe { _rdtsc() }
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists.
pub(crate) unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's promise; reading has no effect.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Reads a model-specific register that need not exist. For boot only, on the first CPU, when its vectors are there.
pub(crate) fn try_read_msr(register: u32) -> Option<u64> {
    let (low, high, done): (u32, u32, u32);
    // SAFETY: reading has no effect, and where it faults, `own_fault` goes on at the label.
    unsafe {
        asm!("lea {there}, [rip + 2f]", "mov [rip + RECOVERY], {there}", "xor {done:e}, {done:e}", "rdmsr",
            "mov {done:e}, 1", "2:", "mov qword ptr [rip + RECOVERY], 0", there = out(reg) _, done = out(reg) done,
            in("ecx") register, out("eax") low, out("edx") high);
    }
    (done != 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists, takes the value, and what it changes is what the caller may change.
pub(crate) unsafe fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's promise.
    unsafe { asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack, preserves_flags)) };
}

/// Reads a byte from a port.
///
/// # Safety
/// Nobody else drives the device there.
pub(crate) unsafe fn read_port(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a byte to a port.
///
/// # Safety
/// Nobody else drives the device there.
pub(crate) unsafe fn write_port(port: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Writes two bytes to a port.
///
/// # Safety
/// Nobody else drives the device there.
pub(crate) unsafe fn write_port16(port: u16, value: u16) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads four bytes from a port.
///
/// # Safety
/// Nobody else drives the device there.
pub(crate) unsafe fn read_port32(port: u16) -> u32 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes four bytes to a port.
///
/// # Safety
/// Nobody else drives the device there.
pub(crate) unsafe fn write_port32(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}

/// Lets pending interrupts be taken, for an instruction, or until one comes where `wait` says so.
pub(crate) fn take_interrupts(wait: bool) {
    if wait {
        // SAFETY: the handlers are there from `interrupts::init_cpu` on, touch one byte of this CPU's share, and come back.
        unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
    } else {
        // SAFETY: as above.
        unsafe { asm!("sti", "nop", "cli", options(nostack)) };
    }
}

/// Stops this CPU for good.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: waits for an interrupt that is not let in.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
