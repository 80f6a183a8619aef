//! Memory of a domain: `memory_op`.
//!
//! Source: `public/memory.h`. Arguments: operation, guest-virtual address of its structure.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Give the domain pages; x86 PV.
pub const XENMEM_INCREASE_RESERVATION: u32 = 0;
/// Take pages away from the domain.
pub const XENMEM_DECREASE_RESERVATION: u32 = 1;
/// Highest page of the machine.
pub const XENMEM_MAXIMUM_RAM_PAGE: u32 = 2;
/// How many pages the domain has.
pub const XENMEM_CURRENT_RESERVATION: u32 = 3;
/// How many it may have.
pub const XENMEM_MAXIMUM_RESERVATION: u32 = 4;
/// Fill guest frames with pages.
pub const XENMEM_POPULATE_PHYSMAP: u32 = 6;
/// Map something special at a guest frame: [`AddToPhysmap`].
pub const XENMEM_ADD_TO_PHYSMAP: u32 = 7;
/// The domain's memory map; x86.
pub const XENMEM_MEMORY_MAP: u32 = 9;
/// Exchange pages.
pub const XENMEM_EXCHANGE: u32 = 11;
/// Highest guest frame of the domain.
pub const XENMEM_MAXIMUM_GPFN: u32 = 14;
/// Unmap a guest frame: [`RemoveFromPhysmap`].
pub const XENMEM_REMOVE_FROM_PHYSMAP: u32 = 15;
/// [`XENMEM_ADD_TO_PHYSMAP`] for many frames.
pub const XENMEM_ADD_TO_PHYSMAP_BATCH: u32 = 23;
/// Reserve pages for a domain.
pub const XENMEM_CLAIM_PAGES: u32 = 24;
/// Map a resource of another domain.
pub const XENMEM_ACQUIRE_RESOURCE: u32 = 28;

/// The shared-info page.
pub const XENMAPSPACE_SHARED_INFO: u32 = 0;
/// A frame of the grant table.
pub const XENMAPSPACE_GRANT_TABLE: u32 = 1;
/// Another guest frame of the domain.
pub const XENMAPSPACE_GMFN: u32 = 2;
/// A range of guest frames.
pub const XENMAPSPACE_GMFN_RANGE: u32 = 3;
/// A guest frame of another domain; batches only.
pub const XENMAPSPACE_GMFN_FOREIGN: u32 = 4;
/// Device memory; batches only.
pub const XENMAPSPACE_DEV_MMIO: u32 = 5;

/// Argument of [`XENMEM_ADD_TO_PHYSMAP`] (`struct xen_add_to_physmap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddToPhysmap {
    /// Whose frame.
    pub domid: u16,
    /// Frames in a [`XENMAPSPACE_GMFN_RANGE`].
    pub size: u16,
    /// `XENMAPSPACE_*`: what to map.
    pub space: u32,
    /// Which one of those.
    pub idx: u64,
    /// Guest frame at which it is to appear.
    pub gpfn: u64,
}

/// Argument of [`XENMEM_REMOVE_FROM_PHYSMAP`] (`struct xen_remove_from_physmap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// Whose frame.
    pub domid: u16,
    /// Padding.
    pub pad0: [u16; 3],
    /// Which guest frame.
    pub gpfn: u64,
}

/// Argument of the calls that give or take pages (`struct xen_memory_reservation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryReservation {
    /// Guest-virtual address of the guest frames, one for each extent.
    pub extent_start: u64,
    /// How many extents.
    pub nr_extents: u64,
    /// An extent is so many pages, as a power of two.
    pub extent_order: u32,
    /// `XENMEMF_*`.
    pub mem_flags: u32,
    /// Whose memory.
    pub domid: u16,
    /// Padding.
    pub pad0: [u16; 3],
}

/// Argument of [`XENMEM_ADD_TO_PHYSMAP_BATCH`] (`struct xen_add_to_physmap_batch`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddToPhysmapBatch {
    /// Whose frames.
    pub domid: u16,
    /// `XENMAPSPACE_*`: what to map.
    pub space: u16,
    /// How many.
    pub size: u16,
    /// Whose pages, where they are foreign.
    pub foreign_domid: u16,
    /// Guest-virtual address of words: which ones.
    pub idxs: u64,
    /// Guest-virtual address of words: at which guest frames.
    pub gpfns: u64,
    /// Guest-virtual address of 32-bit numbers. Out: 0 or a negated error for each.
    pub errs: u64,
}
