//! Sharing pages between domains: `grant_table_op`.
//!
//! Source: `public/grant_table.h`. Arguments: operation, guest-virtual address of an array of structures, their number.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How large is the table, and how large may it become? [`QuerySize`].
pub const GNTTABOP_QUERY_SIZE: u32 = 6;
/// Choose the layout of the entries: [`Version`].
pub const GNTTABOP_SET_VERSION: u32 = 8;
/// Which layout the entries have: [`GetVersion`].
pub const GNTTABOP_GET_VERSION: u32 = 10;

/// Done.
pub const GNTST_OKAY: i16 = 0;
/// There is no such domain, or it is not the caller's to ask about.
pub const GNTST_BAD_DOMAIN: i16 = -2;

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
