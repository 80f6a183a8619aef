//! The machine's interrupt controller at boot, whichever version it is, and what of it the guests get.
//!
//! Guests see the version that the machine has, because the hardware's virtual CPU interface is that of one version: a
//! GICv2's is memory (GICV), which stands in every guest's address space where it expects a CPU interface.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp_boot::guest_tree::{GUEST_GICC, VirtualGic};
use hyp_boot::plan::Extent;
use hyp_boot::{Region, machine};
use hyp_core::memory::radix::Error;
use hyp_dev::gic::Gic;
use hyp_dev::gich;
use hyp_dev::gicv2::GicV2;
use hyp_dev::gicv3::GicV3;

use crate::layout::PAGE_SIZE;
use crate::mmu::{self, OutOfTables};
use crate::stage2::Stage2;
use crate::vgic::{Vgic, v2};

/// Physical address of a GICv2's GICV; 0 where there is none.
static GUEST_INTERFACE: AtomicU64 = AtomicU64::new(0);

/// Why the machine's interrupt controller cannot be driven.
#[derive(Debug)]
pub(crate) enum BadController {
    /// Its registers cannot be mapped.
    Tables(OutOfTables),
    /// They do not lie on page boundaries.
    Unaligned,
}

impl core::fmt::Display for BadController {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tables(why) => why.fmt(f),
            Self::Unaligned => {
                f.write_str("the interrupt controller's registers are not aligned to 64 KiB (GICv3) or 4 KiB")
            }
        }
    }
}

/// Maps the interrupt controller; returns its driver and the INTID of its maintenance interrupt.
pub(crate) fn find(machine: &machine::Gic) -> Result<(Gic, u32), BadController> {
    match machine {
        machine::Gic::V3(gic) => {
            let (distributor, redistributors) = (map(gic.distributor)?, gic.redistributors.first());
            let redistributors = redistributors.copied().map_or(Ok(0), map)?;
            // SAFETY: both have just been mapped, for good, and nothing else drives them.
            let driver = unsafe { GicV3::new(distributor, redistributors) };
            Ok((Gic::V3(driver.ok_or(BadController::Unaligned)?), gic.maintenance))
        }
        machine::Gic::V2(gic) => Ok((Gic::V2(find_v2(gic)?), gic.maintenance)),
    }
}

fn find_v2(gic: &machine::GicV2) -> Result<GicV2, BadController> {
    let (distributor, interface) = (map(gic.distributor)?, map(two_pages(gic.cpu))?);
    // SAFETY: both have just been mapped, for good, and nothing else drives them.
    let driver = unsafe { GicV2::new(distributor, interface) }.ok_or(BadController::Unaligned)?;
    let hypervisor = map(gic.hypervisor)?;
    let guest = two_pages(gic.virtual_cpu).start;
    // SAFETY: as above; `virtual_interface` alone uses these.
    if !guest.is_multiple_of(PAGE_SIZE) || !unsafe { gich::install(hypervisor) } {
        return Err(BadController::Unaligned);
    }
    GUEST_INTERFACE.store(guest, Ordering::Relaxed);
    Ok(driver)
}

fn map(region: Region) -> Result<usize, BadController> {
    mmu::map_device(region).map(|address| address as usize).map_err(BadController::Tables)
}

/// The two pages of a CPU interface. A GIC-400 that is wired for pages of 64 KiB shows each of its pages 16 times, and a
/// tree tells so by a size of 128 KiB (Linux's binding `arm,gic`): the last copy of the first page and the first of
/// the second are neighbours.
const fn two_pages(interface: Region) -> Region {
    const SPREAD: u64 = 0x2_0000;
    let start = if interface.size >= SPREAD { interface.start + 0xf000 } else { interface.start };
    Region::new(start, GUEST_GICC.size)
}

/// The version that guests see.
pub(crate) fn guest_version() -> VirtualGic {
    if gich::get().is_some() { VirtualGic::V2 } else { VirtualGic::V3 }
}

/// A virtual interrupt controller of this version.
pub(crate) fn guest_controller(vcpus: u8) -> Vgic {
    match guest_version() {
        VirtualGic::V2 => v2::new(vcpus),
        VirtualGic::V3 => Vgic::new(vcpus),
    }
}

/// Puts what guests reach without a trap into a guest's address space.
pub(crate) fn map_for_guest(stage2: &mut Stage2) -> Result<(), Error> {
    match GUEST_INTERFACE.load(Ordering::Relaxed) {
        0 => Ok(()),
        interface => stage2.map_device(&Extent { guest: GUEST_GICC.start, host: interface, size: GUEST_GICC.size }),
    }
}
