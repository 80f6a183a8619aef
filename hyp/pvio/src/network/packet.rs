//! A packet, from its slots and to its slots.

use alloc::vec::Vec;
use core::ops::Range;

use xen_abi::io::netif::{
    ExtraInfo, NETTXF_CSUM_BLANK, NETTXF_DATA_VALIDATED, NETTXF_EXTRA_INFO, NETTXF_MORE_DATA, TxRequest,
    XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6, XEN_NETIF_NR_SLOTS_MIN,
};
use xen_abi::io::ring::XEN_PAGE_SIZE;

/// Bytes of an Ethernet header; nothing shorter is a packet.
const HEADER: usize = 14;

/// Bytes of a page, within that page and at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The guest's grant of the page.
    pub grant: u32,
    /// First byte.
    pub offset: u16,
    /// Bytes.
    pub length: u16,
}

/// What is known of a packet's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: it is there, right or wrong.
    There,
    /// It is right.
    Validated,
    /// It is still to be made; the data never left the machine.
    Blank,
}

/// The wish to be cut into small packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Bytes of data of each, not 0.
    pub size: u16,
    /// TCP over IPv6, not IPv4.
    pub ipv6: bool,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes, 1 to 18 pieces.
    pub pieces: Vec<Piece>,
    /// Its checksum.
    pub checksum: Checksum,
    /// How to cut it.
    pub segmentation: Option<Segmentation>,
}

impl Packet {
    /// Bytes of all pieces.
    pub fn length(&self) -> usize {
        self.pieces.iter().map(|piece| usize::from(piece.length)).sum()
    }

    /// How many frames it will be on a network that takes none that are larger.
    pub fn frames(&self) -> usize {
        self.segmentation.map_or(1, |segmentation| self.length().div_ceil(usize::from(segmentation.size).max(1)))
    }

    /// The pieces that hold these bytes of it.
    pub fn part(&self, bytes: Range<usize>) -> impl Iterator<Item = Piece> {
        let mut at = 0;
        self.pieces.iter().filter_map(move |piece| {
            let start = at;
            at += usize::from(piece.length);
            let (from, to) = (bytes.start.max(start), bytes.end.min(at));
            (from < to).then(|| Piece {
                offset: piece.offset + (from - start) as u16,
                length: (to - from) as u16,
                grant: piece.grant,
            })
        })
    }

    /// The packet of these requests and this extra information; nothing if it does not add up.
    pub(super) fn read(requests: &[TxRequest], extras: &[ExtraInfo]) -> Option<Self> {
        let (first, others) = requests.split_first()?;
        let rest: usize = others.iter().map(|request| usize::from(request.size)).sum();
        let whole = usize::from(first.size);
        if requests.len() > XEN_NETIF_NR_SLOTS_MIN || whole < HEADER {
            return None;
        }
        let head = u16::try_from(whole.checked_sub(rest)?).ok()?;
        if others.iter().any(|request| request.flags & NETTXF_EXTRA_INFO != 0) {
            return None;
        }
        let lengths = core::iter::once(head).chain(others.iter().map(|request| request.size));
        let pieces = requests.iter().zip(lengths).map(|(request, length)| piece(request, length));
        let segmentation = match extras {
            [] => None,
            [extra] => Some(segmentation(extra)?),
            _ => return None,
        };
        Some(Self { pieces: pieces.collect::<Option<_>>()?, checksum: checksum(first.flags), segmentation })
    }

    /// Whether it can be sent: what [`read`](Self::read) would take.
    pub(super) fn is_whole(&self) -> bool {
        let within =
            |piece: &Piece| piece.length > 0 && usize::from(piece.offset) + usize::from(piece.length) <= XEN_PAGE_SIZE;
        let count = 1..=XEN_NETIF_NR_SLOTS_MIN;
        let length = HEADER..=usize::from(u16::MAX);
        count.contains(&self.pieces.len())
            && length.contains(&self.length())
            && self.pieces.iter().all(within)
            && self.segmentation.is_none_or(|segmentation| segmentation.size > 0)
    }

    /// Flags of its first request.
    pub(super) fn flags(&self) -> u16 {
        let checksum = match self.checksum {
            Checksum::There => 0,
            Checksum::Validated => NETTXF_DATA_VALIDATED,
            Checksum::Blank => NETTXF_CSUM_BLANK | NETTXF_DATA_VALIDATED,
        };
        let more = if self.pieces.len() > 1 { NETTXF_MORE_DATA } else { 0 };
        checksum | more | if self.segmentation.is_some() { NETTXF_EXTRA_INFO } else { 0 }
    }
}

fn piece(request: &TxRequest, length: u16) -> Option<Piece> {
    let end = usize::from(request.offset) + usize::from(length);
    let within = length > 0 && end <= XEN_PAGE_SIZE;
    within.then_some(Piece { grant: request.gref, offset: request.offset, length })
}

fn checksum(flags: u16) -> Checksum {
    if flags & NETTXF_CSUM_BLANK != 0 {
        Checksum::Blank
    } else if flags & NETTXF_DATA_VALIDATED != 0 {
        Checksum::Validated
    } else {
        Checksum::There
    }
}

/// What extra information says, if it is the wish to be cut.
pub(super) fn segmentation(extra: &ExtraInfo) -> Option<Segmentation> {
    let ipv6 = match extra.gso_type {
        XEN_NETIF_GSO_TYPE_TCPV4 => false,
        XEN_NETIF_GSO_TYPE_TCPV6 => true,
        _ => return None,
    };
    let right = extra.kind == XEN_NETIF_EXTRA_TYPE_GSO && extra.gso_size > 0;
    right.then_some(Segmentation { size: extra.gso_size, ipv6 })
}

/// The extra information that says so.
pub(super) fn extra(segmentation: Segmentation) -> ExtraInfo {
    let gso_type = if segmentation.ipv6 { XEN_NETIF_GSO_TYPE_TCPV6 } else { XEN_NETIF_GSO_TYPE_TCPV4 };
    ExtraInfo { kind: XEN_NETIF_EXTRA_TYPE_GSO, gso_size: segmentation.size, gso_type, ..ExtraInfo::default() }
}
