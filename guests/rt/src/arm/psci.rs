//! Firmware calls: PSCI 1.1 (Arm DEN0022) and SMCCC 1.2 (Arm DEN0028) by HVC, and the same by SMC for the probe.

use core::arch::asm;

/// Function identifiers.
pub mod function {
    /// PSCI_VERSION
    pub const VERSION: u32 = 0x8400_0000;
    /// CPU_OFF
    pub const CPU_OFF: u32 = 0x8400_0002;
    /// CPU_ON, 64-bit
    pub const CPU_ON: u32 = 0xc400_0003;
    /// AFFINITY_INFO, 64-bit
    pub const AFFINITY_INFO: u32 = 0xc400_0004;
    /// MIGRATE_INFO_TYPE
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    /// SYSTEM_OFF
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    /// SYSTEM_RESET
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    /// PSCI_FEATURES
    pub const FEATURES: u32 = 0x8400_000a;
    /// SMCCC_VERSION
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
}

/// NOT_SUPPORTED of PSCI and of SMCCC.
pub const NOT_SUPPORTED: i64 = -1;
/// INVALID_PARAMETERS
pub const INVALID_PARAMETERS: i64 = -2;
/// ALREADY_ON
pub const ALREADY_ON: i64 = -4;

/// Call firmware by `HVC #0`. Results of 32 bits come back sign-extended.
pub fn call(function: u32, a: u64, b: u64, c: u64) -> i64 {
    let result: i64;
    // SAFETY: SMCCC lets the callee change x0 to x17, all of which `clobber_abi` gives up. CPU_ON starts another vCPU
    // on its own stack; nothing else here touches this guest's memory.
    unsafe {
        asm!("hvc #0", inlateout("x0") u64::from(function) => result, in("x1") a, in("x2") b, in("x3") c,
            clobber_abi("C"), options(nostack));
    }
    narrow(function, result)
}

/// The same by `SMC #0`.
pub fn call_by_smc(function: u32, a: u64, b: u64, c: u64) -> i64 {
    let result: i64;
    // SAFETY: as for `call`.
    unsafe {
        asm!("smc #0", inlateout("x0") u64::from(function) => result, in("x1") a, in("x2") b, in("x3") c,
            clobber_abi("C"), options(nostack));
    }
    narrow(function, result)
}

/// Functions of the 32-bit convention (bit 30 clear) return 32 bits; the upper half is undefined.
fn narrow(function: u32, result: i64) -> i64 {
    if function & (1 << 30) == 0 { i64::from(result as i32) } else { result }
}

unsafe extern "C" {
    /// In `entry.s`: keeps what a function has to keep, and sets the vCPU up again where its state was lost.
    safe fn rt_suspend(power_state: u64) -> i64;
}

/// What [`suspend`] returns when the vCPU lost its state and came back through the entry point.
pub const RESUMED: i64 = -1000;

/// CPU_SUSPEND until an interrupt; `power_state` in its original format. With interrupts masked, as it must be called.
pub fn suspend(power_state: u64) -> i64 {
    rt_suspend(power_state)
}

/// Switch the machine off; returns only where firmware refuses.
pub fn system_off() {
    call(function::SYSTEM_OFF, 0, 0, 0);
}

/// Restart the machine; returns only where firmware refuses.
pub fn system_reset() {
    call(function::SYSTEM_RESET, 0, 0, 0);
}
