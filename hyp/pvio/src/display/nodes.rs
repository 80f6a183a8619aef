//! What both ends of a frame buffer write into xenstore.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::nodes::{NodeError, Nodes};

/// What a back end offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Most megabytes of the picture's memory: Linux takes 2, or less if this says so, which has to be enough.
    pub megabytes: u32,
}

/// Where the front end's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The guest's frame.
    pub frame: u32,
    /// Its event channel.
    pub port: u32,
    /// It can say what changed.
    pub updates: bool,
}

impl Offer {
    /// Names and values below the back end's directory, which have to be there before the front end's directory is: Linux
    /// reads the sizes at once, and the others when the back end is connected.
    pub fn features(&self) -> Vec<(&'static str, String)> {
        Vec::from([
            ("width", self.width.to_string()),
            ("height", self.height.to_string()),
            ("videoram", self.megabytes.to_string()),
            ("feature-resize", "1".into()),
            ("request-update", "1".into()),
        ])
    }
}

impl Connection {
    /// Reads the front end's nodes; `get` gives the value of one by its name below the front end's directory.
    ///
    /// # Errors
    /// The first node that is missing or is no number, or a front end that is not of 64 bits.
    pub fn read(get: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, NodeError> {
        let mut nodes = Nodes { get };
        nodes.protocol()?;
        Ok(Self {
            frame: nodes.reference("page-ref")?,
            port: nodes.reference("event-channel")?,
            updates: nodes.feature("feature-update")?,
        })
    }
}
