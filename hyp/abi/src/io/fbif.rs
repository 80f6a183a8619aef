//! A frame buffer.
//!
//! Source: `public/io/fbif.h`. Its page is shared by frame number, and names pages of frame numbers, each of 8 bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// From the front end: a part of the picture changed ([`Update`]).
pub const XENFB_TYPE_UPDATE: u8 = 2;
/// From the front end: the picture has another size ([`Resize`]).
pub const XENFB_TYPE_RESIZE: u8 = 3;
/// From the back end: how often it looks ([`RefreshPeriod`]).
pub const XENFB_TYPE_REFRESH_PERIOD: u8 = 1;
/// In [`RefreshPeriod::period`]: never.
pub const XENFB_NO_REFRESH: u32 = 0;

/// Bytes of an event from the front end.
pub const XENFB_OUT_EVENT_SIZE: usize = 40;
/// Bytes of an event to the front end.
pub const XENFB_IN_EVENT_SIZE: usize = 40;
/// Where the events to the front end begin.
pub const XENFB_IN_RING_OFFS: usize = 1024;
/// How many there is room for.
pub const XENFB_IN_RING_LEN: usize = 25;
/// Where the events from the front end begin.
pub const XENFB_OUT_RING_OFFS: usize = 2048;
/// How many there is room for.
pub const XENFB_OUT_RING_LEN: usize = 51;

/// A part of the picture changed (`struct xenfb_update`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Update {
    /// [`XENFB_TYPE_UPDATE`].
    pub kind: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// The first column.
    pub x: i32,
    /// The first line.
    pub y: i32,
    /// Columns.
    pub width: i32,
    /// Lines.
    pub height: i32,
}

/// The picture has another size (`struct xenfb_resize`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Resize {
    /// [`XENFB_TYPE_RESIZE`].
    pub kind: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// Columns.
    pub width: i32,
    /// Lines.
    pub height: i32,
    /// Bytes from a line to the next.
    pub stride: i32,
    /// Bits of a pixel.
    pub depth: i32,
    /// Where it begins in the memory, in bytes.
    pub offset: i32,
}

/// How often the back end looks (`struct xenfb_refresh_period`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RefreshPeriod {
    /// [`XENFB_TYPE_REFRESH_PERIOD`].
    pub kind: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// Milliseconds.
    pub period: u32,
}

/// What the page begins with (`struct xenfb_page`). What of `pd` lies behind byte 1024 is the events' place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Page {
    /// The front end's index of what it has read.
    pub in_cons: u32,
    /// The back end's index of what it has written.
    pub in_prod: u32,
    /// The back end's index of what it has read.
    pub out_cons: u32,
    /// The front end's index of what it has written.
    pub out_prod: u32,
    /// Columns.
    pub width: i32,
    /// Lines.
    pub height: i32,
    /// Bytes from a line to the next.
    pub line_length: u32,
    /// Bytes of the memory.
    pub mem_length: u32,
    /// Bits of a pixel.
    pub depth: u8,
    /// Padding.
    pub pad: [u8; 7],
    /// Frames full of the numbers of the memory's frames.
    pub pd: [u64; 256],
}
