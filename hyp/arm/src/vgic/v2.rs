//! The controller as a GICv2 (Arm IHI 0048): one distributor that shows each vCPU its own SGIs and PPIs, SPIs routed by
//! target lists, and SGIs that carry their sender's number to the handler.
//!
//! Interrupt grouping without the Security Extensions; all interrupts in group 0 after reset, which is where a
//! guest that knows nothing of groups expects them. Of several targets of an SPI the lowest numbered vCPU gets it, as
//! the 1-of-N model allows.
//!
//! An SGI can be pending from several vCPUs at once and is acknowledged once for each. The state of
//! 32 interrupts a word has no place for that, so [`flush`] and [`sync`] here, which replace [`Vgic::flush`] and
//! [`Vgic::sync`], put the sender into the list registers and take it out again.

use super::registers::{
    self, At, BYTE_OR_WORD, Table, WORD, clear_active, clear_enabled, clear_pending, ignore, read_active, read_config,
    read_enabled, read_group, read_pending, read_priority, register, set_active, set_enabled, set_pending,
    write_config, write_group, write_priority, zero,
};
use super::{ListRegisters, PRIVATE, SGIS, SPIS, VcpuMask, Vgic, Width};

/// Bytes of the distributor's frame.
pub const DISTRIBUTOR_BYTES: u32 = 0x1000;

/// A controller after reset, for vCPUs 0 to `vcpus` - 1. More than [`super::MAX_VCPUS`] count as that many.
pub fn new(vcpus: u8) -> Vgic {
    Vgic::with_reset_group(vcpus, 0)
}

/// Emulate a guest's load at `offset` bytes into the distributor, by `vcpu`. Any offset will do: where nothing is, 0.
pub fn read(vgic: &Vgic, vcpu: u8, offset: u32, width: Width) -> u64 {
    DISTRIBUTOR.read(vgic, vcpu, offset, width)
}

/// Emulate a guest's store. Returns the vCPUs whose list registers are out of date.
pub fn write(vgic: &mut Vgic, vcpu: u8, offset: u32, width: Width, value: u64) -> VcpuMask {
    DISTRIBUTOR.write(vgic, vcpu, offset, width, value)
}

/// GICH_LR<n> for what [`ListRegisters`] holds: the same fields, closer together.
pub const fn to_hardware(value: u64) -> u32 {
    let fields = (value >> 61 & 1) << 31 | (value >> 60 & 1) << 30 | (value >> 62) << 28;
    (fields | (value >> 51 & 0x1f) << 23 | (value >> 32 & 0x3ff) << 10 | value & 0x3ff) as u32
}

/// The reverse of [`to_hardware`].
pub const fn from_hardware(register: u32) -> u64 {
    let value = register as u64;
    let fields = (value >> 31 & 1) << 61 | (value >> 30 & 1) << 60 | (value >> 28 & 3) << 62;
    fields | (value >> 23 & 0x1f) << 51 | (value >> 10 & 0x3ff) << 32 | value & 0x3ff
}

