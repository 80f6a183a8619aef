//! System registers that trap: what the guest finds in them, and the exception it gets for those it does not have.

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
        _ if register == OSLSR => return if read { Effect::Value(OS_LOCK_OPEN) } else { Effect::Undefined },
        // Debug registers; performance registers of EL1 (interrupt enables) and of EL0; implementation-defined ones.
        (2, 0 | 3, _) => true,
        (3, 0, 9) => crm == 14,
        (3, 3, 9) => matches!(crm, 12..=14),
        (3, 3, 14) => crm >= 8,
        (3, _, 11 | 15) => true,
        _ => false,
    };
    match (known, read) {
        (true, true) => Effect::Value(0),
        (true, false) => Effect::Ignored,
        (false, _) => Effect::Undefined,
    }
}

/// Offset of the vector for synchronous exceptions, by where the guest was (Arm ARM D1.10.2).
fn vector(pstate: u64) -> u64 {
    match pstate & 0xf {
        0b0101 => 0x200,
        0b0100 => 0x000,
        _ => 0x400,
    }
}

/// Lets the loaded guest take the exception that an undefined instruction raises on bare hardware.
pub(crate) fn inject_undefined(registers: &mut Registers) {
    /// EC 0, a 32-bit instruction.
    const UNKNOWN_REASON: u64 = 1 << 25;
    /// EL1 with SP_EL1, D, A, I and F masked.
    const EL1H_MASKED: u64 = 0x3c5;
    ESR_EL1.set(UNKNOWN_REASON);
    ELR_EL1.set(registers.pc);
    SPSR_EL1.set(registers.pstate);
    registers.pc = VBAR_EL1.get().wrapping_add(vector(registers.pstate));
    registers.pstate = EL1H_MASKED;
}
