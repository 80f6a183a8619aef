//! What ESR_EL2 says, in words (Arm ARM D17.2.37).
//!
//! Pure: decoded here, acted on in run.rs, tested on the host.

/// Exception classes that are told apart (ESR_EL2.EC).
pub mod class {
    /// WFI or WFE.
    pub const WAIT: u8 = 0x01;
    /// Float or vector instruction while EL2 holds the registers.
    pub const FLOAT: u8 = 0x07;
    /// An instruction that uses a key of pointer authentication.
    pub const POINTER_AUTHENTICATION: u8 = 0x09;
    /// HVC.
    pub const HVC: u8 = 0x16;
    /// SMC.
    pub const SMC: u8 = 0x17;
    /// MSR, MRS or a system instruction.
    pub const SYSTEM_REGISTER: u8 = 0x18;
    /// A fetch that the second stage refused.
    pub const INSTRUCTION_ABORT: u8 = 0x20;
    /// A load or store that the second stage refused.
    pub const DATA_ABORT: u8 = 0x24;
    /// No class: what stands where a syndrome would.
    pub const NONE: u8 = 0x3f;
}

/// Of a data abort: a load of an unsigned value, with syndrome, by an instruction of four bytes, from an address that
/// nothing is mapped at. Its width, as the power of two of its bytes, and its register.
#[inline(always)]
pub const fn plain_load(esr: u64) -> Option<(u8, u8)> {
    /// IL, ISV, SSE, FnV, S1PTW, WnR, the kind of DFSC.
    const WHAT: u64 = 1 << 25 | 1 << 24 | 1 << 21 | 1 << 10 | 1 << 7 | 1 << 6 | 0x3c;
    /// IL, ISV; a translation fault.
    const LOAD: u64 = 1 << 25 | 1 << 24 | 0x04;
    if esr & WHAT == LOAD { Some((field(esr, 22, 2) as u8, field(esr, 16, 5) as u8)) } else { None }
}

/// The most frequent exceptions by their syndrome's upper eight bits: class, IL, and the first of what the class defines.
/// Instructions of four bytes cause them; others are found by their class.
pub mod kind {
    use super::class;

    /// A load or store that the second stage refused, where the processor says how to complete it (ISV).
    pub const DESCRIBED_ABORT: u8 = class::DATA_ABORT << 2 | 0b11;
    /// MSR, MRS or a system instruction.
    pub const SYSTEM_REGISTER: u8 = class::SYSTEM_REGISTER << 2 | 0b10;
    /// WFI or WFE, with a condition that holds (CV).
    pub const WAIT: u8 = class::WAIT << 2 | 0b11;
    /// What stands where a syndrome would.
    pub const NONE: u8 = class::NONE << 2 | 0b11;
}

/// The syndrome's upper eight bits.
#[inline(always)]
pub const fn kind(esr: u64) -> u8 {
    field(esr, 24, 8) as u8
}

/// The exception class.
#[inline(always)]
pub const fn class(esr: u64) -> u8 {
    field(esr, 26, 6) as u8
}

/// The immediate of HVC and SMC.
#[inline(always)]
pub const fn immediate(esr: u64) -> u16 {
    field(esr, 0, 16)
}

/// No plain WFI: WFE, by which a guest spins, or one of the two with a time-out. WFIT may end at any time, and it is not
/// shown to guests: no need to watch the clock for it.
pub const fn is_brief_wait(esr: u64) -> bool {
    field(esr, 0, 2) != 0
}

/// Whether the exception is HVC with this immediate.
#[inline(always)]
pub const fn is_hypercall(esr: u64, tag: u16) -> bool {
    // HVC is never two bytes long.
    esr == (class::HVC as u64) << 26 | 1 << 25 | tag as u64
}

/// A trapped access to a system register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterAccess {
    /// op0, op1, CRn, CRm, op2 packed as [`encode`] does.
    pub register: u16,
    /// The general register; 31 is zero.
    pub transfer: u8,
    /// The guest reads it.
    pub read: bool,
}

/// Packs a system register's number, in the order in which assembly names it.
pub const fn encode(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// A second-stage abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The fault happened on a walk of the guest's own tables.
    pub walk: bool,
    /// A write.
    pub write: bool,
    /// Cache maintenance.
    pub maintenance: bool,
    /// Kind and level: translation, access flag, permission.
    pub status: u8,
    /// FAR_EL2 does not hold the address.
    pub no_address: bool,
    /// How to complete the access, where the processor says it.
    pub access: Option<Access>,
}

impl RegisterAccess {
    /// Decodes the syndrome of a trapped access.
    #[inline(always)]
    pub const fn decode(esr: u64) -> Self {
        let (op0, op1, op2) = (field(esr, 20, 2), field(esr, 14, 3), field(esr, 17, 3));
        let register = encode(op0, op1, field(esr, 10, 4), field(esr, 1, 4), op2);
        Self { register, transfer: field(esr, 5, 5) as u8, read: bit(esr, 0) }
    }
}

impl Abort {
    /// Decodes the syndrome of a load or store.
    #[inline(always)]
    pub fn of_data(esr: u64) -> Self {
        let access = bit(esr, 24).then(|| Access {
            size: 1 << field(esr, 22, 2),
            sign: bit(esr, 21),
            transfer: field(esr, 16, 5) as u8,
            wide: bit(esr, 15),
        });
        let status = field(esr, 0, 6) as u8;
        let (walk, write, maintenance, no_address) = (bit(esr, 7), bit(esr, 6), bit(esr, 8), bit(esr, 10));
        Self { walk, write, maintenance, status, no_address, access }
    }

