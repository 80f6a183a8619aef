//! GICv2 (Arm IHI 0048): distributor and CPU interface, both in memory and both banked by vCPU.
//!
//! A vCPU is named by the number of its CPU interface, which it can ask for itself alone; each enters its own in a table
//! when it comes up.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use crate::{cpu, memory, read_register};

use super::{GICD_CTLR, IPRIORITYR, PRIVATE};

const ENABLE: u32 = 1;
const GICD_ITARGETSR0: usize = 0x800;
const GICD_SGIR: usize = 0xf00;
const GICC_CTLR: usize = 0;
const GICC_PMR: usize = 4;
const GICC_BPR: usize = 8;
const GICC_IAR: usize = 0xc;
const GICC_EOIR: usize = 0x10;
const GICC_APR0: usize = 0xd0;
const GICC_NSAPR0: usize = 0xe0;
const GICD_CPENDSGIR: usize = 0xf10;

static DISTRIBUTOR: AtomicUsize = AtomicUsize::new(0);
static INTERFACE: AtomicUsize = AtomicUsize::new(0);
/// By number of the CPU interface: the affinity of its vCPU, plus 1.
static NUMBERS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// The CPU interface; 0 before [`init`].
pub(super) fn interface() -> usize {
    INTERFACE.load(Relaxed)
}

pub(super) fn distributor() -> usize {
    DISTRIBUTOR.load(Relaxed)
}

pub(super) fn init(distributor: usize, interface: usize) {
    DISTRIBUTOR.store(distributor, Relaxed);
    INTERFACE.store(interface, Relaxed);
    memory::write_device(distributor + GICD_CTLR, ENABLE);
}

/// Bring up the CPU interface of the vCPU that runs this.
pub(super) fn init_here() {
    // With one vCPU only, all targets read as zero.
    let targets = memory::read_device(distributor() + GICD_ITARGETSR0) & 0xff;
    if let Some(number) = NUMBERS.get(targets.max(1).trailing_zeros() as usize) {
        number.store(affinity(read_register!("mpidr_el1")) + 1, SeqCst);
    }
    for word in 0..PRIVATE / 4 {
        memory::write_device(distributor() + IPRIORITYR + 4 * word, 0x8080_8080);
    }
    memory::write_device(interface() + GICC_PMR, 0xf0);
    memory::write_device(interface() + GICC_BPR, 0);
    memory::write_device(interface() + GICC_CTLR, ENABLE);
}

/// Have a shared interrupt come to the vCPU that runs this. A byte is a plain one to write, with a syndrome as any other.
pub(super) fn route(intid: u32) {
    let word = distributor() + GICD_ITARGETSR0 + 4 * (intid as usize / 4);
    let shift = 8 * (intid % 4);
    let targets = memory::read_device(distributor() + GICD_ITARGETSR0) & 0xff;
    let others = memory::read_device(word) & !(0xff << shift);
    memory::write_device(word, others | targets.max(1) << shift);
    let word = distributor() + IPRIORITYR + 4 * (intid as usize / 4);
    let others = memory::read_device(word) & !(0xff << shift);
    memory::write_device(word, others | 0x80 << shift);
}

/// Forget SGIs that are pending at this vCPU, and what its interface takes for running.
pub(super) fn forget() {
    for word in 0..4 {
        memory::write_device(distributor() + GICD_CPENDSGIR + 4 * word, u32::MAX);
    }
    memory::write_device(interface() + GICC_APR0, 0);
    memory::write_device(interface() + GICC_NSAPR0, 0);
}

const fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_00ff_ffff
}

/// Address of GICD_SGIR.
pub(crate) fn sgi_register() -> usize {
    distributor() + GICD_SGIR
}

/// What GICD_SGIR takes; nobody gets it if the vCPU has not come up.
pub(super) fn sgi_value(intid: u32, mpidr: u64) -> u64 {
    let wanted = affinity(mpidr) + 1;
    let number = NUMBERS.iter().position(|number| number.load(SeqCst) == wanted);
    number.map_or(0, |number| 1 << (16 + number)) | u64::from(intid & 15)
}

pub(super) fn send_sgi(value: u64) {
    memory::write_device(sgi_register(), value as u32);
}

/// GICC_IAR: INTID and, for an SGI, the number of the sender's interface above.
pub(super) fn acknowledge() -> u32 {
    memory::read_device(interface() + GICC_IAR)
}

/// GICC_EOIR.
pub(super) fn end(acknowledged: u32) {
    memory::write_device(interface() + GICC_EOIR, acknowledged);
    cpu::synchronize();
}