/// The distributor (4.3). Word 0 of an array, and the first 32 bytes of the others, are the accessing vCPU's own.
static DISTRIBUTOR: Table = Table::new(&[
    register(
        0x000,
        4,
        WORD,
        |vgic, _| registers::read_groups_enabled(vgic),
        |vgic, _, value| registers::write_groups_enabled(vgic, value),
    ),
    register(0x004, 4, WORD, |vgic, _| u64::from(vgic.vcpus.saturating_sub(1)) << 5 | LINES, ignore),
    register(0x008, 4, WORD, |_, _| IMPLEMENTER, ignore),
    register(0x080, WORDS, WORD, read_group, write_group),
    register(0x100, WORDS, WORD, read_enabled, set_enabled),
    register(0x180, WORDS, WORD, read_enabled, clear_enabled),
    register(0x200, WORDS, WORD, read_pending, |vgic, at, value| set_pending(vgic, at, not_sgis(at, value))),
    register(0x280, WORDS, WORD, read_pending, |vgic, at, value| clear_pending(vgic, at, not_sgis(at, value))),
    register(0x300, WORDS, WORD, read_active, set_active),
    register(0x380, WORDS, WORD, read_active, clear_active),
    register(0x400, PRIVATE + SPIS, BYTE_OR_WORD, read_priority, write_priority),
    register(0x800, PRIVATE + SPIS, BYTE_OR_WORD, targets, write_targets),
    register(0xc00, (PRIVATE + SPIS) / 4, WORD, read_config, write_config),
    register(0xf00, 4, WORD, zero, send_sgi),
    register(0xf10, SGIS as u32, BYTE_OR_WORD, sources, clear_sources),
    register(0xf20, SGIS as u32, BYTE_OR_WORD, sources, set_sources),
    register(0xfd0, 0x30, WORD, |_, at| registers::identification(at, 2), ignore),
]);

/// Bytes of a bit array over all interrupts.
const WORDS: u32 = (PRIVATE + SPIS) / 8;
/// `GICD_TYPER.ITLinesNumber`.
const LINES: u64 = (SPIS / 32) as u64;
/// `GICD_IIDR`: ARM as the implementer, product "M".
const IMPLEMENTER: u64 = 0x4d << 24 | 0x43b;

/// SGIs are made pending through registers of their own alone.
const fn not_sgis(at: At, value: u64) -> u64 {
    if at.offset == 0 { value & !0xffff } else { value }
}

/// `GICD_ITARGETSR<n>`: a byte for each interrupt. A private one targets whoever asks. Where there is one vCPU only, all
/// of them read as zero and ignore writes (4.3.12).
fn targets(vgic: &Vgic, at: At) -> u64 {
    if vgic.vcpus == 1 {
        return 0;
    }
    (0..at.width.bytes()).fold(0, |value, byte| {
        let target = match at.offset.wrapping_add(byte).checked_sub(PRIVATE) {
            Some(spi) => vgic.routes.get(spi as usize).copied().unwrap_or(0),
            None => 1 << (at.vcpu % 8),
        };
        value | u64::from(target) << (8 * byte)
    })
}

fn write_targets(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let mut mask = 0;
    if vgic.vcpus == 1 {
        return 0;
    }
    for byte in 0..at.width.bytes() {
        let Some(spi) = at.offset.wrapping_add(byte).checked_sub(PRIVATE) else { continue };
        let target = (value >> (8 * byte)) as u32 & vgic.everyone();
        if let Some(route) = vgic.routes.get_mut(spi as usize) {
            *route = target;
            mask |= vgic.move_spi(spi, |vcpu| u32::from(vcpu) == target.trailing_zeros());
        }
    }
    mask
}

/// `GICD_SGIR`: target list filter in bits 25:24, target list in 23:16, INTID in 3:0.
fn send_sgi(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let own = 1 << (at.vcpu % 8);
    let targets = match value >> 24 & 3 {
        0 => (value >> 16) as u32 & vgic.everyone(),
        1 => vgic.everyone() & !own,
        2 => own,
        _ => 0,
    };
    let named = (0..vgic.vcpus).filter(|vcpu| targets >> vcpu & 1 != 0);
    named.fold(0, |mask, vcpu| mask | add_sources(vgic, vcpu, (value & 0xf) as usize, own as u8))
}

/// Make an SGI pending at `vcpu` from these vCPUs.
fn add_sources(vgic: &mut Vgic, vcpu: u8, sgi: usize, from: u8) -> VcpuMask {
    let from = from & vgic.everyone() as u8;
    let Some(sources) = vgic.cpu_mut(vcpu).and_then(|cpu| cpu.sources.get_mut(sgi)) else { return 0 };
    let new = from & !*sources;
    *sources |= new;
    if new == 0 {
        return 0;
    }
    vgic.pulse(vcpu, sgi as u32);
    1 << (vcpu % 32)
}

