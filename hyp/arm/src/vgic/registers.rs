//! Guest-visible registers as tables.
//!
//! A register (or an array of them) is one line: where it is, in which widths it may be accessed, and the two functions
//! that give it meaning. What no line covers reads as zero and ignores writes, and so does an access whose width or
//! alignment the register does not allow: the architecture permits that for all of them, and it harms nobody.
//! The functions here are those that a GICv2 distributor, a GICv3 distributor and a redistributor have in common.

use super::bank::Bank;
use super::{VcpuMask, Vgic};

/// Width of a guest's access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// 8 bits.
    Byte = 1,
    /// 16 bits: no register of a GIC allows it.
    Half = 2,
    /// 32 bits.
    Word = 4,
    /// 64 bits.
    Double = 8,
}

impl Width {
    /// From the access size field of a data abort's syndrome (ESR_ELx.ISS.SAS, bits 23:22), its low two bits used.
    #[inline(always)]
    pub const fn from_sas(sas: u8) -> Self {
        match sas & 3 {
            0 => Self::Byte,
            1 => Self::Half,
            2 => Self::Word,
            _ => Self::Double,
        }
    }

    /// Bytes.
    pub const fn bytes(self) -> u32 {
        self as u32
    }

    /// The bits of a value of this width.
    pub(crate) const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bytes() * 8)
    }
}

/// Widths that a register allows, as a sum of [`Width`]s.
pub(super) const WORD: u8 = Width::Word as u8;
/// Priorities and the like: bytes, or four at once.
pub(super) const BYTE_OR_WORD: u8 = Width::Byte as u8 | Width::Word as u8;
/// 64-bit registers, of which either half may be accessed alone.
pub(super) const WORD_OR_DOUBLE: u8 = Width::Word as u8 | Width::Double as u8;

/// One access to a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The vCPU whose private interrupts the register shows: the accessing one at a distributor, the owner of a
    /// redistributor there.
    pub(super) vcpu: u8,
    /// Bytes from the start of the register, or of its array.
    pub(super) offset: u32,
    /// How wide.
    pub(super) width: Width,
}

impl At {
    /// Which word of the array.
    const fn word(self) -> u32 {
        self.offset / 4
    }

    /// The part of a 64-bit register that the access sees.
    pub(super) const fn part(self, value: u64) -> u64 {
        value >> (self.offset % 8 * 8)
    }
}

/// How a register is read; the result's bits beyond the access are dropped.
pub(super) type Read = fn(&Vgic, At) -> u64;
/// How a register is written; the value has no bits beyond the access.
pub(super) type Write = fn(&mut Vgic, At, u64) -> VcpuMask;

/// One line of a table.
pub(super) struct Register {
    start: u32,
    end: u32,
    widths: u8,
    read: Read,
    write: Write,
}

/// A register, or an array of `bytes` bytes of them.
pub(super) const fn register(start: u32, bytes: u32, widths: u8, read: Read, write: Write) -> Register {
    Register { start, end: start + bytes, widths, read, write }
}

/// Registers are looked up by the 128 bytes they are in: that is how the architecture spaces its arrays.
const SLOT: u32 = 128;
/// Slots that are told apart; what lies behind is one more.
const SLOTS: usize = 32;
/// In the first slot single registers lie close together, so that each word there is told apart.
const WORDS: usize = SLOT as usize / 4;

/// The registers of a frame of 64 KiB, sorted by offset.
pub(super) struct Table {
    registers: &'static [Register],
    /// For each word of the first slot, how many registers begin before its end.
    begun_words: [u8; WORDS],
    /// For each slot, how many registers begin before its end.
    begun: [u8; SLOTS + 1],
}

/// How many registers begin before this offset.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses what is out of bounds")]
const fn begun_before(registers: &[Register], end: u32) -> u8 {
    let mut count = 0;
    while count < registers.len() && registers[count].start < end {
        assert!(count == 0 || registers[count - 1].end <= registers[count].start, "sorted, apart");
        count += 1;
    }
    count as u8
}

impl Table {
    /// With the index worked out at build time.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses what is out of bounds")]
    pub(super) const fn new(registers: &'static [Register]) -> Self {
        let mut begun_words = [0; WORDS];
        let mut word = 0;
        while word < WORDS {
            begun_words[word] = begun_before(registers, (word as u32 + 1) * 4);
            word += 1;
        }
        let mut begun = [begun_before(registers, u32::MAX); SLOTS + 1];
        let mut slot = 0;
        while slot < SLOTS {
            begun[slot] = begun_before(registers, (slot as u32 + 1) * SLOT);
            slot += 1;
        }
        Self { registers, begun_words, begun }
    }

