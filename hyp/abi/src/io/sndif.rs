//! Sound.
//!
//! Source: `public/io/sndif.h`, version 2. Each stream has a ring of requests and a page of events; samples are in a
//! buffer of the guest's pages, which it names when it opens the stream, by pages full of grants.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The version of the protocol.
pub const XENSND_PROTOCOL_VERSION: u32 = 2;

/// Samples of 8 bits, signed.
pub const XENSND_PCM_FORMAT_S8: u8 = 0;
/// Samples of 8 bits, unsigned.
pub const XENSND_PCM_FORMAT_U8: u8 = 1;
/// Samples of 16 bits, signed.
pub const XENSND_PCM_FORMAT_S16_LE: u8 = 2;
/// Samples of 24 bits in 4 bytes, signed.
pub const XENSND_PCM_FORMAT_S24_LE: u8 = 6;
/// Samples of 32 bits, signed.
pub const XENSND_PCM_FORMAT_S32_LE: u8 = 10;
/// Samples from -1 to 1 of 4 bytes.
pub const XENSND_PCM_FORMAT_F32_LE: u8 = 14;

/// Open the stream: [`OpenReq`].
pub const XENSND_OP_OPEN: u8 = 0;
/// Close it.
pub const XENSND_OP_CLOSE: u8 = 1;
/// Fill a part of the buffer: [`RwReq`].
pub const XENSND_OP_READ: u8 = 2;
/// Play a part of the buffer: [`RwReq`].
pub const XENSND_OP_WRITE: u8 = 3;
/// Take volumes, of 4 bytes each, from the buffer: [`RwReq`].
pub const XENSND_OP_SET_VOLUME: u8 = 4;
/// Put them there: [`RwReq`].
pub const XENSND_OP_GET_VOLUME: u8 = 5;
/// Mute channels, for which there is a byte each in the buffer that is not 0: [`RwReq`].
pub const XENSND_OP_MUTE: u8 = 6;
/// The opposite: [`RwReq`].
pub const XENSND_OP_UNMUTE: u8 = 7;
/// Start, pause, stop, go on: [`TriggerReq`].
pub const XENSND_OP_TRIGGER: u8 = 8;
/// What parameters are left within these: [`QueryHwParam`].
pub const XENSND_OP_HW_PARAM_QUERY: u8 = 9;

/// Start.
pub const XENSND_OP_TRIGGER_START: u8 = 0;
/// Pause.
pub const XENSND_OP_TRIGGER_PAUSE: u8 = 1;
/// Stop.
pub const XENSND_OP_TRIGGER_STOP: u8 = 2;
/// Go on after a pause.
pub const XENSND_OP_TRIGGER_RESUME: u8 = 3;

/// The stream has come to a position: [`CurPosEvt`].
pub const XENSND_EVT_CUR_POS: u8 = 0;

/// Where the events begin in their page.
pub const XENSND_IN_RING_OFFS: usize = 64;
/// How many there is room for.
pub const XENSND_IN_RING_LEN: usize = 63;

/// A request (`struct xensnd_req`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// The front end's number for it, which the response repeats.
    pub id: u16,
    /// `XENSND_OP_*`.
    pub operation: u8,
    /// 0.
    pub reserved: [u8; 5],
    /// What the operation needs.
    pub op: [u8; 56],
}

/// How to open a stream (`struct xensnd_open_req`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenReq {
    /// Frames per second.
    pub pcm_rate: u32,
    /// `XENSND_PCM_FORMAT_*`.
    pub pcm_format: u8,
    /// Samples of a frame.
    pub pcm_channels: u8,
    /// 0.
    pub reserved: u16,
    /// Bytes of the buffer.
    pub buffer_sz: u32,
    /// Grant of the first [`PageDirectory`].
    pub gref_directory: u32,
    /// Bytes after which the front end wants to know the position; 0 for never.
    pub period_sz: u32,
}

/// A page full of grants begins with this (`struct xensnd_page_directory`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PageDirectory {
    /// Grant of the next such page, or 0.
    pub gref_dir_next_page: u32,
    /// The first grant; others follow until the page is full.
    pub gref: [u32; 1],
}

/// A part of the buffer (`struct xensnd_rw_req`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RwReq {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// How to run a stream (`struct xensnd_trigger_req`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TriggerReq {
    /// `XENSND_OP_TRIGGER_*`.
    pub kind: u8,
}

/// Parameters that a stream may have (`struct xensnd_query_hw_param`); each pair is the least and the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryHwParam {
    /// A bit for each `XENSND_PCM_FORMAT_*`.
    pub formats: u64,
    /// Frames per second.
    pub rates: [u32; 2],
    /// Samples of a frame.
    pub channels: [u32; 2],
    /// Frames of the buffer.
    pub buffer: [u32; 2],
    /// Frames of a period.
    pub period: [u32; 2],
}

/// A response (`struct xensnd_resp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// The request's number.
    pub id: u16,
    /// The request's operation.
    pub operation: u8,
    /// 0.
    pub reserved: u8,
    /// 0, or an error's number below 0.
    pub status: i32,
    /// [`QueryHwParam`], or nothing.
    pub resp: [u8; 56],
}

/// An event (`struct xensnd_evt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Event {
    /// Its number, which counts up.
    pub id: u16,
    /// `XENSND_EVT_*`.
    pub kind: u8,
    /// 0.
    pub reserved: [u8; 5],
    /// What the event says.
    pub op: [u8; 56],
}

/// Where a stream is (`struct xensnd_cur_pos_evt`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CurPosEvt {
    /// Bytes since it was opened.
    pub position: u64,
}

/// What the page of events begins with (`struct xensnd_event_page`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventPage {
    /// The front end's index of what it has read.
    pub in_cons: u32,
    /// The back end's index of what it has written.
    pub in_prod: u32,
    /// 0.
    pub reserved: [u8; 56],
}
