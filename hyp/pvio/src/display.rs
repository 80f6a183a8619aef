//! Frame buffers: a picture in the guest's memory, and events that say which part of it changed.
//!
//! The protocol is older than grants: the guest's page, the pages that list the frames of its picture, and these frames
//! themselves are named by their guest frame numbers. So the back end has to be allowed to map the guest's memory, and
//! whatever number it is given, mapping it must be safe. The halves here check sizes and areas, and never hand out a
//! part of the picture that is not in its memory.
//!
//! Linux's driver looks at `width`, `height` and `videoram` in the back end's directory as soon as it sees the device,
//! and says where its page is before the back end has said anything. Source: `public/io/fbif.h`.

mod back;
mod front;
mod nodes;
mod screen;

use core::fmt;

pub use back::{Back, Change};
pub use front::Front;
pub use nodes::{Connection, Offer};
pub use screen::{Area, Frames, Screen};
use xen_abi::io::fbif::{
    XENFB_IN_EVENT_SIZE, XENFB_IN_RING_LEN, XENFB_IN_RING_OFFS, XENFB_OUT_EVENT_SIZE, XENFB_OUT_RING_LEN,
    XENFB_OUT_RING_OFFS,
};

use crate::events::{EventError, Place};

type InEvent = [u8; XENFB_IN_EVENT_SIZE];
type OutEvent = [u8; XENFB_OUT_EVENT_SIZE];

const IN: Place = Place { slots: XENFB_IN_RING_OFFS, count: XENFB_IN_RING_LEN as u32, consumer: 0, producer: 4 };
const OUT: Place = Place { slots: XENFB_OUT_RING_OFFS, count: XENFB_OUT_RING_LEN as u32, consumer: 8, producer: 12 };

/// Why a device is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An index cannot be true.
    Events(EventError),
    /// The picture is not in its memory, or is larger than allowed.
    Screen(Screen),
    /// An event that was not asked for.
    Event {
        /// Its type.
        kind: u8,
    },
}

impl From<EventError> for Fault {
    fn from(error: EventError) -> Self {
        Self::Events(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(error) => write!(out, "display: {error}"),
            Self::Event { kind } => write!(out, "display: an event of type {kind}, which nobody asked for"),
            Self::Screen(Screen { width, height, depth, line, offset, memory }) => write!(
                out,
                "display: {width} columns and {height} lines of {depth} bits, {line} bytes each, from {offset} on, in \
                 {memory} bytes"
            ),
        }
    }
}
