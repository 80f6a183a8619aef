//! Interrupts by GICv3 (Arm IHI 0069): distributor and redistributor through memory, CPU interface through registers.
//!
//! The handler keeps, per vCPU and interrupt, how often and when it came last. This is all that timers, tests and event
//! channels need, and it keeps locks out of handlers.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::cpu::write_register;
use crate::{Machine, cpu, events, memory, read_register, timer};

/// Interrupts that are private to a vCPU: SGIs 0 to 15, PPIs 16 to 31.
const PRIVATE: usize = 32;
/// Larger INTIDs from the CPU interface mean "none" (1020 to 1023).
const SPECIAL: u32 = 1020;

struct Record {
    count: AtomicU64,
    last: AtomicU64,
}

static RECORDS: [[Record; PRIVATE]; cpu::MAX] =
    [const { [const { Record { count: AtomicU64::new(0), last: AtomicU64::new(0) } }; PRIVATE] }; cpu::MAX];
static REDISTRIBUTORS: [AtomicUsize; cpu::MAX] = [const { AtomicUsize::new(0) }; cpu::MAX];

// Distributor registers.
const GICD_CTLR: usize = 0;
const GICD_TYPER: usize = 4;
const GICD_ISENABLER1: usize = 0x104;
const GICD_PIDR2: usize = 0xffe8;
/// Affinity routing and group 1: the layouts with one and with two security states agree in these bits.
const ARE_GROUP1: u32 = (1 << 4) | (1 << 1);
// Redistributor registers; the private interrupts' frame lies 64 KiB above.
const GICR_TYPER: usize = 8;
const GICR_WAKER: usize = 0x14;
const GICR_FRAME: usize = 0x2_0000;
const GICR_SGI: usize = 0x1_0000;
const IGROUPR0: usize = GICR_SGI + 0x80;
const ISENABLER0: usize = GICR_SGI + 0x100;
const ICENABLER0: usize = GICR_SGI + 0x180;
const IPRIORITYR: usize = GICR_SGI + 0x400;
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;
const LAST: u32 = 1 << 4;

/// Is there a GICv3 that this runtime drives?
pub fn present() -> bool {
    redistributor() != 0
}

fn redistributor() -> usize {
    REDISTRIBUTORS.get(cpu::index()).map_or(0, |base| base.load(Relaxed))
}

pub(crate) fn init_boot_cpu(machine: &Machine) {
    let Some(gic) = machine.gic else {
        crate::println!("the device tree has no interrupt controller compatible with arm,gic-v3: no interrupts");
        return;
    };
    memory::write_device(gic.distributor + GICD_CTLR, ARE_GROUP1);
    init_here(machine);
}

/// Bring up the redistributor and the CPU interface of the vCPU that runs this.
pub(crate) fn init_here(machine: &Machine) {
    let Some(gic) = machine.gic else { return };
    let affinity = affinity(read_register!("mpidr_el1"));
    let Some(base) = find_redistributor(gic.redistributors, gic.redistributor_bytes, affinity) else {
        crate::println!("no redistributor for affinity {affinity:#x} at {:#x}", gic.redistributors);
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
    memory::write_device(base + IGROUPR0, u32::MAX);
    for word in 0..PRIVATE / 4 {
        memory::write_device(base + IPRIORITYR + 4 * word, 0x8080_8080);
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

/// Enable an SGI or PPI (0 to 31) of this vCPU.
pub fn enable(intid: u32) {
    if present() && (intid as usize) < PRIVATE {
        memory::write_device(redistributor() + ISENABLER0, 1 << intid);
    }
}

/// Disable an SGI or PPI (0 to 31) of this vCPU.
pub fn disable(intid: u32) {
    if present() && (intid as usize) < PRIVATE {
        memory::write_device(redistributor() + ICENABLER0, 1 << intid);
    }
}

/// Which SGIs and PPIs of this vCPU are enabled: bit n is INTID n.
pub fn enabled() -> u32 {
    if present() { memory::read_device(redistributor() + ISENABLER0) } else { 0 }
}

/// Architecture revision of the distributor (GICD_PIDR2 bits 7:4): 3 for GICv3.
pub fn revision(machine: &Machine) -> Option<u32> {
    machine.gic.map(|gic| (memory::read_device(gic.distributor + GICD_PIDR2) >> 4) & 0xf)
}

/// GICD_TYPER.
pub fn distributor_type(machine: &Machine) -> Option<u32> {
    machine.gic.map(|gic| memory::read_device(gic.distributor + GICD_TYPER))
}

/// Addresses of registers that only read: GICD_TYPER, GICD_ISENABLER1, GICR_TYPER, GICR_ISENABLER0 of this vCPU.
pub fn readable(machine: &Machine) -> Option<[usize; 4]> {
    let (gic, own) = (machine.gic?, redistributor());
    Some([gic.distributor + GICD_TYPER, gic.distributor + GICD_ISENABLER1, own + GICR_TYPER, own + ISENABLER0])
}

/// What ICC_SGI1R_EL1 takes to send an SGI (0 to 15) to the vCPU with this MPIDR_EL1.
pub const fn sgi_value(intid: u32, mpidr: u64) -> u64 {
    let (aff3, aff2, aff1, aff0) = ((mpidr >> 32) & 0xff, (mpidr >> 16) & 0xff, (mpidr >> 8) & 0xff, mpidr & 0xf);
    aff3 << 48 | aff2 << 32 | aff1 << 16 | 1 << aff0 | ((intid & 15) as u64) << 24
}

/// GICR_TYPER of this vCPU.
pub fn redistributor_type() -> Option<u64> {
    let base = redistributor();
    let word = |offset| u64::from(memory::read_device(base + GICR_TYPER + offset));
    present().then(|| word(0) | word(4) << 32)
}

/// Send an SGI (0 to 15) to the vCPU with this MPIDR_EL1.
pub fn send_sgi(intid: u32, mpidr: u64) {
    cpu::synchronize();
    write_register!("icc_sgi1r_el1", sgi_value(intid, mpidr));
    cpu::synchronize();
}

/// How often this private interrupt has come to the vCPU that asks.
pub fn count(intid: u32) -> u64 {
    count_on(cpu::index(), intid)
}

/// The same for another vCPU.
pub fn count_on(vcpu: usize, intid: u32) -> u64 {
    record(vcpu, intid).map_or(0, |record| record.count.load(Relaxed))
}

/// Counter value at which the handler last began on this vCPU.
pub fn last(intid: u32) -> u64 {
    last_on(cpu::index(), intid)
}

/// The same for another vCPU.
pub fn last_on(vcpu: usize, intid: u32) -> u64 {
    record(vcpu, intid).map_or(0, |record| record.last.load(Relaxed))
}

fn record(vcpu: usize, intid: u32) -> Option<&'static Record> {
    RECORDS.get(vcpu)?.get(intid as usize)
}

/// Called by `entry.s` for every interrupt, with the counter as it was on entry.
#[unsafe(no_mangle)]
extern "C" fn rt_interrupt(counter: u64) {
    loop {
        let intid = read_register!("icc_iar1_el1") as u32 & 0xff_ffff;
        if intid >= SPECIAL {
            return;
        }
        if let Some(record) = record(cpu::index(), intid) {
            record.last.store(counter, Relaxed);
            record.count.fetch_add(1, Relaxed);
        }
        if intid == timer::intid() {
            timer::quiet();
        } else if intid == events::intid() {
            events::upcall(counter);
        }
        write_register!("icc_eoir1_el1", u64::from(intid));
    }
}
