//! Packets.
//!
//! Source: `public/io/netif.h`. Two rings: what the guest sends, where every slot is answered, and pages that it gives
//! for what it receives. A packet takes several slots; an [`ExtraInfo`] may stand in the second.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Slots of a packet that every back end takes.
pub const XEN_NETIF_NR_SLOTS_MIN: usize = 18;
/// Most bytes of a packet that is sent.
pub const XEN_NETIF_MAX_TX_SIZE: usize = 0xffff;

/// Sent: the checksum is still to be made.
pub const NETTXF_CSUM_BLANK: u16 = 1 << 0;
/// Sent: the data are known to be right.
pub const NETTXF_DATA_VALIDATED: u16 = 1 << 1;
/// Sent: the packet goes on in the next request.
pub const NETTXF_MORE_DATA: u16 = 1 << 2;
/// Sent: an [`ExtraInfo`] follows.
pub const NETTXF_EXTRA_INFO: u16 = 1 << 3;
/// Received: the data are known to be right.
pub const NETRXF_DATA_VALIDATED: u16 = 1 << 0;
/// Received: the checksum is not made.
pub const NETRXF_CSUM_BLANK: u16 = 1 << 1;
/// Received: the packet goes on in the next response.
pub const NETRXF_MORE_DATA: u16 = 1 << 2;
/// Received: an [`ExtraInfo`] follows.
pub const NETRXF_EXTRA_INFO: u16 = 1 << 3;

/// Cut a large packet into small ones.
pub const XEN_NETIF_EXTRA_TYPE_GSO: u8 = 1;
/// Another one follows.
pub const XEN_NETIF_EXTRA_FLAG_MORE: u8 = 1 << 0;
/// A large packet of TCP over IPv4.
pub const XEN_NETIF_GSO_TYPE_TCPV4: u8 = 1;
/// A large packet of TCP over IPv6.
pub const XEN_NETIF_GSO_TYPE_TCPV6: u8 = 2;

/// The packet was dropped.
pub const NETIF_RSP_DROPPED: i16 = -2;
/// The request is wrong.
pub const NETIF_RSP_ERROR: i16 = -1;
/// Done.
pub const NETIF_RSP_OKAY: i16 = 0;
/// The slot was no request.
pub const NETIF_RSP_NULL: i16 = 1;

/// A piece of a packet that is sent (`struct netif_tx_request`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxRequest {
    /// The guest's grant of the page.
    pub gref: u32,
    /// First byte in the page.
    pub offset: u16,
    /// `NETTXF_*`.
    pub flags: u16,
    /// The guest's number for it.
    pub id: u16,
    /// Bytes of the whole packet in its first request, of this piece in the others.
    pub size: u16,
}

/// What the packet needs (`struct netif_extra_info`), here for [`XEN_NETIF_EXTRA_TYPE_GSO`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraInfo {
    /// `XEN_NETIF_EXTRA_TYPE_*`.
    pub kind: u8,
    /// `XEN_NETIF_EXTRA_FLAG_*`.
    pub flags: u8,
    /// Bytes of data of each small packet.
    pub gso_size: u16,
    /// `XEN_NETIF_GSO_TYPE_*`.
    pub gso_type: u8,
    /// Padding.
    pub pad: u8,
    /// 0.
    pub gso_features: u16,
}

/// The answer to a [`TxRequest`] (`struct netif_tx_response`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxResponse {
    /// The guest's number.
    pub id: u16,
    /// `NETIF_RSP_*`.
    pub status: i16,
}

/// A page for what is received (`struct netif_rx_request`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxRequest {
    /// The guest's number for it.
    pub id: u16,
    /// Padding.
    pub pad: u16,
    /// The guest's grant of the page.
    pub gref: u32,
}

/// A piece of a packet that was received (`struct netif_rx_response`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxResponse {
    /// The guest's number.
    pub id: u16,
    /// First byte in the page.
    pub offset: u16,
    /// `NETRXF_*`.
    pub flags: u16,
    /// Bytes of this piece, or a `NETIF_RSP_*` below 0.
    pub status: i16,
}
