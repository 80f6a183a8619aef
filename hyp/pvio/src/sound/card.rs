//! A card in xenstore: what it is, which who makes it known writes into the front end's directory, and where the front
//! end put its rings, which stands beside it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_abi::io::sndif::XENSND_PROTOCOL_VERSION;

use super::{Direction, Limits};
use crate::nodes::{NodeError, Nodes};

/// A stream of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where its samples go.
    pub direction: Direction,
    /// What the back end knows it by.
    pub unique_id: String,
    /// What it can be.
    pub limits: Limits,
}

/// A device of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, at most 79 bytes.
    pub name: String,
    /// Its streams, at most 8.
    pub streams: Vec<Stream>,
}

/// A card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its short name, at most 31 bytes.
    pub short_name: String,
    /// Its long name, at most 79 bytes.
    pub long_name: String,
    /// Its devices, at least one.
    pub devices: Vec<Device>,
}

/// Where a stream's rings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Grant of the ring of requests.
    pub ring: u32,
    /// Event channel of the requests.
    pub port: u32,
    /// Grant of the page of events.
    pub events: u32,
    /// Event channel of the events.
    pub events_port: u32,
}

impl Card {
    /// What the back end writes into its own directory before it waits for the front end.
    pub fn features() -> Vec<(&'static str, String)> {
        Vec::from([("versions", XENSND_PROTOCOL_VERSION.to_string())])
    }

    /// Names and values below the front end's directory, which have to be there before the back end waits for it.
    pub fn nodes(&self) -> Vec<(String, String)> {
        let names = [("short-name".into(), self.short_name.clone()), ("long-name".into(), self.long_name.clone())];
        let mut nodes = Vec::from(names);
        for (at, device) in self.devices.iter().enumerate() {
            nodes.push((format!("{at}/name"), device.name.clone()));
            for (number, Stream { direction, unique_id, limits }) in device.streams.iter().enumerate() {
                let letter = if *direction == Direction::Playback { "p" } else { "c" };
                let formats: Vec<&str> = limits.formats.iter().map(|format| format.name()).collect();
                let rates: Vec<String> = limits.rates.iter().map(ToString::to_string).collect();
                let values = [
                    ("type", letter.into()),
                    ("unique-id", unique_id.clone()),
                    ("channels-max", limits.channels.to_string()),
                    ("buffer-size", limits.buffer.to_string()),
                    ("sample-formats", formats.join(",")),
                    ("sample-rates", rates.join(",")),
                ];
                nodes.extend(values.map(|(name, value)| (format!("{at}/{number}/{name}"), value)));
            }
        }
        nodes
    }

    /// Where the front end put the rings of all streams, in the order of the devices and of their streams; `get` gives
    /// the value of a node by its name below the front end's directory.
    ///
    /// # Errors
    /// The first node that is missing or is no number.
    pub fn connections(&self, get: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<Vec<Connection>, NodeError> {
        let mut nodes = Nodes { get };
        let streams = self.devices.iter().enumerate();
        let streams = streams.flat_map(|(at, device)| (0..device.streams.len()).map(move |number| (at, number)));
        streams.map(|(at, number)| connection(&mut nodes, &format!("{at}/{number}"))).collect()
    }
}

fn connection(nodes: &mut Nodes<'_>, stream: &str) -> Result<Connection, NodeError> {
    let mut number = |name| nodes.reference(&format!("{stream}/{name}"));
    Ok(Connection {
        ring: number("ring-ref")?,
        port: number("event-channel")?,
        events: number("evt-ring-ref")?,
        events_port: number("evt-event-channel")?,
    })
}
