//! The physical interrupt controller, whichever version the board has.
//!
//! Callers hold one [`Gic`] and never ask for its version: an enum rather than a trait object, so that acknowledging an
//! interrupt is a branch and not an indirect call. The hypervisor uses the two-step end of interrupts on both versions:
//! [`Gic::drop_priority`] lets further interrupts in, [`Gic::deactivate`] lets this one come again. An interrupt that
//! belongs to a guest is dropped by EL2 and deactivated by the guest through a list register with the hardware bit.

use crate::gicv3::GicV3;

/// Why the interrupt controller cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicError {
    /// No redistributor frame carries this CPU's affinity (Aff3.Aff2.Aff1.Aff0, packed).
    NoRedistributor(u32),
    /// The redistributor frames are of no known layout: wrong address in the device tree, or a newer GIC.
    UnknownLayout,
    /// ICC_SRE_EL2.SRE stays 0: firmware has not given EL2 the system-register interface.
    NoSystemRegisters,
    /// The number is no interrupt of the kind that the call is for.
    BadInterrupt(u32),
}

impl core::fmt::Display for GicError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRedistributor(affinity) => {
                write!(f, "interrupt controller: no redistributor for CPU affinity {affinity:#x}")
            }
            Self::UnknownLayout => f.write_str("interrupt controller: redistributors of unknown layout"),
            Self::NoSystemRegisters => {
                f.write_str("interrupt controller: firmware keeps the system registers from EL2 (ICC_SRE_EL3.Enable)")
            }
            Self::BadInterrupt(intid) => write!(f, "interrupt controller: {intid} is no interrupt of that kind"),
        }
    }
}

/// An interrupt that was acknowledged and must be ended. Carries what the version needs for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged(pub(crate) u32);

impl Acknowledged {
    /// Number of the interrupt: 0 to 15 SGI, 16 to 31 PPI, from 32 SPI.
    pub const fn intid(self) -> u32 {
        // On a GICv2 bits 12:10 name the CPU that sent an SGI; a GICv3 that has INTIDs above 1019 has LPIs or
        // extended ranges, which EL2 does not enable.
        self.0 & 0x3ff
    }
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Pending while the line is high.
    Level,
    /// Pending from a rising edge on.
    Edge,
}

/// The interrupt controller of this machine.
pub enum Gic {
    /// GICv3 or later, with system registers.
    V3(GicV3),
}

impl Gic {
    /// Bring the distributor to a known state: everything disabled, non-secure group 1, level, middle priority. Once,
    /// on the boot CPU, before [`Gic::init_cpu`] on any CPU.
    pub fn init(&self) {
        match self {
            Self::V3(gic) => gic.init(),
        }
    }

    /// Bring this CPU's part to a known state: all private interrupts disabled, all priorities let through, group 1 on.
    pub fn init_cpu(&self) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.init_cpu(),
        }
    }

    /// Take the highest pending interrupt, which becomes active. `None`: there is none (any more).
    #[inline]
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        match self {
            Self::V3(gic) => gic.acknowledge(),
        }
    }

    /// First step of the end: lower the running priority. Every acknowledged interrupt needs it, on the same CPU.
    #[inline]
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        match self {
            Self::V3(gic) => gic.drop_priority(interrupt),
        }
    }

    /// Second step: the interrupt may become pending again. Left out for an interrupt that a guest will deactivate.
    #[inline]
    pub fn deactivate(&self, interrupt: Acknowledged) {
        match self {
            Self::V3(gic) => gic.deactivate(interrupt),
        }
    }

    /// Both steps.
    #[inline]
    pub fn end(&self, interrupt: Acknowledged) {
        self.drop_priority(interrupt);
        self.deactivate(interrupt);
    }

    /// Send SGI `sgi` (0 to 15) to the CPU with this MPIDR_EL1. What this CPU has written to memory before is visible to
    /// the other one when it takes the interrupt.
    #[inline]
    pub fn send_sgi(&self, mpidr: u64, sgi: u32) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.send_sgi(mpidr, sgi),
        }
    }

    /// Enable or disable an interrupt; a private one (below 32) on the calling CPU only.
    pub fn enable(&self, intid: u32, enable: bool) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.enable(intid, enable),
        }
    }

    /// Set the priority, 0 the highest; a private interrupt's on the calling CPU only.
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.set_priority(intid, priority),
        }
    }

    /// Set how the line signals. The interrupt must be disabled.
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.set_trigger(intid, trigger),
        }
    }

    /// Deliver a shared interrupt (32 and up) to the CPU with this MPIDR_EL1.
    pub fn route(&self, intid: u32, mpidr: u64) -> Result<(), GicError> {
        match self {
            Self::V3(gic) => gic.route(intid, mpidr),
        }
    }
}
