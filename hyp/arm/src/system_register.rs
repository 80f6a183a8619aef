//! System registers that trap: what the guest finds in them, and the exception it gets for those it does not have.

use core::arch::asm;

use aarch64_cpu::registers::{ACTLR_EL1, ELR_EL1, ESR_EL1, Readable, SPSR_EL1, VBAR_EL1, Writeable};

use crate::registers::Registers;
use crate::syndrome::encode;

/// What an access to a register does.
pub(crate) enum Effect {
    /// A read gives this.
    Value(u64),
    /// A write does nothing.
    Ignored,
    /// The register does not exist here.
    Undefined,
}

/// OSLSR_EL1: the lock exists and is open.
const OS_LOCK_OPEN: u64 = 1 << 3;

/// Looks a register up. Debug and performance registers read as zero and ignore writes, so that a kernel finds that
/// nothing is there to use.
pub(crate) fn effect(register: u16, read: bool) -> Effect {
    const ACTLR: u16 = encode(3, 0, 1, 0, 1);
    const OSLSR: u16 = encode(2, 0, 1, 1, 4);
    let (op0, op1) = (register >> 14, register >> 11 & 7);
    let (crn, crm) = (register >> 7 & 15, register >> 3 & 15);
    let known = match (op0, op1, crn) {
        _ if register == ACTLR => return if read { Effect::Value(ACTLR_EL1.get()) } else { Effect::Ignored },
        (3, 0, 0) => return identification(register, read),
        _ if register == OSLSR => return if read { Effect::Value(OS_LOCK_OPEN) } else { Effect::Undefined },
        // Debug registers; performance registers of EL1 (interrupt enables) and of EL0; implementation-defined ones.
        (2, 0 | 1 | 3, _) => true,
        (3, 0, 9) => matches!(crm, 9..=14),
        // Limited-order regions.
        (3, 0, 10) => crm == 4,
        (3, 3, 9) => matches!(crm, 12..=14),
        (3, 3, 14) => crm >= 8,
        (3, _, 11 | 15) => true,
        // Error records.
        (3, 0, 5) => matches!(crm, 3..=5),
        // Cache maintenance by set and way concerns the caches of everybody; a guest that means its own memory uses
        // addresses, as it must with more than one CPU (Arm ARM D7.5.9.5).
        (1, 0, 7) => matches!(crm, 6 | 10 | 14) && register & 7 == 2,
        _ => false,
    };
    match (known, read) {
        (true, true) => Effect::Value(0),
        (true, false) => Effect::Ignored,
        (false, _) => Effect::Undefined,
    }
}

/// What identification registers show: the processor's own values, less what nobody saves at a switch.
fn identification(register: u16, read: bool) -> Effect {
    macro_rules! value {
        ($name:literal, hide $mask:expr) => {{
            let value: u64;
            // SAFETY: identification registers are read-only and readable at EL2.
            unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
            Effect::Value(value & !$mask)
        }};
    }
    /// A four-bit field.
    const fn field(low: u32) -> u64 {
        0xf << low
    }
    if !read {
        return Effect::Undefined;
    }
    match (register >> 3 & 15, register & 7) {
        // RAS, SVE, MPAM, AMU.
        (4, 0) => value!("ID_AA64PFR0_EL1", hide field(28) | field(32) | field(40) | field(44)),
        // MTE, MPAM fraction, SME, CSV2 fraction.
        (4, 1) => value!("ID_AA64PFR1_EL1", hide field(8) | field(16) | field(24) | field(32)),
        // Tracing, performance monitors, statistical profiling, trace buffer and filter.
        (5, 0) => value!("ID_AA64DFR0_EL1", hide field(4) | field(8) | field(32) | field(40) | field(44)),
        (5, 1) => value!("ID_AA64DFR1_EL1", hide 0),
        (6, 0) => value!("ID_AA64ISAR0_EL1", hide 0),
        // Pointer authentication: its keys are not switched.
        (6, 1) => value!("ID_AA64ISAR1_EL1", hide field(4) | field(8) | field(24) | field(28)),
        (6, 2) => value!("S3_0_C0_C6_2", hide field(8) | field(12)),
        (7, 0) => value!("ID_AA64MMFR0_EL1", hide 0),
        // Limited-order regions.
        (7, 1) => value!("ID_AA64MMFR1_EL1", hide field(16)),
        (7, 2) => value!("ID_AA64MMFR2_EL1", hide 0),
        (1, n) => aarch32(1, n),
        (2, n) => aarch32(2, n),
        (3, n) => aarch32(3, n),
        // Reserved ones read as zero, those of SVE and SME too.
        (4..=7, _) => Effect::Value(0),
        _ => Effect::Undefined,
    }
}

/// Identification of the 32-bit state, for a guest's 32-bit programs.
fn aarch32(crm: u16, op2: u16) -> Effect {
    macro_rules! table {
        ($(($crm:literal, $op2:literal) $name:literal,)*) => {
            match (crm, op2) {
                $(($crm, $op2) => {
                    let value: u64;
                    // SAFETY: identification registers are read-only and readable at EL2.
                    unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
                    Effect::Value(value)
                })*
                _ => Effect::Value(0),
            }
        };
    }
    // ID_DFR0_EL1 (1, 2) reads as zero: neither debug nor performance monitors.
    table! {
        (1, 0) "ID_PFR0_EL1", (1, 1) "ID_PFR1_EL1", (1, 4) "ID_MMFR0_EL1", (1, 5) "ID_MMFR1_EL1",
        (1, 6) "ID_MMFR2_EL1", (1, 7) "ID_MMFR3_EL1", (2, 0) "ID_ISAR0_EL1", (2, 1) "ID_ISAR1_EL1",
        (2, 2) "ID_ISAR2_EL1", (2, 3) "ID_ISAR3_EL1", (2, 4) "ID_ISAR4_EL1", (2, 5) "ID_ISAR5_EL1",
        (3, 0) "MVFR0_EL1", (3, 1) "MVFR1_EL1", (3, 2) "MVFR2_EL1",
    }
}

/// Offset of the vector for synchronous exceptions, by where the guest was (Arm ARM D1.10.2).
fn vector(pstate: u64) -> u64 {
    match pstate & 0x1f {
        0b0_0101 => 0x200,
        0b0_0100 => 0x000,
        0b0_0000 => 0x400,
        _ => 0x600,
    }
}

/// Lets the loaded guest take the exception that an undefined instruction raises on bare hardware.
pub(crate) fn inject_undefined(registers: &mut Registers) {
    /// EC 0, a 32-bit instruction.
    const UNKNOWN_REASON: u64 = 1 << 25;
    /// EL1 with SP_EL1, D, A, I and F masked.
    const EL1H_MASKED: u64 = 0x3c5;
    ESR_EL1.set(UNKNOWN_REASON);
    let pstate = registers.pstate();
    ELR_EL1.set(registers.pc());
    SPSR_EL1.set(pstate);
    registers.set_pc(VBAR_EL1.get().wrapping_add(vector(pstate)));
    registers.set_pstate(EL1H_MASKED);
}
