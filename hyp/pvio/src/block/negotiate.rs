//! What both ends of a disk write into xenstore before they share a ring.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use xen_abi::io::blkif::VDISK_READONLY;

use super::{Disk, SECTOR};

/// Larger rings than of 16 pages nobody makes.
const ORDER_MAX: u32 = 4;

/// What a back end offers beside its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Most queues, at least 1.
    pub queues: u32,
    /// Most pages of a ring, as a power of two: 0 is one page, 2 is four, 4 the most.
    pub ring_page_order: u32,
    /// Grants stay mapped.
    pub persistent: bool,
}

/// A queue of the front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Grants of the ring's pages, in order.
    pub ring: Vec<u32>,
    /// The front end's event channel.
    pub port: u32,
}

/// What the front end chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its queues, at least one.
    pub queues: Vec<Queue>,
    /// It uses the same grants again and again.
    pub persistent: bool,
}

/// A node that is missing or says what cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// The node, below the front end's directory.
    pub node: String,
    /// What it says, cut off after 40 bytes; `None` if it is not there.
    pub value: Option<String>,
}

impl fmt::Display for NodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(out, "disk: the front end's {} is {value:?}", self.node),
            None => write!(out, "disk: the front end has no {}", self.node),
        }
    }
}

impl Disk {
    /// What the back end writes before it waits for the front end: names and values below its directory.
    pub fn features(&self, offer: &Offer) -> Vec<(&'static str, String)> {
        let bit = |yes: bool| u32::from(yes).to_string();
        let mut nodes = Vec::from([
            ("feature-flush-cache", bit(self.flush)),
            ("feature-barrier", bit(self.barrier)),
            ("feature-discard", bit(self.discard)),
            ("feature-persistent", bit(offer.persistent)),
            ("max-ring-page-order", offer.ring_page_order.to_string()),
            ("multi-queue-max-queues", offer.queues.to_string()),
        ]);
        if self.indirect > 0 {
            nodes.push(("feature-max-indirect-segments", self.indirect.to_string()));
        }
        nodes
    }

    /// What the back end writes when it connects.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let info = if self.read_only { VDISK_READONLY } else { 0 };
        Vec::from([
            ("sectors", self.sectors.to_string()),
            ("info", info.to_string()),
            ("sector-size", SECTOR.to_string()),
            ("physical-sector-size", SECTOR.to_string()),
        ])
    }
}

impl Connection {
    /// Reads the front end's nodes; `get` gives the value of one by its name below the front end's directory.
    ///
    /// # Errors
    /// The first node that is missing, is no number, or asks for more than was offered.
    pub fn read(offer: &Offer, get: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, NodeError> {
        let mut nodes = Nodes { get };
        nodes.protocol()?;
        let persistent = nodes.number("feature-persistent", Some(0), 0..=u32::MAX)? != 0 && offer.persistent;
        let order = nodes.number("ring-page-order", Some(0), 0..=offer.ring_page_order.min(ORDER_MAX))?;
        let count = nodes.number("multi-queue-num-queues", Some(1), 1..=offer.queues.max(1))?;
        let mut queues = Vec::new();
        for number in 0..count {
            let prefix = if count == 1 { String::new() } else { format!("queue-{number}/") };
            queues.push(nodes.queue(&prefix, order)?);
        }
        Ok(Self { queues, persistent })
    }
}

/// The front end's directory.
struct Nodes<'a> {
    get: &'a mut dyn FnMut(&str) -> Option<Vec<u8>>,
}

impl Nodes<'_> {
    /// Requests of 32-bit x86 are laid out in another way.
    fn protocol(&mut self) -> Result<(), NodeError> {
        match (self.get)("protocol") {
            None => Ok(()),
            Some(value) if value == b"arm-abi" || value == b"x86_64-abi" => Ok(()),
            Some(value) => Err(wrong("protocol", Some(&value))),
        }
    }

    /// A number within bounds; `default`, whatever it is, where there is no node.
    fn number(
        &mut self,
        node: &str,
        default: Option<u32>,
        bounds: core::ops::RangeInclusive<u32>,
    ) -> Result<u32, NodeError> {
        let value = (self.get)(node);
        let Some(text) = &value else { return default.ok_or_else(|| wrong(node, None)) };
        let digits = core::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| bounds.contains(number));
        number.ok_or_else(|| wrong(node, Some(text)))
    }

    fn queue(&mut self, prefix: &str, order: u32) -> Result<Queue, NodeError> {
        let mut ring = Vec::new();
        for page in 0..1_u32 << order {
            let mut node = format!("{prefix}ring-ref{page}");
            // A single page has no number in its name, mostly.
            if order == 0 && (self.get)(&node).is_none() {
                node = format!("{prefix}ring-ref");
            }
            ring.push(self.number(&node, None, 0..=u32::MAX)?);
        }
        let port = self.number(&format!("{prefix}event-channel"), None, 0..=u32::MAX)?;
        Ok(Queue { ring, port })
    }
}

fn wrong(node: &str, value: Option<&Vec<u8>>) -> NodeError {
    let value = value.map(|value| String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned());
    NodeError { node: node.into(), value }
}
