//! The active state of this CPU's private interrupts, which follows the vCPU that is loaded.
//!
//! A guest's timer interrupt stays active in the physical interrupt controller until the guest ends it. When another
//! vCPU takes the CPU in between, the state must go and come back with its owner: one store to a known address, on the
//! way of every switch, so this does not go through the lock that guards set-up.

use core::ptr;

use crate::affinity::Affinity;
use crate::sysreg;

/// GICR_TYPER (IHI 0069, 12.11.35): Last frame, has a VLPI frame pair, affinity in the upper half.
const TYPER: usize = 0x8;
const TYPER_LAST: u64 = 1 << 4;
const TYPER_VLPIS: u64 = 1 << 1;
/// The SGI frame lies behind the control frame.
const SGI_FRAME: usize = 0x1_0000;
/// Where a GICv3's SGI frame and a GICv2's distributor (IHI 0048, table 4-1; banked by CPU) alike have these registers.
const ISACTIVER0: usize = 0x300;
const ICACTIVER0: usize = 0x380;

/// The calling CPU's private interrupts.
#[derive(Clone, Copy)]
pub struct PrivateInterrupts {
    /// Virtual address of the SGI frame, or of a GICv2's distributor.
    registers: usize,
}

impl PrivateInterrupts {
    /// Finds the redistributor of the calling CPU. `None`: no frame carries its affinity.
    ///
    /// # Safety
    ///
    /// The region of redistributors must be mapped as device memory at `redistributors`, up to the frame with
    /// GICR_TYPER.Last, for good.
    pub unsafe fn of_this_cpu(redistributors: usize) -> Option<Self> {
        let wanted = Affinity::from_mpidr(sysreg::read_mpidr_el1());
        let mut redistributor = redistributors;
        loop {
            // SAFETY: the caller promises that every frame up to the last is mapped.
            let typer = unsafe { ptr::read_volatile(redistributor.wrapping_add(TYPER) as *const u64) };
            if (typer >> 32) as u32 == wanted.bits() {
                return Some(Self { registers: redistributor.wrapping_add(SGI_FRAME) });
            }
            if typer & TYPER_LAST != 0 {
                return None;
            }
            let frames = if typer & TYPER_VLPIS != 0 { 4 } else { 2 };
            redistributor = redistributor.wrapping_add(frames * SGI_FRAME);
        }
    }

    /// The calling CPU's, on a GICv2.
    ///
    /// # Safety
    ///
    /// `distributor` must be the virtual address of a GICv2's distributor, mapped as device memory for good.
    pub const unsafe fn of_distributor(distributor: usize) -> Self {
        Self { registers: distributor }
    }

    /// Makes the interrupts in `intids` (bit n is INTID n) active or inactive.
    pub fn set_active(&self, intids: u32, active: bool) {
        let register = self.registers.wrapping_add(if active { ISACTIVER0 } else { ICACTIVER0 });
        // SAFETY: a register of the frame that the makers of this value were promised; writing it has no effect on
        // memory.
        unsafe { ptr::write_volatile(register as *mut u32, intids) };
        // The interrupt controller must have it before a line goes up or a guest runs.
        sysreg::dsb_sy();
    }
}
