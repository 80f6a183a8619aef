//! Physical interrupts of the devices that guests have.
//!
//! Each is an SPI that its guest sees under the same number. EL2 takes it and shows it to the guest in a list register that
//! is tied to it, so that the guest's completion reaches the hardware without an exit; until then it is active, and so
//! silent: a device that never stops costs no more than its guest's handler does. The guest's enabling and disabling reach the
//! hardware too.

use core::sync::atomic::{AtomicU8, Ordering};

use hyp_core::arch::VcpuMask;
use hyp_core::domain::{Domain, DomainId};
use hyp_dev::gic::{Acknowledged, Gic, Trigger};

use crate::arch::Arm;
use crate::domain::ArmDomain;
use crate::init::HYPERVISOR;
use crate::interrupts;
use crate::percpu;
use crate::vgic::{PhysicalChange, SPIS, Vgic};

/// By SPI, the number of the domain that has it, plus 1.
static OWNERS: [AtomicU8; SPIS as usize] = [const { AtomicU8::new(0) }; SPIS as usize];

/// Gives an SPI to a domain that does not run yet.
pub(crate) fn give(intid: u32, domain: usize, vgic: &mut Vgic) {
    if let Some(owner) = OWNERS.get((intid as usize).wrapping_sub(32)) {
        owner.store(domain as u8 + 1, Ordering::Relaxed);
        vgic.map_hardware(intid);
    }
}

fn owner(intid: u32) -> Option<&'static Domain<Arm>> {
    let owner = OWNERS.get((intid as usize).wrapping_sub(32))?.load(Ordering::Relaxed).checked_sub(1)?;
    HYPERVISOR.domain(DomainId::from_index(owner.into()))
}

/// Takes a device's interrupt to its guest, and returns whether it is one. The `loaded` vCPU looks at what it is shown by
/// itself.
#[inline(never)]
pub(crate) fn take(gic: &Gic, interrupt: Acknowledged, loaded: Option<(&ArmDomain, u8)>) -> bool {
    let intid = interrupt.intid();
    let Some(domain) = owner(intid) else { return false };
    gic.drop_priority(interrupt);
    let arm = domain.arch();
    let mut vgic = arm.vgic.lock();
    let stale = vgic.take_shared(intid);
    settle(&mut vgic);
    drop(vgic);
    arm.mark_stale(stale);
    follow(gic, intid, domain, stale);
    let here = match loaded {
        Some((loaded, index)) if core::ptr::eq(loaded, arm) => 1u32.wrapping_shl(index.into()),
        _ => 0,
    };
    HYPERVISOR.device_interrupts(domain.id(), stale & !here);
    true
}

/// Has the next one come to the CPU on which its vCPU is, if that is another.
fn follow(gic: &Gic, intid: u32, domain: &Domain<Arm>, vcpus: VcpuMask) {
    let target = domain.vcpu(vcpus.trailing_zeros()).and_then(|vcpu| HYPERVISOR.vcpu(vcpu));
    if let Some(home) = target.map(|vcpu| vcpu.home()).filter(|home| *home != percpu::number()) {
        // A CPU that runs guests has come up.
        let _ = gic.route(intid, percpu::of(home).affinity.load(Ordering::Relaxed));
    }
}

/// Tells the hardware what became of a guest's devices' interrupts.
#[inline(always)]
pub(crate) fn settle(vgic: &mut Vgic) {
    if vgic.has_devices() {
        settle_all(vgic);
    }
}

#[inline(never)]
fn settle_all(vgic: &mut Vgic) {
    let Some(gic) = interrupts::gic() else { return };
    let here = percpu::this().affinity.load(Ordering::Relaxed);
    while let Some((intid, change)) = vgic.next_physical() {
        // Each fails only for a number that no SPI has, or a CPU that has not come up.
        let _ = match change {
            PhysicalChange::Enable { edge } => gic
                .route(intid, here)
                .and_then(|()| gic.set_trigger(intid, if edge { Trigger::Edge } else { Trigger::Level }))
                .and_then(|()| gic.enable(intid, true)),
            PhysicalChange::Disable => gic.enable(intid, false),
            PhysicalChange::Deactivate => gic.deactivate_shared(intid),
        };
    }
}
