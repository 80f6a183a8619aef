//! Interrupts, by a GICv3 or a GICv2, whichever the device tree names.
//!
//! The handler keeps, per vCPU and interrupt, how often and when it came last. This is all that timers, tests and event
//! channels need, and it keeps locks out of handlers.

mod v2;
mod v3;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::arch::{serial, upcall};
use crate::{Machine, console, cpu, events, memory, timer};

/// Interrupts that are private to a vCPU: SGIs 0 to 15, PPIs 16 to 31.
const PRIVATE: usize = 32;
/// Larger INTIDs from the CPU interface mean "none" (1020 to 1023).
const SPECIAL: u32 = 1020;

struct Record {
    count: AtomicU64,
    last: AtomicU64,
    sender: AtomicU32,
}

static RECORDS: [[Record; PRIVATE]; cpu::MAX] = [const {
    [const { Record { count: AtomicU64::new(0), last: AtomicU64::new(0), sender: AtomicU32::new(0) } }; PRIVATE]
}; cpu::MAX];

/// Shared interrupts that have come, a bit each, from INTID 32 on.
static SHARED: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

// Distributor registers that both versions have.
const GICD_CTLR: usize = 0;
const GICD_TYPER: usize = 4;
const GICD_ISENABLER1: usize = 0x104;
// The same in a GICv2's distributor and in the frame of a GICv3's private interrupts.
const IGROUPR: usize = 0x80;
const ISENABLER: usize = 0x100;
const ICENABLER: usize = 0x180;
const ISPENDR: usize = 0x200;
const ICPENDR: usize = 0x280;
const ISACTIVER: usize = 0x300;
const ICACTIVER: usize = 0x380;
const IPRIORITYR: usize = 0x400;
const ICFGR: usize = 0xc00;

/// An interrupt controller as the tree places it, guest-physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2.
    V2 {
        /// Distributor.
        distributor: usize,
        /// CPU interface.
        interface: usize,
    },
    /// GICv3.
    V3 {
        /// Distributor.
        distributor: usize,
        /// First redistributor.
        redistributors: usize,
        /// Bytes of the redistributors' region.
        redistributor_bytes: usize,
    },
}

impl Gic {
    /// Distributor.
    pub const fn distributor(self) -> usize {
        match self {
            Self::V2 { distributor, .. } | Self::V3 { distributor, .. } => distributor,
        }
    }

    /// Architecture version.
    pub const fn version(self) -> u32 {
        match self {
            Self::V2 { .. } => 2,
            Self::V3 { .. } => 3,
        }
    }

    /// Offset of PIDR2 in the distributor.
    const fn peripheral_id(self) -> usize {
        match self {
            Self::V2 { .. } => 0xfe8,
            Self::V3 { .. } => 0xffe8,
        }
    }
}

/// Is there an interrupt controller that this runtime drives?
pub fn present() -> bool {
    is_v2() || v3::redistributor() != 0
}

pub(crate) fn is_v2() -> bool {
    v2::interface() != 0
}

pub(crate) use v2::sgi_register as sgi_register_v2;

pub(crate) fn init_boot_cpu(machine: &Machine) {
    match machine.gic {
        None => crate::println!("the device tree has no GICv3 and no GICv2: no interrupts"),
        Some(Gic::V2 { distributor, interface }) => v2::init(distributor, interface),
        Some(Gic::V3 { distributor, .. }) => v3::init(distributor),
    }
    init_here(machine);
}

/// Bring up what belongs to the vCPU that runs this.
pub(crate) fn init_here(machine: &Machine) {
    match machine.gic {
        None => {}
        Some(Gic::V2 { .. }) => v2::init_here(),
        Some(Gic::V3 { redistributors, redistributor_bytes, .. }) => v3::init_here(redistributors, redistributor_bytes),
    }
}

/// Where the registers of this vCPU's private interrupts are.
fn private() -> usize {
    if is_v2() { v2::distributor() } else { v3::private() }
}

/// Enable an SGI or PPI (0 to 31) of this vCPU.
pub fn enable(intid: u32) {
    if present() && (intid as usize) < PRIVATE {
        memory::write_device(private() + ISENABLER, 1 << intid);
    }
}

/// Disable an SGI or PPI (0 to 31) of this vCPU.
pub fn disable(intid: u32) {
    if present() && (intid as usize) < PRIVATE {
        memory::write_device(private() + ICENABLER, 1 << intid);
    }
}

