//! What ESR_EL2 says, in words (Arm ARM D17.2.37).
//!
//! Pure: decoded here, acted on in run.rs, tested on the host.

/// The exception class and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syndrome {
    /// WFI (`false`) or WFE (`true`).
    WaitFor {
        /// It was WFE: the guest spins.
        event: bool,
    },
    /// Float or vector instruction while EL2 holds the registers.
    Float,
    /// HVC with its immediate.
    Hypercall(u16),
    /// SMC with its immediate.
    SecureCall(u16),
    /// MSR, MRS or a system instruction.
    SystemRegister(RegisterAccess),
    /// A fetch that the second stage refused.
    InstructionAbort(Abort),
    /// A load or store that the second stage refused.
    DataAbort(Abort),
    /// Anything else; the class as a number.
    Other(u8),
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
    /// Kind and level: translation, access flag, permission.
    pub status: u8,
    /// FAR_EL2 does not hold the address.
    pub no_address: bool,
    /// How to complete the access, where the processor says it.
    pub access: Option<Access>,
}

impl Abort {
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

fn abort(esr: u64) -> Abort {
    let access = bit(esr, 24).then(|| Access {
        size: 1 << field(esr, 22, 2),
        sign: bit(esr, 21),
        transfer: field(esr, 16, 5) as u8,
        wide: bit(esr, 15),
    });
    Abort { walk: bit(esr, 7), write: bit(esr, 6), status: field(esr, 0, 6) as u8, no_address: bit(esr, 10), access }
}

impl Syndrome {
    /// Whether [`Self::decode`] would give `Hypercall(tag)`.
    #[inline(always)]
    pub const fn is_hypercall(esr: u64, tag: u16) -> bool {
        field(esr, 26, 6) == 0x16 && field(esr, 0, 16) == tag
    }

    /// Decodes ESR_EL2.
    pub fn decode(esr: u64) -> Self {
        match field(esr, 26, 6) {
            0x01 => Self::WaitFor { event: bit(esr, 0) },
            0x07 => Self::Float,
            0x16 => Self::Hypercall(field(esr, 0, 16)),
            0x17 => Self::SecureCall(field(esr, 0, 16)),
            0x18 => Self::SystemRegister(RegisterAccess {
                register: encode(
                    field(esr, 20, 2),
                    field(esr, 14, 3),
                    field(esr, 10, 4),
                    field(esr, 1, 4),
                    field(esr, 17, 3),
                ),
                transfer: field(esr, 5, 5) as u8,
                read: bit(esr, 0),
            }),
            0x20 => Self::InstructionAbort(abort(esr & !(1 << 24 | 1 << 6))),
            0x24 => Self::DataAbort(abort(esr)),
            other => Self::Other(other as u8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_load_is_described() {
        // EC 0x24, IL, ISV, SAS 0, SSE, SRT 3, SF, translation fault level 2.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 3 << 16 | 1 << 15 | 0x06;
        let Syndrome::DataAbort(abort) = Syndrome::decode(esr) else { unreachable!() };
        let access = Access { size: 1, sign: true, transfer: 3, wide: true };
        assert_eq!(abort.access, Some(access));
        assert!(abort.is_translation() && !abort.write);
        assert_eq!(access.extend(0x180), 0xffff_ffff_ffff_ff80);
        assert_eq!(Access { wide: false, ..access }.extend(0x80), 0xffff_ff80);
        assert_eq!(Access { sign: false, size: 8, ..access }.extend(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_register_is_named_as_in_assembly() {
        // ICC_SGI1R_EL1 is S3_0_C12_C11_5; MSR from x2.
        let esr = 0x18 << 26 | 3 << 20 | 5 << 17 | 12 << 10 | 2 << 5 | 11 << 1;
        let expected = RegisterAccess { register: encode(3, 0, 12, 11, 5), transfer: 2, read: false };
        assert_eq!(Syndrome::decode(esr), Syndrome::SystemRegister(expected));
    }

    #[test]
    fn calls_keep_their_immediate() {
        assert_eq!(Syndrome::decode(0x16 << 26 | 0xea1), Syndrome::Hypercall(0xea1));
        assert_eq!(Syndrome::decode(0x01 << 26 | 1), Syndrome::WaitFor { event: true });
    }
}
