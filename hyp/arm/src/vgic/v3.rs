//! The controller as a GICv3 (Arm IHI 0069): distributor, redistributors, and the system registers that send SGIs.
//!
//! One security state (`GICD_CTLR.DS` = 1), affinity routing always on, no LPIs, no message-based SPIs, 5 bits of
//! priority. vCPU n has affinity 0.0.0.n.

use super::registers::{
    self, At, BYTE_OR_WORD, Table, WORD, WORD_OR_DOUBLE, clear_active, clear_enabled, clear_pending, ignore,
    read_active, read_config, read_enabled, read_group, read_pending, read_priority, register, set_active, set_enabled,
    set_pending, write_config, write_group, write_priority, zero,
};
use super::{PRIVATE, SPIS, VcpuMask, Vgic, Width};

/// Bytes of the distributor's frame.
pub const DISTRIBUTOR_BYTES: u32 = 0x1_0000;
/// Bytes of a frame.
const FRAME_BYTES: u32 = 0x1_0000;
/// Bytes of one vCPU's redistributor: a frame for itself, a frame for SGIs and PPIs.
pub const REDISTRIBUTOR_BYTES: u32 = 0x2_0000;

/// The part of the memory map that an access hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// The distributor.
    Distributor,
    /// All redistributors, [`REDISTRIBUTOR_BYTES`] each, by vCPU.
    Redistributors,
}

/// Emulate a guest's load at `offset` bytes into a region, by `vcpu`. Any offset will do: where nothing is, 0.
#[inline(always)]
pub fn read(vgic: &Vgic, vcpu: u8, region: Region, offset: u32, width: Width) -> u64 {
    match table(vgic, vcpu, region, offset) {
        Some((table, vcpu, offset)) => table.read(vgic, vcpu, offset, width),
        None => 0,
    }
}

/// Emulate a guest's store. Returns the vCPUs whose list registers are out of date.
pub fn write(vgic: &mut Vgic, vcpu: u8, region: Region, offset: u32, width: Width, value: u64) -> VcpuMask {
    match table(vgic, vcpu, region, offset) {
        Some((table, vcpu, offset)) => table.write(vgic, vcpu, offset, width, value),
        None => 0,
    }
}

/// The frame that an access by `vcpu` hits, the vCPU whose private interrupts that shows, and the offset in it.
#[inline(always)]
fn table(vgic: &Vgic, vcpu: u8, region: Region, offset: u32) -> Option<(&'static Table, u8, u32)> {
    let frame = offset % FRAME_BYTES;
    match (region, offset / FRAME_BYTES) {
        (Region::Distributor, 0) => Some((&DISTRIBUTOR, vcpu, frame)),
        (Region::Distributor, _) => None,
        (Region::Redistributors, number) => {
            let table = if number % 2 == 0 { &REDISTRIBUTOR } else { &PRIVATE_INTERRUPTS };
            u8::try_from(number / 2).ok().filter(|owner| *owner < vgic.vcpus).map(|owner| (table, owner, frame))
        }
    }
}

/// Bytes of a bit array over the SPIs.
const SPI_WORDS: u32 = SPIS / 8;