    /// Decodes the syndrome of a fetch.
    pub fn of_fetch(esr: u64) -> Self {
        Self::of_data(esr & !(1 << 24 | 1 << 6))
    }

    /// No mapping at any level.
    pub fn is_translation(&self) -> bool {
        self.status & 0x3c == 0x04
    }
}

/// A load or store that software can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// A load extends the sign.
    pub sign: bool,
    /// The general register; 31 is zero.
    pub transfer: u8,
    /// The register is 64 bits wide.
    pub wide: bool,
}

impl Access {
    /// What a load of `value` leaves in its register.
    pub fn extend(&self, value: u64) -> u64 {
        let unused = 64u32.saturating_sub(u32::from(self.size) * 8);
        let kept = value << unused;
        let full = if self.sign { ((kept as i64) >> unused) as u64 } else { kept >> unused };
        if self.wide { full } else { full & 0xffff_ffff }
    }
}

/// Bytes of the instruction that trapped: ESR_EL2.IL.
pub const fn instruction_bytes(esr: u64) -> u64 {
    if bit(esr, 25) { 4 } else { 2 }
}

const fn bit(esr: u64, n: u32) -> bool {
    esr >> n & 1 != 0
}

const fn field(esr: u64, low: u32, bits: u32) -> u16 {
    (esr >> low & ((1 << bits) - 1)) as u16
}

/// The register is not one of x19 to x29.
const fn is_volatile(register: u16) -> bool {
    register.wrapping_sub(19) > 10
}

/// Of a data abort that says how to complete the access: it concerns none of x19 to x29.
#[inline(always)]
pub const fn transfers_volatile(esr: u64) -> bool {
    is_volatile(field(esr, 16, 5))
}

/// Of an access to a system register: it concerns none of x19 to x29.
#[inline(always)]
pub const fn accesses_volatile(esr: u64) -> bool {
    is_volatile(field(esr, 5, 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_load_is_described() {
        // EC 0x24, IL, ISV, SAS 0, SSE, SRT 3, SF, translation fault level 2.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 3 << 16 | 1 << 15 | 0x06;
        assert_eq!(class(esr), class::DATA_ABORT);
        let abort = Abort::of_data(esr);
        let access = Access { size: 1, sign: true, transfer: 3, wide: true };
        assert_eq!(abort.access, Some(access));
        assert!(abort.is_translation() && !abort.write);
        assert_eq!(plain_load(esr), None, "the sign is extended");
        assert_eq!(plain_load(esr & !(1 << 21) | 2 << 22), Some((2, 3)));
        assert_eq!(plain_load(esr & !(1 << 21) | 1 << 6), None, "a store");
        assert_eq!(plain_load(esr & !(1 << 21 | 1 << 24)), None, "no syndrome");
        assert_eq!(plain_load(esr & !(1 << 21 | 1 << 25)), None, "two bytes");
        assert_eq!(kind(esr), kind::DESCRIBED_ABORT);
        assert_eq!(access.extend(0x180), 0xffff_ffff_ffff_ff80);
        assert_eq!(Access { wide: false, ..access }.extend(0x80), 0xffff_ff80);
        assert_eq!(Access { sign: false, size: 8, ..access }.extend(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_register_is_named_as_in_assembly() {
        // ICC_SGI1R_EL1 is S3_0_C12_C11_5; MSR from x2.
        let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 2 << 5 | 11 << 1;
        let expected = RegisterAccess { register: encode(3, 0, 12, 11, 5), transfer: 2, read: false };
        assert_eq!(class(esr), class::SYSTEM_REGISTER);
        assert_eq!(kind(esr), kind::SYSTEM_REGISTER);
        assert_eq!(RegisterAccess::decode(esr), expected);
    }

    #[test]
    fn accesses_that_concern_late_registers_are_told_apart() {
        let read = |transfer: u64| 0x18 << 26 | transfer << 5 | 1;
        let load = |transfer: u64| 0x24 << 26 | 1 << 24 | transfer << 16;
        for (transfer, volatile) in [(0, true), (18, true), (19, false), (29, false), (30, true), (31, true)] {
            assert_eq!(accesses_volatile(read(transfer)), volatile, "x{transfer}");
            assert_eq!(transfers_volatile(load(transfer)), volatile, "x{transfer}");
        }
    }

    #[test]
    fn calls_keep_their_immediate() {
        let esr = 0x16 << 26 | 1 << 25 | 0xea1;
        assert_eq!((class(esr), immediate(esr)), (class::HVC, 0xea1));
        assert!(is_hypercall(esr, 0xea1) && !is_hypercall(esr, 0xea2) && !is_hypercall(esr | 1 << 26, 0xea1));
    }

    #[test]
    fn only_a_plain_wfi_sleeps() {
        assert_eq!([0, 1, 2, 3].map(is_brief_wait), [false, true, true, true]);
    }

    #[test]
    fn maintenance_of_memory_that_is_not_there_is_told_apart() {
        let abort = Abort::of_data(0x24 << 26 | 1 << 25 | 1 << 8 | 1 << 6 | 7);
        assert!(abort.maintenance && abort.write && abort.access.is_none() && !abort.walk);
    }
}