/// The distributor; 0 where there is none, or for an interrupt that is not shared.
fn distributor_of(intid: u32) -> usize {
    match intid as usize {
        ..PRIVATE => 0,
        _ if is_v2() => v2::distributor(),
        _ => v3::distributor(),
    }
}

/// Let a shared interrupt come, to the vCPU that runs this: once for each edge, or for as long as its line is up.
pub fn enable_shared(intid: u32, edge: bool) {
    let distributor = distributor_of(intid);
    if distributor == 0 {
        return;
    }
    let place = distributor + 4 * (intid as usize / 32);
    let (triggers, shift) = (distributor + ICFGR + 4 * (intid as usize / 16), 2 * (intid % 16));
    let others = memory::read_device(triggers) & !(3 << shift);
    memory::write_device(triggers, others | if edge { 2 << shift } else { 0 });
    if is_v2() {
        v2::route(intid)
    } else {
        v3::route(intid)
    }
    memory::write_device(place + ISENABLER, 1 << (intid % 32));
}

/// Has a shared interrupt (below 160) come since this was last asked?
pub fn take_shared(intid: u32) -> bool {
    let word = (intid as usize).checked_sub(PRIVATE).and_then(|at| SHARED.get(at / 32));
    word.is_some_and(|word| {
        word.load(Relaxed) != 0 && word.fetch_and(!(1 << (intid % 32)), Relaxed) >> (intid % 32) & 1 != 0
    })
}

/// Is there any for [`take_shared`]?
pub fn any_shared() -> bool {
    SHARED.iter().any(|word| word.load(Relaxed) != 0)
}

/// Hold a shared interrupt back.
pub fn disable_shared(intid: u32) {
    let distributor = distributor_of(intid);
    if distributor != 0 {
        memory::write_device(distributor + ICENABLER + 4 * (intid as usize / 32), 1 << (intid % 32));
    }
}

/// Which SGIs and PPIs of this vCPU are enabled: bit n is INTID n.
pub fn enabled() -> u32 {
    if present() { memory::read_device(private() + ISENABLER) } else { 0 }
}

/// Which SGIs and PPIs of this vCPU are pending: bit n is INTID n.
pub fn pending() -> u32 {
    if present() { memory::read_device(private() + ISPENDR) } else { 0 }
}

/// Make an SGI or PPI (0 to 31) of this vCPU active, which holds it back, or inactive, without having taken it.
pub fn set_active(intid: u32, active: bool) {
    if present() && (intid as usize) < PRIVATE {
        memory::write_device(private() + if active { ISACTIVER } else { ICACTIVER }, 1 << intid);
    }
}

/// Which SGIs and PPIs of this vCPU are active: bit n is INTID n.
pub fn active() -> u32 {
    if present() { memory::read_device(private() + ISACTIVER) } else { 0 }
}

/// Bring the shared part back to the state after start, whatever has been written to it. Interrupts must be masked.
pub fn recover(machine: &Machine) {
    let Some(gic) = machine.gic else { return };
    // ITLinesNumber: so many words of shared interrupts.
    let words = (memory::read_device(gic.distributor() + GICD_TYPER) & 0x1f) as usize;
    (1..=words).for_each(|word| quiet(gic.distributor(), word));
    match gic {
        Gic::V2 { distributor, interface } => v2::init(distributor, interface),
        Gic::V3 { distributor, .. } => v3::init(distributor),
    }
}

/// The same for what belongs to the vCPU that runs this; its timer's interrupt is enabled.
pub fn recover_here(machine: &Machine) {
    quiet(private(), 0);
    if is_v2() {
        v2::forget();
    }
    init_here(machine);
    timer::enable_here();
}

/// Disable 32 interrupts and forget all that happened to them.
fn quiet(base: usize, word: usize) {
    for register in [ICENABLER, ICPENDR, ICACTIVER] {
        memory::write_device(base + register + 4 * word, u32::MAX);
    }
    let group = if is_v2() { 0 } else { u32::MAX };
    memory::write_device(base + IGROUPR + 4 * word, group);
    for half in 2 * word..2 * word + 2 {
        memory::write_device(base + ICFGR + 4 * half, 0);
    }
}

/// Where a guest reaches the controller: address and bytes of the distributor, and of what is each vCPU's own.
pub fn regions(machine: &Machine) -> Option<[(usize, usize); 2]> {
    Some(match machine.gic? {
        Gic::V2 { distributor, interface } => [(distributor, 0x1000), (interface, 0x2000)],
        Gic::V3 { distributor, redistributors, redistributor_bytes } => {
            [(distributor, 0x1_0000), (redistributors, redistributor_bytes)]
        }
    })
}

