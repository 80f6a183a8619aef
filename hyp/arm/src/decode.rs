//! Loads and stores that the processor does not describe, taken apart by their encoding.
//!
//! A trapped access to a device comes with a syndrome for the plain forms only: one register, no write-back. Compilers
//! emit the others as soon as a driver walks over registers, so software has to read the instruction itself. This
//! decoder knows the A64 forms that move general registers; it refuses what no device can answer (vectors, exclusives,
//! atomics) by name, and what the architecture leaves unpredictable.
//!
//! Pure, tested on the host against a disassembler. Encodings: Arm ARM C4.1.94, "Loads and Stores".

use crate::syndrome::Access;

/// A load or store of one or two general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// It loads.
    pub load: bool,
    /// Size, extension and first register.
    pub access: Access,
    /// The second register of a pair; its data lies behind the first's.
    pub second: Option<u8>,
    /// The base register; 31 is the stack pointer.
    pub base: u8,
    /// What is added to it.
    pub offset: Offset,
    /// When it is added.
    pub indexing: Indexing,
}

/// What is added to the base register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// Bytes.
    Immediate(i64),
    /// A register.
    Register {
        /// Which; 31 is zero.
        register: u8,
        /// Only its lower 32 bits count.
        word: bool,
        /// They are signed.
        signed: bool,
        /// How far it is shifted left.
        shift: u8,
    },
}

/// Where the access happens and what becomes of the base register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// At the sum; the base stays.
    Offset,
    /// At the sum, which becomes the base.
    Pre,
    /// At the base, which then becomes the sum.
    Post,
}

/// Why an instruction is not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It moves vector registers.
    Vector,
    /// Exclusive, ordered, or compare-and-swap.
    Exclusive,
    /// Any other load or store: atomics, prefetches, tags, literals.
    Other,
    /// No load or store, or one that does not exist.
    Unknown,
    /// Its registers are such that the architecture does not say what it does.
    Unpredictable,
}

impl Refusal {
    /// What the guest did, for the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vector => "device-access-by-a-vector-instruction",
            Self::Exclusive => "device-access-by-an-exclusive-instruction",
            Self::Other => "device-access-by-an-instruction-for-memory",
            Self::Unknown => "device-access-by-an-unknown-instruction",
            Self::Unpredictable => "device-access-by-an-unpredictable-instruction",
        }
    }
}

/// `count` bits from `low` on.
const fn field(word: u32, low: u32, count: u32) -> u8 {
    (word >> low & ((1 << count) - 1)) as u8
}

const fn bit(word: u32, n: u32) -> bool {
    word >> n & 1 != 0
}

/// `count` bits from `low` on, signed.
const fn signed(word: u32, low: u32, count: u32) -> i64 {
    ((word << (32 - low - count)) as i32 >> (32 - count)) as i64
}

/// The register that stands for the stack pointer as a base.
pub const STACK: u8 = 31;

/// Takes a load or store apart.
///
/// # Errors
/// Says why it cannot be completed by software.
pub fn decode(word: u32) -> Result<Instruction, Refusal> {
    if word >> 25 & 0b101 != 0b100 {
        return Err(Refusal::Unknown);
    }
    if bit(word, 26) {
        return Err(Refusal::Vector);
    }
    let instruction = match field(word, 28, 2) {
        0 => return Err(Refusal::Exclusive),
        1 => return Err(Refusal::Other),
        2 => pair(word)?,
        _ => single(word)?,
    };
    if instruction.is_predictable() { Ok(instruction) } else { Err(Refusal::Unpredictable) }
}

/// LDP, STP, LDNP, STNP, LDPSW.
fn pair(word: u32) -> Result<Instruction, Refusal> {
    let (load, mode) = (bit(word, 22), field(word, 23, 2));
    let (size, sign) = match (field(word, 30, 2), load) {
        (0, _) => (4u8, false),
        // There is no LDNPSW.
        (1, true) if mode != 0 => (4, true),
        (2, _) => (8, false),
        (1, false) => return Err(Refusal::Other),
        _ => return Err(Refusal::Unknown),
    };
    Ok(Instruction {
        load,
        access: Access { size, sign, transfer: field(word, 0, 5), wide: sign || size == 8 },
        second: Some(field(word, 10, 5)),
        base: field(word, 5, 5),
        offset: Offset::Immediate(signed(word, 15, 7) * i64::from(size)),
        indexing: match mode {
            1 => Indexing::Post,
            3 => Indexing::Pre,
            _ => Indexing::Offset,
        },
    })
}

