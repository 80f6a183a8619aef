//! Hypercalls: by the page that the hypervisor fills (public/arch-x86/xen-x86_64.h), since the instruction is another one
//! with each vendor. Entry n of 32 bytes calls number n; arguments in RDI, RSI, RDX, R10, R8, the result in RAX.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use x86_64::registers::model_specific::Msr;
use xen_abi::arch_x86::{
    XEN_CPUID_FIRST_LEAF, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX,
};

use crate::cpu;

/// Bytes of an entry, and how many there are.
const ENTRY: usize = 32;
const ENTRIES: u64 = 128;
/// Where hypervisors may show themselves, and how far apart.
const LEAVES: core::ops::Range<u32> = XEN_CPUID_FIRST_LEAF..XEN_CPUID_FIRST_LEAF + 0x1_0000;
const STEP: usize = 0x100;
/// "Genu", of which EBX tells the vendor.
const INTEL: u32 = 0x756e_6547;

#[repr(C, align(4096))]
struct Page([AtomicU32; 1024]);

static PAGE: Page = Page([const { AtomicU32::new(0) }; 1024]);
/// Whether the instruction is Intel's.
static VMCALL: AtomicBool = AtomicBool::new(false);

/// Look for a hypervisor of Xen's kind, and have it fill the page; is there one?
pub(crate) fn find() -> bool {
    let signature = (XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX);
    let base = LEAVES.step_by(STEP).find(|&leaf| {
        let found = cpu::identify(leaf, 0);
        (found.ebx, found.ecx, found.edx) == signature
    });
    let Some(base) = base else { return false };
    VMCALL.store(cpu::identify(0, 0).ebx == INTEL, Relaxed);
    // Leaf 2: EAX is the number of pages, EBX the register that takes their address.
    let register = cpu::identify(base + 2, 0).ebx;
    // SAFETY: the interface says that this register makes the hypervisor fill a page of ours, which nobody else uses.
    unsafe { Msr::new(register).write(&raw const PAGE as u64) };
    true
}

/// Where the entry of a number is.
pub(crate) fn entry(number: u64) -> usize {
    &raw const PAGE as usize + (number % ENTRIES) as usize * ENTRY
}

/// Make a hypercall; the result register as it is. A number that has no entry is called by the instruction itself.
pub(crate) fn call(number: u64, [a, b, c, d, e]: [u64; 5]) -> u64 {
    let result: u64;
    macro_rules! call {
        ($instruction:literal $(, $operand:tt = $($value:tt)*)?) => {
            // SAFETY: the ABI changes RAX and the argument registers at most. Memory that the hypervisor reads or writes
            // is that of structures whose addresses the callers take from exclusive references; the probe passes
            // addresses of nothing.
            unsafe {
                asm!($instruction, $($operand = $($value)*,)? inlateout("rax") number => result,
                    inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => _,
                    inlateout("r10") d => _, inlateout("r8") e => _);
            }
        };
    }
    if number < ENTRIES {
        call!("call {entry}", entry = in(reg) entry(number));
    } else if VMCALL.load(Relaxed) {
        call!("vmcall");
    } else {
        call!("vmmcall");
    }
    result
}