    /// The register that an access hits, if it allows it.
    #[inline(always)]
    fn find(&'static self, offset: u32, width: Width) -> Option<&'static Register> {
        let begun = match self.begun_words.get(offset as usize / 4) {
            Some(begun) => begun,
            None => self.begun.get((offset / SLOT).min(SLOTS as u32) as usize)?,
        };
        let mut last = usize::from(*begun).checked_sub(1)?;
        let register = loop {
            let register = self.registers.get(last)?;
            if register.start <= offset {
                break register;
            }
            last = last.checked_sub(1)?;
        };
        let allowed = register.widths & width as u8 != 0 && offset & (width.bytes() - 1) == 0;
        (offset < register.end && allowed).then_some(register)
    }

    /// Emulate a load.
    #[inline(always)]
    pub(super) fn read(&'static self, vgic: &Vgic, vcpu: u8, offset: u32, width: Width) -> u64 {
        let Some(register) = self.find(offset, width) else { return 0 };
        (register.read)(vgic, At { vcpu, offset: offset - register.start, width }) & width.mask()
    }

    /// Emulate a store.
    pub(super) fn write(&'static self, vgic: &mut Vgic, vcpu: u8, offset: u32, width: Width, value: u64) -> VcpuMask {
        let Some(register) = self.find(offset, width) else { return 0 };
        (register.write)(vgic, At { vcpu, offset: offset - register.start, width }, value & width.mask())
    }
}

/// Reads as zero.
pub(super) fn zero(_: &Vgic, _: At) -> u64 {
    0
}

/// Ignores writes.
pub(super) fn ignore(_: &mut Vgic, _: At, _: u64) -> VcpuMask {
    0
}

/// Read a word of one of the bit arrays.
fn bits(vgic: &Vgic, at: At, get: impl Fn(&Bank) -> u32) -> u64 {
    vgic.bank(at.vcpu, at.word()).map_or(0, |bank| u64::from(get(bank)))
}

/// Change a word of one of the bit arrays. `change` returns the bits that matter to whoever sees the interrupts.
fn change(vgic: &mut Vgic, at: At, change: impl FnOnce(&mut Bank) -> u32) -> VcpuMask {
    let Some(bank) = vgic.bank_mut(at.vcpu, at.word()) else { return 0 };
    let touched = change(bank);
    vgic.affected(at.vcpu, at.word(), touched)
}

/// `IGROUPR`.
pub(super) fn read_group(vgic: &Vgic, at: At) -> u64 {
    bits(vgic, at, |bank| bank.group)
}

/// `IGROUPR`.
pub(super) fn write_group(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    change(vgic, at, |bank| {
        let changed = bank.group ^ value as u32;
        bank.group = value as u32;
        changed & bank.alive()
    })
}

/// `ISENABLER`, `ICENABLER`.
pub(super) fn read_enabled(vgic: &Vgic, at: At) -> u64 {
    bits(vgic, at, |bank| bank.enabled)
}

/// `ISENABLER`.
pub(super) fn set_enabled(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    change(vgic, at, |bank| {
        let new = value as u32 & !bank.enabled;
        bank.enabled |= new;
        new & bank.alive()
    })
}

/// `ICENABLER`.
pub(super) fn clear_enabled(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    change(vgic, at, |bank| {
        let gone = value as u32 & bank.enabled;
        bank.enabled &= !gone;
        gone & bank.alive()
    })
}

/// `ISPENDR`, `ICPENDR`.
pub(super) fn read_pending(vgic: &Vgic, at: At) -> u64 {
    bits(vgic, at, Bank::pending)
}

/// `ISPENDR`.
pub(super) fn set_pending(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    change(vgic, at, |bank| {
        let new = value as u32 & !bank.latch;
        bank.set_pending(new);
        new
    })
}

/// `ICPENDR`.
pub(super) fn clear_pending(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    change(vgic, at, |bank| {
        let gone = value as u32 & bank.pending();
        bank.clear_pending(gone);
        gone
    })
}

/// `ISACTIVER`, `ICACTIVER`.
pub(super) fn read_active(vgic: &Vgic, at: At) -> u64 {
    bits(vgic, at, |bank| bank.active)
}

/// `ISACTIVER`.
pub(super) fn set_active(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let number = at.word();
    let Some(bank) = vgic.bank_mut(at.vcpu, number) else { return 0 };
    let new = value as u32 & (!bank.active | bank.listed);
    bank.set_active(new);
    // An SPI becomes active at the vCPU it is routed to, unless one holds it already.
    if let Some(spi) = (number as usize).checked_sub(1) {
        let held = vgic.cpus.iter().fold(0, |held, cpu| held | cpu.held.get(spi).copied().unwrap_or(0));
        for cpu in &mut vgic.cpus {
            let routed = cpu.routed.get(spi).copied().unwrap_or(0);
            if let Some(word) = cpu.held.get_mut(spi) {
                *word |= new & routed & !held;
            }
        }
    }
    vgic.affected(at.vcpu, number, new)
}

/// `ICACTIVER`.
pub(super) fn clear_active(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let number = at.word();
    let Some(bank) = vgic.bank_mut(at.vcpu, number) else { return 0 };
    let gone = value as u32 & (bank.active | bank.listed);
    bank.clear_active(gone);
    let listed = bank.listed;
    let mask = vgic.affected(at.vcpu, number, gone);
    if let Some(spi) = (number as usize).checked_sub(1) {
        for word in vgic.cpus.iter_mut().filter_map(|cpu| cpu.held.get_mut(spi)) {
            *word &= !(gone & !listed);
        }
    }
    mask
}

/// `IPRIORITYR`.
pub(super) fn read_priority(vgic: &Vgic, at: At) -> u64 {
    let Some(bank) = vgic.bank(at.vcpu, at.offset / 32) else { return 0 };
    (0..at.width.bytes()).fold(0, |value, byte| value | u64::from(bank.priority(at.offset % 32 + byte)) << (8 * byte))
}

/// `IPRIORITYR`.
pub(super) fn write_priority(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let Some(bank) = vgic.bank_mut(at.vcpu, at.offset / 32) else { return 0 };
    let mut touched = 0;
    for byte in 0..at.width.bytes() {
        let index = at.offset % 32 + byte;
        let before = bank.priority(index);
        bank.set_priority(index, (value >> (8 * byte)) as u8);
        touched |= u32::from(before != bank.priority(index)) << index;
    }
    touched &= bank.alive();
    vgic.affected(at.vcpu, at.offset / 32, touched)
}

/// `ICFGR`: two bits for each interrupt, the upper of them set for edge-triggered.
pub(super) fn read_config(vgic: &Vgic, at: At) -> u64 {
    let Some(bank) = vgic.bank(at.vcpu, at.word() / 2) else { return 0 };
    let edge = bank.edge >> (at.word() % 2 * 16);
    (0..16).fold(0, |value, index| value | u64::from(edge >> index & 1) << (2 * index + 1))
}

/// `ICFGR`. That of the SGIs is read-only.
pub(super) fn write_config(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    if at.word() == 0 {
        return 0;
    }
    let half = at.word() % 2 * 16;
    let edge = (0..16).fold(0, |edge, index| edge | (value as u32 >> (2 * index + 1) & 1) << index) << half;
    let Some(bank) = vgic.bank_mut(at.vcpu, at.word() / 2) else { return 0 };
    let changed = (bank.edge ^ edge) & (0xffff << half);
    bank.edge ^= changed;
    let touched = changed & (bank.alive() | bank.line);
    vgic.affected(at.vcpu, at.word() / 2, touched)
}

/// The bits of `GICD_CTLR` that enable the groups.
pub(super) fn read_groups_enabled(vgic: &Vgic) -> u64 {
    u64::from(vgic.group0 & 1 | vgic.group1 & 2)
}

/// The same, written.
pub(super) fn write_groups_enabled(vgic: &mut Vgic, value: u64) -> VcpuMask {
    let before = (vgic.group0, vgic.group1);
    vgic.group0 = if value & 1 != 0 { !0 } else { 0 };
    vgic.group1 = if value & 2 != 0 { !0 } else { 0 };
    if before == (vgic.group0, vgic.group1) { 0 } else { vgic.everyone() }
}

/// The identification registers at the end of a frame (CoreSight layout): class 0xf, ARM's JEP106 code, and the
/// architecture revision in `PIDR2`. `at` counts from `PIDR4`.
pub(super) fn identification(at: At, revision: u64) -> u64 {
    match at.word() {
        0 => 0x04,
        4 => 0x92,
        5 => 0xb4,
        6 => revision << 4 | 0xb,
        8 => 0x0d,
        9 => 0xf0,
        10 => 0x05,
        11 => 0xb1,
        _ => 0,
    }
}
