//! Keyboard and pointer.
//!
//! Source: `public/io/kbdif.h`. One page with events to the front end; there are none the other way.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The pointer moved ([`Motion`]).
pub const XENKBD_TYPE_MOTION: u8 = 1;
/// A key or a button ([`Key`]).
pub const XENKBD_TYPE_KEY: u8 = 3;
/// The pointer is somewhere ([`Position`]).
pub const XENKBD_TYPE_POS: u8 = 4;

/// Bytes of an event.
pub const XENKBD_IN_EVENT_SIZE: usize = 40;
/// Where the events begin.
pub const XENKBD_IN_RING_OFFS: usize = 1024;
/// How many there is room for.
pub const XENKBD_IN_RING_LEN: usize = 51;

/// The pointer moved (`struct xenkbd_motion`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Motion {
    /// [`XENKBD_TYPE_MOTION`].
    pub kind: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// To the right.
    pub rel_x: i32,
    /// Down.
    pub rel_y: i32,
    /// The wheel.
    pub rel_z: i32,
}

/// A key or a button (`struct xenkbd_key`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Key {
    /// [`XENKBD_TYPE_KEY`].
    pub kind: u8,
    /// 1 pressed, 0 released.
    pub pressed: u8,
    /// Padding.
    pub pad: u16,
    /// `KEY_*` and `BTN_*` of Linux.
    pub keycode: u32,
}

/// The pointer is somewhere (`struct xenkbd_position`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Position {
    /// [`XENKBD_TYPE_POS`].
    pub kind: u8,
    /// Padding.
    pub pad: [u8; 3],
    /// Column.
    pub abs_x: i32,
    /// Line.
    pub abs_y: i32,
    /// The wheel.
    pub rel_z: i32,
}

/// What the page begins with (`struct xenkbd_page`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
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
}