/// LDR, STR and their kin, of one register.
fn single(word: u32) -> Result<Instruction, Refusal> {
    let (scale, operation) = (field(word, 30, 2), field(word, 22, 2));
    let unscaled = Offset::Immediate(signed(word, 12, 9));
    let (offset, indexing) = match (bit(word, 24), bit(word, 21), field(word, 10, 2)) {
        (true, ..) => (Offset::Immediate(i64::from(word >> 10 & 0xfff) << scale), Indexing::Offset),
        (false, false, 0 | 2) => (unscaled, Indexing::Offset),
        (false, false, 1) => (unscaled, Indexing::Post),
        (false, false, _) => (unscaled, Indexing::Pre),
        (false, true, 2) => (register_offset(word, scale)?, Indexing::Offset),
        _ => return Err(Refusal::Other),
    };
    let (sign, wide) = match (operation, scale) {
        (0 | 1, 3) => (false, true),
        (0 | 1, _) => (false, false),
        (2, 0..=2) => (true, true),
        (3, 0 | 1) => (true, false),
        // A prefetch, where it has a form: that moves nothing.
        (2, _) if indexing == Indexing::Offset => return Err(Refusal::Other),
        _ => return Err(Refusal::Unknown),
    };
    Ok(Instruction {
        load: operation != 0,
        access: Access { size: 1 << scale, sign, transfer: field(word, 0, 5), wide },
        second: None,
        base: field(word, 5, 5),
        offset,
        indexing,
    })
}

fn register_offset(word: u32, scale: u8) -> Result<Offset, Refusal> {
    let option = field(word, 13, 3);
    if option & 2 == 0 {
        return Err(Refusal::Unknown);
    }
    let shift = if bit(word, 12) { scale } else { 0 };
    Ok(Offset::Register { register: field(word, 16, 5), word: option & 1 == 0, signed: option & 4 != 0, shift })
}

impl Instruction {
    fn is_predictable(&self) -> bool {
        let moved = |register| register == self.access.transfer || self.second == Some(register);
        let overwritten = self.indexing != Indexing::Offset && self.base != STACK && moved(self.base);
        let twice = self.load && self.second == Some(self.access.transfer);
        !overwritten && !twice
    }

    /// Where it accesses, and what its base register holds afterwards. `read` gives a general register by its number, 31
    /// being zero.
    pub fn addresses(&self, stack: u64, read: impl Fn(u8) -> u64) -> (u64, u64) {
        let base = if self.base == STACK { stack } else { read(self.base) };
        let offset = match self.offset {
            Offset::Immediate(bytes) => bytes as u64,
            Offset::Register { register, word, signed, shift } => {
                let value = read(register);
                let value = match (word, signed) {
                    (true, true) => value as i32 as u64,
                    (true, false) => value & 0xffff_ffff,
                    (false, _) => value,
                };
                value << (shift & 3)
            }
        };
        let sum = base.wrapping_add(offset);
        match self.indexing {
            Indexing::Offset => (sum, base),
            Indexing::Pre => (sum, sum),
            Indexing::Post => (base, sum),
        }
    }

    /// Its base register, if it changes that; 31 is the stack pointer.
    pub fn written_back(&self) -> Option<u8> {
        (self.indexing != Indexing::Offset).then_some(self.base)
    }

    /// Bytes of memory that it touches.
    pub fn bytes(&self) -> u64 {
        self.accesses().map(|access| u64::from(access.size)).sum()
    }

    /// The accesses of its registers, in the order of memory.
    pub fn accesses(&self) -> impl Iterator<Item = Access> {
        let second = self.second.map(|transfer| Access { transfer, ..self.access });
        core::iter::once(self.access).chain(second)
    }
}

#[cfg(test)]
mod tests;
