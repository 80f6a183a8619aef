//! Exceptions that a guest is given, as bare hardware gives them.
//!
//! What a guest does wrong is first of all its own business: a kernel expects an exception with the right syndrome, and
//! knows what to do about it. Where it goes and what it finds there is computed here, from the state in which it was.
//!
//! Pure, tested on the host. Sources: Arm ARM D1.3.1 (exception entry), D24.2.40 (ESR_EL1).
//!
//! One thing is not as on bare hardware: when memory is missing in the middle of a guest's own translation tables, the
//! second stage does not say at which of their levels, and the syndrome says level 0.

/// SCTLR_EL1.SPAN: an exception leaves PSTATE.PAN as it is.
const KEEP_ACCESS: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: PSTATE.SSBS in the handler.
const SAFE_SPECULATION: u64 = 1 << 44;
/// PSTATE.NZCV and DIT, which an exception keeps; from 32-bit code, DIT is another bit.
const KEPT: u64 = 0xf << 28 | 1 << 24;
const KEPT_FROM_32: u64 = 0xf << 28;
const PAN: u64 = 1 << 22;
const SSBS: u64 = 1 << 12;
/// PSTATE.M: 32-bit code, which is at EL0.
const AARCH32: u64 = 1 << 4;
/// EL1 with SP_EL1, D, A, I and F masked.
const EL1H_MASKED: u64 = 0x3c5;

/// ESR_EL1.IL, which both kinds of exception here have set whatever the instruction's length.
const LONG: u64 = 1 << 25;

/// ESR_EL1 after an instruction that is not there: class 0, no details.
pub const UNDEFINED: u64 = LONG;

/// The vCPU was at EL0.
pub const fn is_user(pstate: u64) -> bool {
    pstate & AARCH32 != 0 || pstate & 0xf == 0
}

/// The vCPU executed 32-bit code.
pub const fn is_aarch32(pstate: u64) -> bool {
    pstate & AARCH32 != 0
}

/// Offset of the vector for synchronous exceptions, by where the guest was.
pub const fn vector(pstate: u64) -> u64 {
    match pstate & 0x1f {
        0b0_0101 => 0x200,
        0b0_0100 => 0x000,
        0b0_0000 => 0x400,
        _ => 0x600,
    }
}

/// PSTATE in the handler; `sctlr` is SCTLR_EL1.
pub const fn handler_state(pstate: u64, sctlr: u64) -> u64 {
    let kept = if is_aarch32(pstate) { KEPT_FROM_32 } else { KEPT };
    let pan = if sctlr & KEEP_ACCESS != 0 { pstate & PAN } else { PAN };
    let ssbs = if sctlr & SAFE_SPECULATION != 0 { SSBS } else { 0 };
    pstate & kept | pan | ssbs | EL1H_MASKED
}

/// ESR_EL1 for an access to memory that is not there: a synchronous external abort. `esr` is ESR_EL2 of the second
/// stage's abort, `pstate` that of the guest.
pub const fn external_abort(esr: u64, pstate: u64) -> u64 {
    /// Of the data abort's details: FnV, CM, WnR.
    const DATA_DETAILS: u64 = 1 << 10 | 1 << 8 | 1 << 6;
    const FETCH_DETAILS: u64 = 1 << 10;
    const ON_WALK: u64 = 1 << 7;
    let data = esr >> 26 & 0x3f == 0x24;
    let class = if data { 0x24 } else { 0x20 } | if is_user(pstate) { 0 } else { 1 };
    let details = esr & if data { DATA_DETAILS } else { FETCH_DETAILS };
    let status = if esr & ON_WALK != 0 { 0x14 } else { 0x10 };
    class << 26 | LONG | details | status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SCTLR_EL1 of an ARMv8.0 core: SPAN is RES1.
    const OLD_CORE: u64 = 0x30d0_0800;
    const EL0: u64 = 0;
    const EL0_32: u64 = 0x10;
    const EL1T: u64 = 4;
    const EL1H: u64 = 5;

    #[test]
    fn each_origin_has_its_vector() {
        assert_eq!([EL1T, EL1H, EL0, EL0_32].map(vector), [0, 0x200, 0x400, 0x600]);
        // Flags do not count, and user code in Thumb state is 32-bit code.
        assert_eq!([EL1H | 0xf000_03c0, EL0 | 1 << 29, EL0_32 | 1 << 5].map(vector), [0x200, 0x400, 0x600]);
    }

    #[test]
    fn the_handler_keeps_flags_and_masks_interrupts() {
        assert_eq!(handler_state(EL1H | 0xa000_0000, OLD_CORE), 0xa000_03c5);
        assert_eq!(handler_state(EL0 | 1 << 24, OLD_CORE), 0x0100_03c5, "DIT");
        assert_eq!(handler_state(EL0_32 | 1 << 24, OLD_CORE), 0x3c5, "of 32-bit code, bit 24 is the jazelle state");
        assert_eq!(handler_state(EL1H | 1 << 21 | 1 << 20 | 3 << 10, OLD_CORE), 0x3c5, "no step, no BTYPE, no IL");
    }

    #[test]
    fn user_memory_is_closed_unless_the_kernel_wants_it_as_it_was() {
        assert_eq!(handler_state(EL1H, OLD_CORE & !KEEP_ACCESS), 0x3c5 | PAN);
        assert_eq!(handler_state(EL1H | PAN, OLD_CORE), 0x3c5 | PAN);
        assert_eq!(handler_state(EL0, OLD_CORE | SAFE_SPECULATION), 0x3c5 | SSBS);
    }

    #[test]
    fn a_store_to_nothing_is_an_external_abort_with_its_direction() {
        // EC 0x24, IL, ISV with all its details, WnR, translation fault level 1.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 0x3f << 16 | 1 << 15 | 1 << 6 | 5;
        assert_eq!(external_abort(esr, EL1H), 0x25 << 26 | 1 << 25 | 1 << 6 | 0x10);
        assert_eq!(external_abort(esr & !(1 << 6), EL0), 0x24 << 26 | 1 << 25 | 0x10);
        // A 16-bit instruction of 32-bit code: IL is set all the same, because there are no details.
        assert_eq!(external_abort(esr & !(1 << 25), EL0_32), 0x24 << 26 | 1 << 25 | 1 << 6 | 0x10);
    }

    #[test]
    fn maintenance_and_missing_addresses_are_passed_on() {
        let esr = 0x24 << 26 | 1 << 25 | 1 << 10 | 1 << 8 | 1 << 6 | 7;
        assert_eq!(external_abort(esr, EL1T), 0x25 << 26 | 1 << 25 | 1 << 10 | 1 << 8 | 1 << 6 | 0x10);
    }

    #[test]
    fn a_fetch_has_its_own_class_and_no_direction() {
        let esr = 0x20 << 26 | 1 << 25 | 1 << 6 | 6;
        assert_eq!(external_abort(esr, EL1H), 0x21 << 26 | 1 << 25 | 0x10);
        assert_eq!(external_abort(esr, EL0), 0x20 << 26 | 1 << 25 | 0x10);
        assert_eq!(external_abort(esr | 1 << 7, EL0), 0x20 << 26 | 1 << 25 | 0x14, "on the way through its tables");
    }
}
