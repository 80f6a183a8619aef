//! Sharing pages between domains: `grant_table_op`.
//!
//! Source: `public/grant_table.h`. Arguments: operation, guest-virtual address of an array of structures, their number.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Map a granted page: [`MapGrantRef`].
pub const GNTTABOP_MAP_GRANT_REF: u32 = 0;
/// Unmap it again: [`UnmapGrantRef`].
pub const GNTTABOP_UNMAP_GRANT_REF: u32 = 1;
/// Make the table large enough, and say where its frames are: [`SetupTable`].
pub const GNTTABOP_SETUP_TABLE: u32 = 2;
/// Print the table; debugging.
pub const GNTTABOP_DUMP_TABLE: u32 = 3;
/// Give a page away for good.
pub const GNTTABOP_TRANSFER: u32 = 4;
/// Copy between pages: [`Copy`].
pub const GNTTABOP_COPY: u32 = 5;
/// How large is the table, and how large may it become? [`QuerySize`].
pub const GNTTABOP_QUERY_SIZE: u32 = 6;
/// Unmap a page and put another one there: [`UnmapAndReplace`].
pub const GNTTABOP_UNMAP_AND_REPLACE: u32 = 7;
/// Choose the layout of the entries: [`Version`].
pub const GNTTABOP_SET_VERSION: u32 = 8;
/// Where the status frames of a table of version 2 are: [`GetStatusFrames`].
pub const GNTTABOP_GET_STATUS_FRAMES: u32 = 9;
/// Which layout the entries have: [`GetVersion`].
pub const GNTTABOP_GET_VERSION: u32 = 10;
/// Exchange two entries of the caller's own table: [`SwapGrantRef`].
pub const GNTTABOP_SWAP_GRANT_REF: u32 = 11;
/// Clean or invalidate a page in the caches: [`CacheFlush`].
pub const GNTTABOP_CACHE_FLUSH: u32 = 12;

/// Done.
pub const GNTST_OKAY: i16 = 0;
/// Something that has no number of its own.
pub const GNTST_GENERAL_ERROR: i16 = -1;
/// There is no such domain, or it is not the caller's to ask about.
pub const GNTST_BAD_DOMAIN: i16 = -2;
/// There is no such entry, or it is none of this kind.
pub const GNTST_BAD_GNTREF: i16 = -3;
/// There is no such mapping.
pub const GNTST_BAD_HANDLE: i16 = -4;
/// A page cannot be mapped there.
pub const GNTST_BAD_VIRT_ADDR: i16 = -5;
/// The policy says no.
pub const GNTST_PERMISSION_DENIED: i16 = -8;
/// The frame is no page that can be used so.
pub const GNTST_BAD_PAGE: i16 = -9;
/// The range leaves its page.
pub const GNTST_BAD_COPY_ARG: i16 = -10;
/// Somebody uses it; try again.
pub const GNTST_EAGAIN: i16 = -12;
/// The hypervisor's tables are full.
pub const GNTST_NO_SPACE: i16 = -13;

/// Entry of version 1 (`struct grant_entry_v1`) as one little-endian word: flags in bits 15:0, the domain that may use
/// the page in 31:16, the guest frame in 63:32. This is the mask of what kind it is.
pub const GTF_TYPE_MASK: u16 = 3;
/// Kind: it grants nothing.
pub const GTF_INVALID: u16 = 0;
/// Kind: the domain may map or copy the page.
pub const GTF_PERMIT_ACCESS: u16 = 1;
/// Kind: the domain may give a page.
pub const GTF_ACCEPT_TRANSFER: u16 = 2;
/// The page may be read only.
pub const GTF_READONLY: u16 = 1 << 2;
/// Set by the hypervisor while somebody may read the page.
pub const GTF_READING: u16 = 1 << 3;
/// Set by the hypervisor while somebody may write it.
pub const GTF_WRITING: u16 = 1 << 4;
/// Only a part of the page; version 2.
pub const GTF_SUB_PAGE: u16 = 1 << 8;

/// Map for devices.
pub const GNTMAP_DEVICE_MAP: u32 = 1 << 0;
/// Map for the CPUs.
pub const GNTMAP_HOST_MAP: u32 = 1 << 1;
/// Map for reading only.
pub const GNTMAP_READONLY: u32 = 1 << 2;
/// For applications too; x86 PV.
pub const GNTMAP_APPLICATION_MAP: u32 = 1 << 3;
/// The address is that of a page-table entry; x86 PV.
pub const GNTMAP_CONTAINS_PTE: u32 = 1 << 4;

/// The source of a copy is an entry, not a frame of the caller.
pub const GNTCOPY_SOURCE_GREF: u16 = 1 << 0;
/// The same of the destination.
pub const GNTCOPY_DEST_GREF: u16 = 1 << 1;