/// `GICD_SPENDSGIR<n>`, `GICD_CPENDSGIR<n>`: a byte for each SGI, bit n for vCPU n as the sender.
fn sources(vgic: &Vgic, at: At) -> u64 {
    let Some(cpu) = vgic.cpu(at.vcpu) else { return 0 };
    let bytes = cpu.sources.iter().skip(at.offset as usize).take(at.width.bytes() as usize);
    bytes.rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn set_sources(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let bytes =
        (0..at.width.bytes()).map(|byte| (at.offset.wrapping_add(byte) as usize, value.wrapping_shr(8 * byte) as u8));
    bytes.fold(0, |mask, (sgi, from)| mask | add_sources(vgic, at.vcpu, sgi, from))
}

/// Takes away what is not in a list register; an SGI has left for its target otherwise. A vCPU has its own list
/// registers brought back before its store is emulated, so that all of its pending SGIs are here.
fn clear_sources(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let Some(cpu) = vgic.cpu_mut(at.vcpu) else { return 0 };
    let bytes = cpu.sources.iter_mut().enumerate().skip(at.offset as usize).take(at.width.bytes() as usize);
    let mut value = value;
    for (sgi, sources) in bytes {
        *sources &= !(value as u8);
        value >>= 8;
        if *sources == 0 {
            cpu.private.latch &= !(1 << sgi);
        }
    }
    1 << (at.vcpu % 32)
}

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
/// In the place of the physical INTID: the sender of an SGI, 3 bits; and, above, the maintenance interrupt.
const SOURCE_SHIFT: u32 = 32;
const EOI: u64 = 1 << 41;

/// [`Vgic::flush`], with the senders of SGIs.
pub fn flush(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters) {
    if lists.used() != 0 {
        return;
    }
    vgic.flush(vcpu, lists);
    let Some(cpu) = vgic.cpu_mut(vcpu) else { return };
    for value in lists.used_mut().iter_mut().filter(|value| (**value as u32) < SGIS as u32) {
        let (sgi, bit) = (*value as usize & 0xf, 1 << (*value & 0xf));
        let (Some(sources), Some(active)) = (cpu.sources.get_mut(sgi), cpu.active_source.get(sgi)) else { continue };
        if *value & ACTIVE != 0 {
            // One list register cannot hold two senders: what is pending waits for the completion.
            *value = *value & !PENDING | u64::from(*active) << SOURCE_SHIFT;
            cpu.private.latch |= cpu.private.loaded & bit;
            cpu.private.loaded &= !bit;
        } else {
            *value |= u64::from(sources.trailing_zeros() % 8) << SOURCE_SHIFT;
            *sources &= sources.wrapping_sub(1);
            cpu.private.latch |= if *sources != 0 { bit } else { 0 };
        }
        if *sources != 0 {
            *value |= EOI;
        }
    }
}

/// [`Vgic::sync`], with the senders of SGIs.
pub fn sync(vgic: &mut Vgic, vcpu: u8, lists: &mut ListRegisters) -> VcpuMask {
    if let Some(cpu) = vgic.cpu_mut(vcpu) {
        for value in lists.used_mut().iter().filter(|value| (**value as u32) < SGIS as u32) {
            let (sgi, source) = (*value as usize & 0xf, (*value >> SOURCE_SHIFT & 7) as u8);
            let (Some(sources), Some(active)) = (cpu.sources.get_mut(sgi), cpu.active_source.get_mut(sgi)) else {
                continue;
            };
            if *value & PENDING != 0 && cpu.private.loaded >> sgi & 1 != 0 {
                *sources |= 1 << source;
            }
            if *value & ACTIVE != 0 {
                *active = source;
            }
        }
    }
    vgic.sync(vcpu, lists)
}
