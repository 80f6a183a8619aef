//! Lets the loaded guest take an exception: exception.rs says which, the processor's EL1 registers hear of it.

use aarch64_cpu::registers::{ELR_EL1, ESR_EL1, FAR_EL1, Readable, SCTLR_EL1, SPSR_EL1, VBAR_EL1, Writeable};

use crate::exception;
use crate::registers::Registers;

/// The exception that an undefined instruction raises.
#[inline(never)]
pub(crate) fn undefined(registers: &mut Registers) {
    enter(registers, exception::UNDEFINED);
}

/// The exception that an access to missing memory raises. `esr` is ESR_EL2, `far` the address, where it is known.
#[inline(never)]
pub(crate) fn external_abort(registers: &mut Registers, esr: u64, far: Option<u64>) {
    if let Some(far) = far {
        FAR_EL1.set(far);
    }
    enter(registers, exception::external_abort(esr, registers.pstate()));
}

fn enter(registers: &mut Registers, esr: u64) {
    let pstate = registers.pstate();
    ESR_EL1.set(esr);
    ELR_EL1.set(registers.pc());
    SPSR_EL1.set(pstate);
    registers.set_pc(VBAR_EL1.get().wrapping_add(exception::vector(pstate)));
    registers.set_pstate(exception::handler_state(pstate, SCTLR_EL1.get()));
}
