//! What both ends of a network card write into xenstore before they share rings.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::nodes::{NodeError, Nodes};

/// What a back end offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Most queues, at least 1.
    pub queues: u32,
}

/// How the front end is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// By one event channel for both rings.
    One(u32),
    /// By one for what it sends and one for what it receives.
    Two {
        /// The ring on which it sends.
        transmit: u32,
        /// The ring on which it receives.
        receive: u32,
    },
}

/// A queue of the front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Grant of the ring on which it sends.
    pub transmit: u32,
    /// Grant of the ring on which it receives.
    pub receive: u32,
    /// Its event channels.
    pub ports: Ports,
}

/// What the front end chose: its queues, and what it takes of the packets that it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its queues, at least one.
    pub queues: Vec<Queue>,
    /// Packets in several pieces.
    pub scatter: bool,
    /// Large packets of TCP over IPv4; never without `scatter`.
    pub large_ipv4: bool,
    /// Large packets of TCP over IPv6; never without `scatter`.
    pub large_ipv6: bool,
    /// Packets over IPv4 whose checksum is not made.
    pub blank_ipv4: bool,
    /// Packets over IPv6 whose checksum is not made.
    pub blank_ipv6: bool,
}

impl Offer {
    /// What the back end writes before it waits for the front end: names and values below its directory.
    pub fn features(&self) -> Vec<(&'static str, String)> {
        let mut nodes = Vec::from([("multi-queue-max-queues", self.queues.to_string())]);
        for name in [
            "feature-sg",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "feature-ipv6-csum-offload",
            "feature-rx-copy",
            "feature-split-event-channels",
        ] {
            nodes.push((name, "1".into()));
        }
        // Pages are never given away.
        nodes.push(("feature-rx-flip", "0".into()));
        nodes
    }
}

impl Connection {
    /// Reads the front end's nodes; `get` gives the value of one by its name below the front end's directory.
    ///
    /// # Errors
    /// The first node that is missing, is no number, or asks for what was not offered.
    pub fn read(offer: &Offer, get: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, NodeError> {
        let mut nodes = Nodes { get };
        // Whoever does not want copies wants pages given away, which nobody offers any more.
        nodes.number("request-rx-copy", None, 1..=1)?;
        let scatter = nodes.feature("feature-sg")?;
        let queues = nodes.queues(offer.queues, queue)?;
        Ok(Self {
            queues,
            scatter,
            large_ipv4: nodes.feature("feature-gso-tcpv4")? && scatter,
            large_ipv6: nodes.feature("feature-gso-tcpv6")? && scatter,
            blank_ipv4: !nodes.feature("feature-no-csum-offload")?,
            blank_ipv6: nodes.feature("feature-ipv6-csum-offload")?,
        })
    }
}

fn queue(nodes: &mut Nodes<'_>, prefix: &str) -> Result<Queue, NodeError> {
    let split = format!("{prefix}event-channel-tx");
    let ports = if (nodes.get)(&split).is_some() {
        let transmit = nodes.reference(&split)?;
        Ports::Two { transmit, receive: nodes.reference(&format!("{prefix}event-channel-rx"))? }
    } else {
        Ports::One(nodes.reference(&format!("{prefix}event-channel"))?)
    };
    Ok(Queue {
        transmit: nodes.reference(&format!("{prefix}tx-ring-ref"))?,
        receive: nodes.reference(&format!("{prefix}rx-ring-ref"))?,
        ports,
    })
}
