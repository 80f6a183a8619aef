//! Messages in a stream of bytes: put together as they come, taken apart as there is room.

use alloc::vec::Vec;
use core::fmt;

use xen_abi::io::xs_wire::{Sockmsg, XENSTORE_PAYLOAD_MAX};
use zerocopy::{FromBytes, IntoBytes};

use crate::memory::SharedMemory;
use crate::stream::{Reader, StreamError, Writer};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it begins with; its length is that of the payload.
    pub header: Sockmsg,
    /// What follows, at most 4096 bytes.
    pub payload: Vec<u8>,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An index of the page cannot be true.
    Stream(StreamError),
    /// A message is longer than a message may be.
    Length {
        /// How long it says it is.
        length: u32,
    },
    /// The server answered what nobody asked, or what is no answer.
    Answer {
        /// The message's type.
        kind: u32,
        /// Its number.
        number: u32,
    },
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => write!(out, "xenstore: {error}"),
            Self::Length { length } => write!(out, "xenstore: a message of {length} bytes; 4096 is the most"),
            Self::Answer { kind, number } => write!(out, "xenstore: message {number} of type {kind} is no answer"),
        }
    }
}

/// The message that is coming in.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// What is there of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A message of which this was there.
    pub(super) fn resume(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into() }
    }

    /// Takes bytes until a message is whole; `None` if there are no more.
    ///
    /// # Errors
    /// An index or a length that cannot be true.
    pub(super) fn pull<M: SharedMemory>(&mut self, reader: &mut Reader<M>) -> Result<Option<Message>, Fault> {
        const HEADER: usize = size_of::<Sockmsg>();
        loop {
            let header = Sockmsg::read_from_prefix(&self.bytes).ok().map(|(header, _)| header);
            let length = header.map_or(0, |header| header.len as usize);
            if length > XENSTORE_PAYLOAD_MAX {
                return Err(Fault::Length { length: length as u32 });
            }
            let have = self.bytes.len();
            if let Some(header) = header.filter(|_| have == HEADER + length) {
                let payload = self.bytes.split_off(HEADER);
                self.bytes.clear();
                return Ok(Some(Message { header, payload }));
            }
            self.bytes.resize(HEADER + length, 0);
            let taken = reader.take(&mut self.bytes[have..]);
            self.bytes.truncate(have + taken.unwrap_or(0));
            if taken? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The message that is going out.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Adds a message.
    pub(super) fn put(&mut self, message: &Message) {
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        }
        self.bytes.extend_from_slice(message.header.as_bytes());
        self.bytes.extend_from_slice(&message.payload);
    }

    /// What is not sent yet.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// A message of which this is still to be sent.
    pub(super) fn resume(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), sent: 0 }
    }

    /// Sends what there is room for; whether all is gone.
    ///
    /// # Errors
    /// An index that cannot be true.
    pub(super) fn push<M: SharedMemory>(&mut self, writer: &mut Writer<M>) -> Result<bool, Fault> {
        if !self.is_empty() {
            self.sent += writer.put(&self.bytes[self.sent..])?;
        }
        Ok(self.is_empty())
    }
}
