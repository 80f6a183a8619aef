//! What a front end wrote into xenstore, read as what it has to be.
//!
//! The values are text of another guest. A number that is none, or beyond what was offered, names its node, so that who
//! looks for the reason finds it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

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
            Some(value) => write!(out, "the front end's {} is {value:?}", self.node),
            None => write!(out, "the front end has no {}", self.node),
        }
    }
}

/// The front end's directory.
pub(crate) struct Nodes<'a> {
    /// The value of a node by its name below the directory.
    pub(crate) get: &'a mut dyn FnMut(&str) -> Option<Vec<u8>>,
}

impl Nodes<'_> {
    /// The layout of its requests, which must be that of 64-bit guests; 32-bit x86 has another.
    pub(crate) fn protocol(&mut self) -> Result<(), NodeError> {
        match (self.get)("protocol") {
            None => Ok(()),
            Some(value) if value == b"arm-abi" || value == b"x86_64-abi" => Ok(()),
            Some(value) => Err(wrong("protocol", Some(&value))),
        }
    }

    /// A number within bounds; `default`, whatever it is, where there is no node.
    pub(crate) fn number(
        &mut self,
        node: &str,
        default: Option<u32>,
        bounds: RangeInclusive<u32>,
    ) -> Result<u32, NodeError> {
        let value = (self.get)(node);
        let Some(text) = &value else { return default.ok_or_else(|| wrong(node, None)) };
        let digits = core::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| bounds.contains(number));
        number.ok_or_else(|| wrong(node, Some(text)))
    }

    /// Whether a feature is there.
    pub(crate) fn feature(&mut self, node: &str) -> Result<bool, NodeError> {
        self.number(node, Some(0), 0..=u32::MAX).map(|number| number != 0)
    }

    /// Its queues, of which it may have so many: `read` reads one whose nodes' names have a prefix.
    pub(crate) fn queues<T>(
        &mut self,
        most: u32,
        mut read: impl FnMut(&mut Self, &str) -> Result<T, NodeError>,
    ) -> Result<Vec<T>, NodeError> {
        let count = self.number("multi-queue-num-queues", Some(1), 1..=most.max(1))?;
        let mut queues = Vec::new();
        for number in 0..count {
            let prefix = if count == 1 { String::new() } else { format!("queue-{number}/") };
            queues.push(read(self, &prefix)?);
        }
        Ok(queues)
    }

    /// A grant or an event channel, which has to be there.
    pub(crate) fn reference(&mut self, node: &str) -> Result<u32, NodeError> {
        self.number(node, None, 0..=u32::MAX)
    }
}

fn wrong(node: &str, value: Option<&Vec<u8>>) -> NodeError {
    let value = value.map(|value| String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned());
    NodeError { node: node.into(), value }
}
