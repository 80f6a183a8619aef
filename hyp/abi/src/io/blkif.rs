//! Requests to a disk.
//!
//! Source: `public/io/blkif.h`. Sectors are 512 bytes. The layouts are those of 64-bit guests.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Read sectors into pages.
pub const BLKIF_OP_READ: u8 = 0;
/// Write pages to sectors.
pub const BLKIF_OP_WRITE: u8 = 1;
/// Write, after everything before and before everything after it.
pub const BLKIF_OP_WRITE_BARRIER: u8 = 2;
/// Make durable what was written.
pub const BLKIF_OP_FLUSH_DISKCACHE: u8 = 3;
/// Sectors are not in use any more: [`RequestDiscard`].
pub const BLKIF_OP_DISCARD: u8 = 5;
/// The segments are in pages of their own: [`RequestIndirect`].
pub const BLKIF_OP_INDIRECT: u8 = 6;

/// Most segments in a request itself.
pub const BLKIF_MAX_SEGMENTS_PER_REQUEST: usize = 11;
/// Most pages of segments that a request names.
pub const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8;
/// In [`RequestDiscard::flag`]: nobody may read the sectors again.
pub const BLKIF_DISCARD_SECURE: u8 = 1 << 0;

/// The operation is none of this back end.
pub const BLKIF_RSP_EOPNOTSUPP: i16 = -2;
/// It failed.
pub const BLKIF_RSP_ERROR: i16 = -1;
/// Done.
pub const BLKIF_RSP_OKAY: i16 = 0;

/// In the node `info`: it is a CD.
pub const VDISK_CDROM: u32 = 1;
/// The medium can be changed.
pub const VDISK_REMOVABLE: u32 = 2;
/// It cannot be written.
pub const VDISK_READONLY: u32 = 4;

/// Bytes of a slot of the ring (`union blkif_sring_entry`).
pub const BLKIF_SLOT_SIZE: usize = 112;

/// Sectors in a page (`struct blkif_request_segment`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestSegment {
    /// The front end's grant of the page.
    pub gref: u32,
    /// First sector in the page, 0 to 7.
    pub first_sect: u8,
    /// Last sector in the page, which is transferred too.
    pub last_sect: u8,
    /// Padding.
    pub pad0: u16,
}

/// A request (`struct blkif_request`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// `BLKIF_OP_*`.
    pub operation: u8,
    /// How many of `seg` are used.
    pub nr_segments: u8,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad0: u32,
    /// The front end's number for it, which the response repeats.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// Where the data are.
    pub seg: [RequestSegment; BLKIF_MAX_SEGMENTS_PER_REQUEST],
}

/// A request with [`BLKIF_OP_DISCARD`] (`struct blkif_request_discard`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestDiscard {
    /// `BLKIF_OP_DISCARD`.
    pub operation: u8,
    /// `BLKIF_DISCARD_*`.
    pub flag: u8,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad0: u32,
    /// The front end's number for it.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// How many sectors.
    pub nr_sectors: u64,
}

/// A request with [`BLKIF_OP_INDIRECT`] (`struct blkif_request_indirect`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestIndirect {
    /// `BLKIF_OP_INDIRECT`.
    pub operation: u8,
    /// [`BLKIF_OP_READ`] or [`BLKIF_OP_WRITE`].
    pub indirect_op: u8,
    /// How many segments.
    pub nr_segments: u16,
    /// Padding.
    pub pad0: u32,
    /// The front end's number for it.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad1: u16,
    /// Grants of the pages that are full of [`RequestSegment`]s.
    pub indirect_grefs: [u32; BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST],
    /// Padding.
    pub pad2: u32,
}

/// A response (`struct blkif_response`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// The request's number.
    pub id: u64,
    /// The request's operation.
    pub operation: u8,
    /// Padding.
    pub pad0: u8,
    /// `BLKIF_RSP_*`.
    pub status: i16,
    /// Padding.
    pub pad1: u32,
}
