//! The physical interrupt controller, whichever version the board has.
//!
//! Callers hold one `Gic` and never ask for its version: an enum rather than a trait object, so that acknowledging an
//! interrupt is a branch and not an indirect call. The hypervisor uses the two-step end of interrupts on both versions:
//! `drop_priority` lets further interrupts in, `deactivate` lets this one come again. An interrupt that
//! belongs to a guest is dropped by EL2 and deactivated by the guest through a list register with the hardware bit.

#[cfg(target_arch = "aarch64")]
mod any;
#[cfg(target_arch = "aarch64")]
pub use any::Gic;

/// Why the interrupt controller cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicError {
    /// No redistributor frame carries this CPU's affinity (Aff3.Aff2.Aff1.Aff0, packed).
    NoRedistributor(u32),
    /// The redistributor frames are of no known layout: wrong address in the device tree, or a newer GIC.
    UnknownLayout,
    /// ICC_SRE_EL2.SRE stays 0: firmware has not given EL2 the system-register interface.
    NoSystemRegisters,
    /// No CPU that has called `Gic::init_cpu` has this MPIDR_EL1.
    NoSuchCpu(u64),
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
            Self::NoSuchCpu(mpidr) => write!(f, "interrupt controller: no CPU with MPIDR {mpidr:#x} has come up"),
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
