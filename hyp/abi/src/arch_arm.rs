//! Where an ARM guest finds things.
//!
//! Peers' guests and recipes have these addresses built in, so they are as much ABI as the hypercalls. Source:
//! `public/arch-arm.h`. Addresses are guest-physical, sizes in bytes; interrupts are INTIDs although the header calls
//! some of them PPI and SPI.

/// Distributor of a GICv2.
pub const GUEST_GICD_BASE: u64 = 0x0300_1000;
/// Its size.
pub const GUEST_GICD_SIZE: u64 = 0x1000;
/// CPU interface of a GICv2.
pub const GUEST_GICC_BASE: u64 = 0x0300_2000;
/// Its size.
pub const GUEST_GICC_SIZE: u64 = 0x2000;
/// Distributor of a GICv3.
pub const GUEST_GICV3_GICD_BASE: u64 = 0x0300_1000;
/// Its size.
pub const GUEST_GICV3_GICD_SIZE: u64 = 0x1_0000;
/// Redistributors of a GICv3, 128 KiB for each vCPU.
pub const GUEST_GICV3_GICR0_BASE: u64 = 0x0302_0000;
/// Size of their region.
pub const GUEST_GICV3_GICR0_SIZE: u64 = 0x0100_0000;
/// The `vpl011` console.
pub const GUEST_PL011_BASE: u64 = 0x2200_0000;
/// Its size.
pub const GUEST_PL011_SIZE: u64 = 0x1000;
/// Region for grant-table frames.
pub const GUEST_GNTTAB_BASE: u64 = 0x3800_0000;
/// Its size.
pub const GUEST_GNTTAB_SIZE: u64 = 0x0100_0000;
/// Region for rings that the toolstack sets up.
pub const GUEST_MAGIC_BASE: u64 = 0x3900_0000;
/// Its size.
pub const GUEST_MAGIC_SIZE: u64 = 0x0100_0000;
/// First bank of RAM.
pub const GUEST_RAM0_BASE: u64 = 0x4000_0000;
/// Its largest size.
pub const GUEST_RAM0_SIZE: u64 = 0xc000_0000;
/// Second bank of RAM.
pub const GUEST_RAM1_BASE: u64 = 0x02_0000_0000;
/// Its largest size.
pub const GUEST_RAM1_SIZE: u64 = 0xfe_0000_0000;

/// Virtual timer.
pub const GUEST_TIMER_VIRT_PPI: u32 = 27;
/// Secure physical timer.
pub const GUEST_TIMER_PHYS_S_PPI: u32 = 29;
/// Physical timer.
pub const GUEST_TIMER_PHYS_NS_PPI: u32 = 30;
/// Event channels.
pub const GUEST_EVTCHN_PPI: u32 = 31;
/// The `vpl011` console.
pub const GUEST_VPL011_SPI: u32 = 32;

/// Most vCPUs that Xen gives a guest (`GUEST_MAX_VCPUS`).
pub const GUEST_MAX_VCPUS: u32 = 128;
