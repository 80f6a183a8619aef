//! Network cards: packets in pieces of the guest's pages.
//!
//! A card has two rings for each queue. On one the guest sends: a packet is a row of slots, its length, checksum and the
//! wish to be cut into small ones are spread over them, and each slot is answered. On the other the guest gives pages,
//! and the back end answers them in order with pieces of what it received. The halves here turn the rows into a
//! [`Packet`] whose pieces lie within their pages and add up, and back. What does not add up is answered with an error;
//! a row without an end cannot be answered and ends the device.
//!
//! What costs is packets, not bytes. So a guest may send large ones, which are [`Cut`] where the network cannot do that
//! itself, and what comes one behind the other is [`Join`]ed before a guest gets it.
//!
//! Source: `public/io/netif.h`. What is not here: the control ring, multicast and hashes, which a back end does not have
//! to offer.

mod back;
pub mod checksum;
mod cut;
mod flow;
mod front;
mod headers;
mod join;
mod negotiate;
mod packet;

use core::fmt;

pub use back::{Place, Places, ReceiveBack, TransmitBack};
pub use cut::Cut;
pub use flow::flow;
pub use front::{ReceiveFront, Received, TransmitFront};
pub use join::Join;
pub use negotiate::{Connection, Offer, Ports, Queue};
pub use packet::{Checksum, Packet, Piece, Segmentation};
use xen_abi::io::netif::{RxRequest, TxResponse};

use crate::ring::{Protocol, RingError};

/// The ring on which a guest sends; a slot is a request or what it needs besides.
pub struct Transmit;

impl Protocol for Transmit {
    type Request = [u8; 12];
    type Response = TxResponse;
}

/// The ring on which a guest receives; an answer is a piece or what it needs besides.
pub struct Receive;

impl Protocol for Receive {
    type Request = RxRequest;
    type Response = [u8; 8];
}

/// Why a device is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An index cannot be true.
    Ring(RingError),
    /// A packet's slots end before the packet does.
    Cut {
        /// How many there are.
        slots: usize,
    },
    /// The back end answered what it was not asked, or with a piece that is none.
    Answer {
        /// The number it answered.
        id: u16,
    },
}

impl From<RingError> for Fault {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => write!(out, "network: {error}"),
            Self::Cut { slots } => write!(out, "network: a packet that goes on after the last of its {slots} slots"),
            Self::Answer { id } => write!(out, "network: an answer with number {id}, which is none"),
        }
    }
}

/// A packet under way. It is given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on its way.
    Done,
    /// There was no room for it, or nobody who wants it.
    Dropped,
    /// It is none, or its pages are none.
    Failed,
}

/// No such packet is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag;