/// Write back what the caches hold.
pub const GNTTAB_CACHE_CLEAN: u32 = 1 << 0;
/// Forget what the caches hold.
pub const GNTTAB_CACHE_INVAL: u32 = 1 << 1;
/// The page is named by an entry.
pub const GNTTAB_CACHE_SOURCE_GREF: u32 = 1 << 31;

/// Argument of [`GNTTABOP_MAP_GRANT_REF`] (`struct gnttab_map_grant_ref`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapGrantRef {
    /// Where the page is to appear, guest-physical on ARM, in bytes.
    pub host_addr: u64,
    /// `GNTMAP_*`.
    pub flags: u32,
    /// Which entry of the granting domain's table.
    pub reference: u32,
    /// Whose table.
    pub dom: u16,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Out: by what to unmap it.
    pub handle: u32,
    /// Out: the address that devices use.
    pub dev_bus_addr: u64,
}

/// Argument of [`GNTTABOP_UNMAP_GRANT_REF`] (`struct gnttab_unmap_grant_ref`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapGrantRef {
    /// Where the page is mapped; 0 leaves it there.
    pub host_addr: u64,
    /// Where devices find it; 0 where they do not.
    pub dev_bus_addr: u64,
    /// What mapping it gave.
    pub handle: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad0: u16,
}

/// Argument of [`GNTTABOP_UNMAP_AND_REPLACE`] (`struct gnttab_unmap_and_replace`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapAndReplace {
    /// Where the page is mapped.
    pub host_addr: u64,
    /// Where the page is mapped that is to appear instead.
    pub new_addr: u64,
    /// What mapping it gave.
    pub handle: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad0: u16,
}

/// Argument of [`GNTTABOP_SETUP_TABLE`] (`struct gnttab_setup_table`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetupTable {
    /// Whose table.
    pub dom: u16,
    /// Padding.
    pub pad0: u16,
    /// How many frames it is to have at least.
    pub nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad1: [u16; 3],
    /// Guest-virtual address of as many words for the frames' numbers.
    pub frame_list: u64,
}

/// One side of a [`Copy`] (`struct gnttab_copy_ptr`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CopyPtr {
    /// An entry of the domain's table in the low half, or a guest frame.
    pub u: u64,
    /// Whose.
    pub domid: u16,
    /// First byte in the page.
    pub offset: u16,
    /// Padding.
    pub pad0: u32,
}

/// Argument of [`GNTTABOP_COPY`] (`struct gnttab_copy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Copy {
    /// From where.
    pub source: CopyPtr,
    /// Where to.
    pub dest: CopyPtr,
    /// Bytes.
    pub len: u16,
    /// `GNTCOPY_*`.
    pub flags: u16,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad0: u16,
}

/// Argument of [`GNTTABOP_GET_STATUS_FRAMES`] (`struct gnttab_get_status_frames`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetStatusFrames {
    /// How many frames are wanted.
    pub nr_frames: u32,
    /// Whose.
    pub dom: u16,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Guest-virtual address of as many words.
    pub frame_list: u64,
}

/// Argument of [`GNTTABOP_SWAP_GRANT_REF`] (`struct gnttab_swap_grant_ref`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SwapGrantRef {
    /// One entry.
    pub ref_a: u32,
    /// The other.
    pub ref_b: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad0: u16,
}

/// Argument of [`GNTTABOP_CACHE_FLUSH`] (`struct gnttab_cache_flush`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CacheFlush {
    /// Address of the page as devices know it; with [`GNTTAB_CACHE_SOURCE_GREF`] an entry.
    pub dev_bus_addr: u64,
    /// First byte in the page.
    pub offset: u16,
    /// Bytes.
    pub length: u16,
    /// `GNTTAB_CACHE_*`.
    pub op: u32,
}

/// Argument of [`GNTTABOP_QUERY_SIZE`] (`struct gnttab_query_size`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySize {
    /// Whose table.
    pub dom: u16,
    /// Padding.
    pub pad0: u16,
    /// Out: frames it has.
    pub nr_frames: u32,
    /// Out: frames it may have.
    pub max_nr_frames: u32,
    /// Out: `GNTST_*`.
    pub status: i16,
    /// Padding.
    pub pad1: u16,
}

/// Argument of [`GNTTABOP_SET_VERSION`] (`struct gnttab_set_version`): in the wanted version, out the one in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Version {
    /// 1 or 2.
    pub version: u32,
}

/// Argument of [`GNTTABOP_GET_VERSION`] (`struct gnttab_get_version`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetVersion {
    /// Whose table.
    pub dom: u16,
    /// Padding.
    pub pad: u16,
    /// Out: its version.
    pub version: u32,
}
