//! GICv3 (Arm IHI 0069): distributor and redistributor through memory, CPU interface through registers.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::cpu::write_register;
use crate::{cpu, memory, read_register};

use super::{GICD_CTLR, IGROUPR, IPRIORITYR, ISENABLER, PRIVATE};

static DISTRIBUTOR: AtomicUsize = AtomicUsize::new(0);
static REDISTRIBUTORS: [AtomicUsize; cpu::MAX] = [const { AtomicUsize::new(0) }; cpu::MAX];

/// Affinity routing and group 1: the layouts with one and with two security states agree in these bits.
const ARE_GROUP1: u32 = (1 << 4) | (1 << 1);
// Redistributor registers; the private interrupts' frame lies 64 KiB above.
const GICD_IROUTER: usize = 0x6000;
const GICR_TYPER: usize = 8;
const GICR_WAKER: usize = 0x14;
const GICR_FRAME: usize = 0x2_0000;
const GICR_SGI: usize = 0x1_0000;
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;
const LAST: u32 = 1 << 4;

/// This vCPU's redistributor; 0 before [`init_here`].
pub(super) fn redistributor() -> usize {
    REDISTRIBUTORS.get(cpu::index()).map_or(0, |base| base.load(Relaxed))
}

/// The frame of this vCPU's private interrupts.
pub(super) fn private() -> usize {
    redistributor() + GICR_SGI
}

/// The distributor; 0 before [`init`].
pub(super) fn distributor() -> usize {
    DISTRIBUTOR.load(Relaxed)
}

/// Have a shared interrupt come to the vCPU that runs this, in group 1.
pub(super) fn route(intid: u32) {
    let (word, bit) = (distributor() + 4 * (intid as usize / 32), 1 << (intid % 32));
    memory::write_device(word + IGROUPR, memory::read_device(word + IGROUPR) | bit);
    let priorities = distributor() + IPRIORITYR + 4 * (intid as usize / 4);
    let shift = 8 * (intid % 4);
    memory::write_device(priorities, memory::read_device(priorities) & !(0xff << shift) | 0x80 << shift);
    let affinity = affinity(read_register!("mpidr_el1"));
    let router = distributor() + GICD_IROUTER + 8 * intid as usize;
    memory::write_device(router, affinity & 0x00ff_ffff);
    memory::write_device(router + 4, affinity >> 24);
}

pub(super) fn init(distributor: usize) {
    DISTRIBUTOR.store(distributor, Relaxed);
    memory::write_device(distributor + GICD_CTLR, ARE_GROUP1);
}

/// Bring up the redistributor and the CPU interface of the vCPU that runs this.
pub(super) fn init_here(redistributors: usize, bytes: usize) {
    let affinity = affinity(read_register!("mpidr_el1"));
    let Some(base) = find_redistributor(redistributors, bytes, affinity) else {
        crate::println!("no redistributor for affinity {affinity:#x} at {redistributors:#x}");
        return;
    };
    if let Some(slot) = REDISTRIBUTORS.get(cpu::index()) {
        slot.store(base, Relaxed);
    }
    let waker = memory::read_device(base + GICR_WAKER);
    memory::write_device(base + GICR_WAKER, waker & !PROCESSOR_SLEEP);
    while memory::read_device(base + GICR_WAKER) & CHILDREN_ASLEEP != 0 {
        cpu::relax();
    }
    memory::write_device(private() + IGROUPR, u32::MAX);
    for word in 0..PRIVATE / 4 {
        memory::write_device(private() + IPRIORITYR + 4 * word, 0x8080_8080);
    }
    write_register!("icc_sre_el1", 7);
    cpu::synchronize();
    write_register!("icc_pmr_el1", 0xf0);
    write_register!("icc_bpr1_el1", 0);
    write_register!("icc_ctlr_el1", 0);
    write_register!("icc_igrpen1_el1", 1);
    cpu::synchronize();
}

/// Aff3.Aff2.Aff1.Aff0 of MPIDR_EL1, packed as GICR_TYPER has them.
fn affinity(mpidr: u64) -> u32 {
    ((mpidr >> 8) & 0xff00_0000) as u32 | (mpidr & 0x00ff_ffff) as u32
}

fn find_redistributor(base: usize, bytes: usize, affinity: u32) -> Option<usize> {
    for frame in (base..base + bytes).step_by(GICR_FRAME) {
        if memory::read_device(frame + GICR_TYPER + 4) == affinity {
            return Some(frame);
        }
        if memory::read_device(frame + GICR_TYPER) & LAST != 0 {
            break;
        }
    }
    None
}

/// Addresses of registers that only read: GICR_TYPER, GICR_ISENABLER0 of this vCPU.
pub(super) fn readable() -> [usize; 2] {
    [redistributor() + GICR_TYPER, private() + ISENABLER]
}

/// GICR_TYPER of this vCPU.
pub(super) fn redistributor_type() -> u64 {
    let word = |offset| u64::from(memory::read_device(redistributor() + GICR_TYPER + offset));
    word(0) | word(4) << 32
}

/// What ICC_SGI1R_EL1 takes.
pub(super) const fn sgi_value(intid: u32, mpidr: u64) -> u64 {
    let (aff3, aff2, aff1, aff0) = ((mpidr >> 32) & 0xff, (mpidr >> 16) & 0xff, (mpidr >> 8) & 0xff, mpidr & 0xf);
    aff3 << 48 | aff2 << 32 | aff1 << 16 | 1 << aff0 | ((intid & 15) as u64) << 24
}

pub(super) fn send_sgi(value: u64) {
    write_register!("icc_sgi1r_el1", value);
    cpu::synchronize();
}

/// ICC_IAR1_EL1.
pub(super) fn acknowledge() -> u32 {
    read_register!("icc_iar1_el1") as u32 & 0xff_ffff
}

/// ICC_EOIR1_EL1.
pub(super) fn end(acknowledged: u32) {
    write_register!("icc_eoir1_el1", u64::from(acknowledged));
}