/// The distributor (12.9). What concerns INTIDs 0 to 31 is in the redistributors and reads as zero here.
static DISTRIBUTOR: Table = Table::new(&[
    register(0x0000, 4, WORD, control, write_control),
    register(0x0004, 4, WORD, |_, _| DISTRIBUTOR_TYPE, ignore),
    register(0x0008, 4, WORD, |_, _| IMPLEMENTER, ignore),
    register(0x000c, 4, WORD, zero, ignore), // GICD_TYPER2: 8 bits of vPEID, no GICv4.1
    register(0x0010, 4, WORD, zero, ignore), // GICD_STATUSR: no access is reported
    register(0x0084, SPI_WORDS, WORD, |v, at| read_group(v, spi(at)), |v, at, x| write_group(v, spi(at), x)),
    register(0x0104, SPI_WORDS, WORD, |v, at| read_enabled(v, spi(at)), |v, at, x| set_enabled(v, spi(at), x)),
    register(0x0184, SPI_WORDS, WORD, |v, at| read_enabled(v, spi(at)), |v, at, x| clear_enabled(v, spi(at), x)),
    register(0x0204, SPI_WORDS, WORD, |v, at| read_pending(v, spi(at)), |v, at, x| set_pending(v, spi(at), x)),
    register(0x0284, SPI_WORDS, WORD, |v, at| read_pending(v, spi(at)), |v, at, x| clear_pending(v, spi(at), x)),
    register(0x0304, SPI_WORDS, WORD, |v, at| read_active(v, spi(at)), |v, at, x| set_active(v, spi(at), x)),
    register(0x0384, SPI_WORDS, WORD, |v, at| read_active(v, spi(at)), |v, at, x| clear_active(v, spi(at), x)),
    register(
        0x0420,
        SPIS,
        BYTE_OR_WORD,
        |v, at| read_priority(v, by(at, 32)),
        |v, at, x| write_priority(v, by(at, 32), x),
    ),
    register(0x0c08, SPIS / 4, WORD, |v, at| read_config(v, by(at, 8)), |v, at, x| write_config(v, by(at, 8), x)),
    register(0x6100, SPIS * 8, WORD_OR_DOUBLE, route, write_route),
    register(0xffd0, 0x30, WORD, |_, at| registers::identification(at, 3), ignore),
]);

/// A redistributor (12.11), its own frame.
static REDISTRIBUTOR: Table = Table::new(&[
    register(0x0000, 4, WORD, zero, ignore), // GICR_CTLR: no LPIs to enable, no write ever pending
    register(0x0004, 4, WORD, |_, _| IMPLEMENTER, ignore),
    register(0x0008, 8, WORD_OR_DOUBLE, redistributor_type, ignore),
    register(0x0010, 4, WORD, zero, ignore), // GICR_STATUSR
    register(0x0014, 4, WORD, waker, write_waker),
    register(0xffd0, 0x30, WORD, |_, at| registers::identification(at, 3), ignore),
]);

/// The same, the frame of the SGIs and PPIs.
static PRIVATE_INTERRUPTS: Table = Table::new(&[
    register(0x0080, 4, WORD, read_group, write_group),
    register(0x0100, 4, WORD, read_enabled, set_enabled),
    register(0x0180, 4, WORD, read_enabled, clear_enabled),
    register(0x0200, 4, WORD, read_pending, set_pending),
    register(0x0280, 4, WORD, read_pending, clear_pending),
    register(0x0300, 4, WORD, read_active, set_active),
    register(0x0380, 4, WORD, read_active, clear_active),
    register(0x0400, PRIVATE, BYTE_OR_WORD, read_priority, write_priority),
    register(0x0c00, 8, WORD, read_config, write_config),
]);

/// The same place counted from INTID 0, in an array whose first word is left to the redistributors.
const fn spi(at: At) -> At {
    by(at, 4)
}

/// The same place `bytes` further into an array.
const fn by(at: At, bytes: u32) -> At {
    At { offset: at.offset.wrapping_add(bytes), ..at }
}

/// `GICD_TYPER`: `ITLinesNumber`, 10 bits of INTID, no 1-of-N routing (`No1N`).
const DISTRIBUTOR_TYPE: u64 = (SPIS / 32) as u64 | 9 << 19 | 1 << 25;
/// `GICD_IIDR`, `GICR_IIDR`: ARM as the implementer, product "M".
const IMPLEMENTER: u64 = 0x4d << 24 | 0x43b;
/// `GICD_CTLR.ARE` and `.DS`: both read as one, ignore writes.
const ALWAYS: u64 = 1 << 4 | 1 << 6;

fn control(vgic: &Vgic, _: At) -> u64 {
    registers::read_groups_enabled(vgic) | ALWAYS
}

fn write_control(vgic: &mut Vgic, _: At, value: u64) -> VcpuMask {
    registers::write_groups_enabled(vgic, value)
}

/// `GICR_TYPER`: affinity in bits 63:32, processor number in 23:8, `Last` in 4.
fn redistributor_type(vgic: &Vgic, at: At) -> u64 {
    let last = u64::from(at.vcpu.wrapping_add(1) == vgic.vcpus);
    at.part(u64::from(at.vcpu) << 32 | u64::from(at.vcpu) << 8 | last << 4)
}

