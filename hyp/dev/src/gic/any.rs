//! One type for both versions.

use super::{Acknowledged, GicError, Trigger};
use crate::gicv2::GicV2;
use crate::gicv3::GicV3;
use crate::private_interrupts::PrivateInterrupts;
use crate::sysreg;

/// The interrupt controller of this machine.
pub enum Gic {
    /// GICv3 or later, with system registers.
    V3(GicV3),
    /// GICv2, registers in memory.
    V2(GicV2),
}

impl Gic {
    /// Bring the distributor to a known state: everything disabled, non-secure group 1, level, middle priority. Once,
    /// on the boot CPU, before [`Gic::init_cpu`] on any CPU.
    pub fn init(&self) {
        match self {
            Self::V3(gic) => gic.init(),
            Self::V2(gic) => gic.init(),
        }
    }

    /// Bring this CPU's part to a known state: all private interrupts disabled, all priorities let through, group 1 on.
    pub fn init_cpu(&self) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.init_cpu(),
            Self::V2(gic) => gic.init_cpu(sysreg::read_mpidr_el1()),
        }
    }

    /// Take the highest pending interrupt, which becomes active. `None`: there is none (any more).
    #[inline]
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        match self {
            Self::V3(gic) => gic.acknowledge(),
            Self::V2(gic) => gic.acknowledge(),
        }
    }

    /// First step of the end: lower the running priority. Every acknowledged interrupt needs it, on the same CPU.
    #[inline]
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        match self {
            Self::V3(gic) => gic.drop_priority(interrupt),
            Self::V2(gic) => gic.drop_priority(interrupt),
        }
    }

    /// Second step: the interrupt may become pending again. Left out for an interrupt that a guest will deactivate.
    #[inline]
    pub fn deactivate(&self, interrupt: Acknowledged) {
        match self {
            Self::V3(gic) => gic.deactivate(interrupt),
            Self::V2(gic) => gic.deactivate(interrupt),
        }
    }

    /// The second step for a shared interrupt (32 and up), on whichever CPU it was acknowledged.
    pub fn deactivate_shared(&self, intid: u32) -> Result<(), GicError> {
        if intid < 32 {
            return Err(GicError::BadInterrupt(intid));
        }
        self.deactivate(Acknowledged(intid));
        Ok(())
    }

    /// Both steps.
    #[inline]
    pub fn end(&self, interrupt: Acknowledged) {
        self.drop_priority(interrupt);
        self.deactivate(interrupt);
    }

    /// Send SGI `sgi` (0 to 15) to the CPU with this MPIDR_EL1. What this CPU has written to memory before is visible
    /// to the other one when it takes the interrupt.
    #[inline]
    pub fn send_sgi(&self, mpidr: u64, sgi: u32) -> Result<(), GicError> {
        sysreg::dsb_sy();
        match self {
            Self::V3(gic) => gic.send_sgi(mpidr, sgi),
            Self::V2(gic) => gic.send_sgi(mpidr, sgi),
        }
    }

    /// Enable or disable an interrupt; a private one (below 32) on the calling CPU only. A shared one goes where
    /// [`Gic::route`] says, which must come first: without it the target is unknown.
    pub fn enable(&self, intid: u32, enable: bool) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.enable(intid, enable),
            Self::V2(gic) => gic.enable(intid, enable),
        }
    }

    /// Set the priority, 0 the highest; a private interrupt's on the calling CPU only.
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.set_priority(intid, priority),
            Self::V2(gic) => gic.set_priority(intid, priority),
        }
    }

    /// Set how the line signals. The interrupt must be disabled.
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.set_trigger(intid, trigger),
            Self::V2(gic) => gic.set_trigger(intid, trigger),
        }
    }

    /// Deliver a shared interrupt (32 and up) to the CPU with this MPIDR_EL1.
    pub fn route(&self, intid: u32, mpidr: u64) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.route(intid, mpidr),
            Self::V2(gic) => gic.route(intid, mpidr),
        }
    }

    /// The calling CPU's private interrupts, for quick changes of their active state. To be asked for once and kept.
    pub fn private_interrupts(&self) -> Result<PrivateInterrupts, GicError> {
        match self {
            Self::V3(gic) => gic.private_interrupts(),
            Self::V2(gic) => Ok(gic.private_interrupts()),
        }
    }
}