/// Architecture revision of the distributor (GICD_PIDR2 bits 7:4): 2 or 3.
pub fn revision(machine: &Machine) -> Option<u32> {
    machine.gic.map(|gic| (memory::read_device(gic.distributor() + gic.peripheral_id()) >> 4) & 0xf)
}

/// GICD_TYPER.
pub fn distributor_type(machine: &Machine) -> Option<u32> {
    machine.gic.map(|gic| memory::read_device(gic.distributor() + GICD_TYPER))
}

/// Names and addresses of registers that only read: of the distributor, and of a GICv3's redistributor.
pub fn readable(machine: &Machine) -> impl Iterator<Item = (&'static str, usize)> {
    let distributor = machine.gic.map(Gic::distributor).into_iter();
    let own = (present() && !is_v2()).then(v3::readable).into_iter();
    let own = own.flat_map(|registers| ["gicr_typer", "gicr_isenabler0"].into_iter().zip(registers));
    let common = [("gicd_typer", GICD_TYPER), ("gicd_isenabler1", GICD_ISENABLER1)];
    distributor.flat_map(move |base| common.map(|(name, offset)| (name, base + offset))).chain(own)
}

/// What ICC_SGI1R_EL1 or GICD_SGIR takes to send an SGI (0 to 15) to the vCPU with this MPIDR_EL1.
pub fn sgi_value(intid: u32, mpidr: u64) -> u64 {
    if is_v2() { v2::sgi_value(intid, mpidr) } else { v3::sgi_value(intid, mpidr) }
}

/// A GICv3's GICR_TYPER of this vCPU.
pub fn redistributor_type() -> Option<u64> {
    (present() && !is_v2()).then(v3::redistributor_type)
}

/// Send an SGI (0 to 15) to the vCPU with this MPIDR_EL1.
pub fn send_sgi(intid: u32, mpidr: u64) {
    cpu::synchronize();
    let value = sgi_value(intid, mpidr);
    if is_v2() { v2::send_sgi(value) } else { v3::send_sgi(value) }
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

/// GICv2: the number of the CPU interface that sent this SGI to the vCPU that asks, the last time it came.
pub fn sender(intid: u32) -> u32 {
    record(cpu::index(), intid).map_or(0, |record| record.sender.load(Relaxed))
}

fn record(vcpu: usize, intid: u32) -> Option<&'static Record> {
    RECORDS.get(vcpu)?.get(intid as usize)
}

/// Acknowledges and ends one interrupt that is pending, without a handler. Interrupts must be masked.
pub(crate) fn drop_pending() {
    handle_pending(|_| ());
}

/// Acknowledges the interrupt that is pending, if there is one, has `handle` deal with it, and ends it. Interrupts must be
/// masked.
pub fn handle_pending(handle: impl FnOnce(u32)) {
    let acknowledged = if is_v2() { v2::acknowledge() } else { v3::acknowledge() };
    if acknowledged & 0x3ff < SPECIAL {
        handle(acknowledged & 0x3ff);
        if is_v2() { v2::end(acknowledged) } else { v3::end(acknowledged) }
    }
}

/// Called by `entry.s` for every interrupt, with the counter as it was on entry.
#[unsafe(no_mangle)]
extern "C" fn rt_interrupt(counter: u64) {
    let version2 = is_v2();
    loop {
        let acknowledged = if version2 { v2::acknowledge() } else { v3::acknowledge() };
        let intid = if version2 { acknowledged & 0x3ff } else { acknowledged };
        if intid >= SPECIAL {
            return;
        }
        if let Some(record) = record(cpu::index(), intid) {
            record.last.store(counter, Relaxed);
            record.count.fetch_add(1, Relaxed);
            record.sender.store(acknowledged >> 10, Relaxed);
        }
        if let Some(word) = (intid as usize).checked_sub(PRIVATE).and_then(|at| SHARED.get(at / 32)) {
            word.fetch_or(1 << (intid % 32), Relaxed);
        }
        if intid == serial::intid() {
            console::quiet();
        } else if intid == timer::intid() {
            timer::quiet();
        } else if intid == timer::PHYSICAL {
            timer::quiet_physical();
        } else if intid == upcall::intid() {
            events::upcall(counter);
        }
        if version2 { v2::end(acknowledged) } else { v3::end(acknowledged) }
    }
}
