//! Instructions that touch a device's registers in memory, read just as far as the device has to know them.
//!
//! The processor says which address was touched and, on some machines, nothing else. Kernels touch devices by MOV and its
//! extending forms, and those are what is known here: every encoding of them, in 16, 32 and 64-bit code. The address is not
//! computed, because the processor has said it. A library that knows all instructions keeps its tables in a heap, of which
//! there is none here (ADR 0013).
//!
//! Source: Intel SDM 2A, chapter 2 (format) and MOV, MOVZX, MOVSX, MOVSXD.

/// Bytes of the longest instruction.
pub const LONGEST: usize = 15;

/// How many bits addresses and operands have without prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Real mode, and 16-bit segments.
    Bits16,
    /// 32-bit segments.
    Bits32,
    /// Long mode.
    Bits64,
}

/// What is done with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A register gets it.
    Load {
        /// Which, by its number; see [`Access::shift`].
        register: u8,
        /// Bytes of the register that change; 4 clears the upper half too.
        width: u8,
        /// What is above the value in those bytes is its sign, and not 0.
        signed: bool,
    },
    /// A register has it.
    Store {
        /// Which.
        register: u8,
    },
    /// The instruction has it.
    StoreConstant(u64),
}

/// An access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes of the instruction.
    pub length: u8,
    /// Bytes in memory: 1, 2, 4 or 8.
    pub size: u8,
    /// What becomes of them.
    pub what: What,
    /// The register's byte is its second (AH to BH): how far to the right it has to be shifted.
    pub shift: u8,
}

impl Access {
    /// What a store puts into memory; `register` is the value of the register that it names.
    pub fn stored(&self, register: u64) -> u64 {
        let value = match self.what {
            What::StoreConstant(value) => value,
            _ => register >> self.shift,
        };
        value & mask(self.size)
    }

    /// What a load makes of the register that had `register`, where memory has `value`.
    pub fn loaded(&self, register: u64, value: u64) -> u64 {
        let What::Load { width, signed, .. } = self.what else { return register };
        let unused = 64 - 8 * u32::from(self.size);
        let value = value << unused;
        let value = if signed { (value as i64 >> unused) as u64 } else { value >> unused };
        let place = if width == 4 { u64::MAX } else { mask(width) << self.shift };
        register & !place | (value & mask(width)) << self.shift
    }
}

/// The bits of so many bytes.
fn mask(bytes: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(bytes))
}

/// Prefixes that matter.
#[derive(Clone, Copy, Default)]
struct Prefixes {
    operand: bool,
    address: bool,
    rex: u8,
}

/// Reads bytes one after the other.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied().filter(|_| self.at < LONGEST)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at += bytes;
        (self.at <= self.bytes.len().min(LONGEST)).then_some(())
    }

    /// A signed number of so many bytes.
    fn number(&mut self, bytes: usize) -> Option<i64> {
        let mut number = 0;
        for place in 0..bytes {
            number |= i64::from(self.next()?) << (8 * place);
        }
        let unused = 64 - 8 * bytes as u32;
        Some(number << unused >> unused)
    }
}

/// Reads an instruction; `None` if it is no such access or not whole.
pub fn decode(bytes: &[u8], mode: Mode) -> Option<Access> {
    let mut reader = Reader { bytes, at: 0 };
    let mut prefixes = Prefixes::default();
    let opcode = loop {
        match reader.next()? {
            0x66 => prefixes.operand = true,
            0x67 => prefixes.address = true,
            // Segments, whose bases are in the address already, and repetitions, which mean nothing here.
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf2 | 0xf3 => {}
            rex @ 0x40..=0x4f if mode == Mode::Bits64 => {
                prefixes.rex = rex;
                break reader.next()?;
            }
            opcode => break opcode,
        }
    };
    let width = match mode {
        _ if prefixes.rex & 8 != 0 => 8,
        Mode::Bits16 if !prefixes.operand => 2,
        Mode::Bits16 => 4,
        _ if prefixes.operand => 2,
        _ => 4,
    };
    let (size, what, shift) = match opcode {
        0x88..=0x8b => {
            let register = operand(&mut reader, prefixes, mode)?;
            moved(opcode, register, width, prefixes.rex)
        }
        0xa0..=0xa3 => {
            let bytes = match (mode, prefixes.address) {
                (Mode::Bits64, false) => 8,
                (Mode::Bits64, true) | (Mode::Bits32, false) | (Mode::Bits16, true) => 4,
                _ => 2,
            };
            reader.skip(bytes)?;
            // The direction is the other way round than above.
            moved(opcode ^ 2, 0, width, prefixes.rex)
        }
        0xc6 | 0xc7 => {
            let size = if opcode == 0xc6 { 1 } else { width };
            if operand(&mut reader, prefixes, mode)? & 7 != 0 {
                return None;
            }
            (size, What::StoreConstant(reader.number(size.min(4).into())? as u64), 0)
        }
        0x63 if mode == Mode::Bits64 => {
            let register = operand(&mut reader, prefixes, mode)?;
            (width.min(4), What::Load { register, width, signed: true }, 0)
        }
        0x0f => {
            let second = reader.next()?;
            let signed = match second {
                0xb6 | 0xb7 => false,
                0xbe | 0xbf => true,
                _ => return None,
            };
            let register = operand(&mut reader, prefixes, mode)?;
            (1 + (second & 1), What::Load { register, width, signed }, 0)
        }
        _ => return None,
    };
    Some(Access { length: reader.at as u8, size, what, shift })
}

/// MOV between a register and memory: bytes, what, and where in the register.
fn moved(opcode: u8, register: u8, width: u8, rex: u8) -> (u8, What, u8) {
    let size = if opcode & 1 == 0 { 1 } else { width };
    // Without REX the numbers 4 to 7 are the second bytes of the first four registers.
    let second = size == 1 && rex == 0 && register & 4 != 0;
    let (register, shift) = if second { (register & 3, 8) } else { (register, 0) };
    let what =
        if opcode & 2 == 0 { What::Store { register } } else { What::Load { register, width: size, signed: false } };
    (size, what, shift)
}

/// Reads what names the operands, of which one is in memory; returns the other's number.
fn operand(reader: &mut Reader<'_>, prefixes: Prefixes, mode: Mode) -> Option<u8> {
    let byte = reader.next()?;
    let (kind, register, memory) = (byte >> 6, byte >> 3 & 7, byte & 7);
    let short = match mode {
        Mode::Bits16 => !prefixes.address,
        Mode::Bits32 => prefixes.address,
        Mode::Bits64 => false,
    };
    let offset = match (kind, short) {
        (3, _) => return None,
        (1, _) => 1,
        (2, true) => 2,
        (0, true) => {
            if memory == 6 {
                2
            } else {
                0
            }
        }
        (2, false) => 4,
        _ => {
            if memory == 5 {
                4
            } else {
                0
            }
        }
    };
    let mut offset = offset;
    if !short && memory == 4 {
        let scaled = reader.next()?;
        // No base: an offset of four bytes instead.
        if kind == 0 && scaled & 7 == 5 {
            offset = 4;
        }
    }
    reader.skip(offset)?;
    Some(register | (prefixes.rex & 4) << 1)
}

#[cfg(test)]
mod tests;