/// `GICR_WAKER`: `ProcessorSleep` in bit 1; `ChildrenAsleep` in bit 2 follows at once.
fn waker(vgic: &Vgic, at: At) -> u64 {
    vgic.cpu(at.vcpu).map_or(0, |cpu| if cpu.asleep { 0b110 } else { 0 })
}

fn write_waker(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    if let Some(cpu) = vgic.cpu_mut(at.vcpu) {
        cpu.asleep = value & 0b10 != 0;
    }
    0
}

/// `GICD_IROUTER<n>`: Aff3 in bits 39:32, Aff2 to Aff0 in 23:0. `Interrupt_Routing_Mode` does not exist (`No1N`).
fn route(vgic: &Vgic, at: At) -> u64 {
    let route = vgic.routes.get(at.offset as usize / 8).copied().map_or(0, u64::from);
    at.part((route & 0xff00_0000) << 8 | route & 0x00ff_ffff)
}

fn write_route(vgic: &mut Vgic, at: At, value: u64) -> VcpuMask {
    let spi = at.offset / 8;
    let Some(route) = vgic.routes.get_mut(spi as usize) else { return 0 };
    if at.offset.is_multiple_of(8) {
        *route = *route & 0xff00_0000 | value as u32 & 0x00ff_ffff;
    }
    match at.width {
        Width::Double => *route = *route & 0x00ff_ffff | (value >> 8) as u32 & 0xff00_0000,
        _ if at.offset % 8 == 4 => *route = *route & 0x00ff_ffff | (value as u32) << 24,
        _ => {}
    }
    let target = *route;
    vgic.move_spi(spi, |vcpu| u32::from(vcpu) == target)
}

/// The system registers whose writes send SGIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// `ICC_SGI1R_EL1`.
    Group1,
    /// `ICC_ASGI1R_EL1`: group 1 of the other security state; there is none, so it reaches group 0 alone.
    OtherGroup1,
    /// `ICC_SGI0R_EL1`.
    Group0,
}

/// Which of them a trapped system register access (EC 0x18) means, by its ISS; `None` for any other, and for reads,
/// which are undefined.
pub const fn sgi_register(iss: u32) -> Option<SgiRegister> {
    /// Op0, Op2, Op1, CRn, CRm and the direction; not Rt.
    const WHICH: u32 = 0x3f_fc1f;
    /// S3_0_C12_C11_n, a write: all but n, which is Op2.
    const SGI: u32 = 3 << 20 | 12 << 10 | 11 << 1;
    if iss & WHICH & !(7 << 17) != SGI {
        return None;
    }
    match iss >> 17 & 7 {
        5 => Some(SgiRegister::Group1),
        6 => Some(SgiRegister::OtherGroup1),
        7 => Some(SgiRegister::Group0),
        _ => None,
    }
}

/// The SGI that a write to one of them sends.
#[inline(always)]
pub const fn sgi_number(value: u64) -> u32 {
    (value >> 24 & 0xf) as u32
}

/// Emulate a write to one of them by vCPU `from`. Returns the vCPUs whose list registers are out of date.
pub fn send_sgi(vgic: &mut Vgic, from: u8, register: SgiRegister, value: u64) -> VcpuMask {
    /// Aff3 (55:48), range selector (47:44), Aff2 (39:32), Aff1 (23:16).
    const CLUSTER: u64 = 0x00ff_f0ff_00ff_0000;
    const ALL_BUT_SELF: u64 = 1 << 40;
    let intid = sgi_number(value);
    let mut targets = match value {
        _ if value & ALL_BUT_SELF != 0 => vgic.everyone() & !(1 << (from % 32)),
        _ if value & CLUSTER == 0 => value as u32 & vgic.everyone(),
        _ => 0,
    };
    let mut mask = 0;
    while targets != 0 {
        let vcpu = targets.trailing_zeros() as u8;
        targets &= targets - 1;
        let group1 = vgic.cpu(vcpu).is_some_and(|cpu| cpu.private.group >> intid & 1 != 0);
        if !group1 || register == SgiRegister::Group1 {
            mask |= vgic.pulse(vcpu, intid);
        }
    }
    mask
}
