//! What both ends of a disk write into xenstore before they share a ring.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_abi::io::blkif::VDISK_READONLY;

use super::{Disk, SECTOR};
use crate::nodes::{NodeError, Nodes};

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
        let persistent = nodes.feature("feature-persistent")? && offer.persistent;
        let order = nodes.number("ring-page-order", Some(0), 0..=offer.ring_page_order.min(ORDER_MAX))?;
        let queues = nodes.queues(offer.queues, |nodes, prefix| queue(nodes, prefix, order))?;
        Ok(Self { queues, persistent })
    }
}

fn queue(nodes: &mut Nodes<'_>, prefix: &str, order: u32) -> Result<Queue, NodeError> {
    let mut ring = Vec::new();
    for page in 0..1_u32 << order {
        let mut node = format!("{prefix}ring-ref{page}");
        // A single page has no number in its name, mostly.
        if order == 0 && (nodes.get)(&node).is_none() {
            node = format!("{prefix}ring-ref");
        }
        ring.push(nodes.reference(&node)?);
    }
    let port = nodes.reference(&format!("{prefix}event-channel"))?;
    Ok(Queue { ring, port })
}
