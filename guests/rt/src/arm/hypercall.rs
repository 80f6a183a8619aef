//! The instruction: `HVC #0xEA1` with the number in x16 (public/arch-arm.h).

use core::arch::asm;

/// Make a hypercall; the result register as it is.
pub(crate) fn call(number: u64, [a, b, c, d, e]: [u64; 5]) -> u64 {
    let result: u64;
    // SAFETY: the ABI changes x0 to x4 and x16 at most. Memory that the hypervisor reads or writes is that of
    // structures whose addresses the callers take from exclusive references; the probe passes addresses of nothing.
    unsafe {
        asm!("hvc #0xea1", inlateout("x0") a => result, inlateout("x1") b => _, inlateout("x2") c => _,
            inlateout("x3") d => _, inlateout("x4") e => _, inlateout("x16") number => _, options(nostack));
    }
    result
}
