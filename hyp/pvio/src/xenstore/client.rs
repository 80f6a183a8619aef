//! A guest's own end: sends requests, and tells answers from events. It trusts the server no more than the server
//! trusts it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{Sockmsg, XENSTORE_PAYLOAD_MAX, XS_ERROR, XS_WATCH_EVENT, XSD_ERRORS};

use super::page::Page;
use super::watch::Event;
use super::wire::{Fault, Incoming, Message, Outgoing};
use crate::memory::SharedMemory;

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer to the request with this number: its payload, or why it failed.
    Reply(u32, Result<Vec<u8>, Errno>),
    /// Something changed.
    Event(Event),
}

/// A guest's connection to the server.
#[derive(Default)]
pub struct Client {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Types of the requests that are not answered, by number.
    asked: BTreeMap<u32, u32>,
    last: u32,
}

/// Most requests at a time that are not answered, which Xen's own server allows a guest.
const ASKED_MAX: usize = 20;

impl Client {
    /// Puts a request of type `XS_*` in the queue, in a transaction or (0) in none, and returns its number. The payload
    /// is as the protocol has it, with its NULs.
    ///
    /// # Errors
    /// `E2BIG` for a payload that is too long, `EBUSY` while 20 requests are not answered.
    pub fn ask(&mut self, kind: u32, transaction: u32, payload: &[u8]) -> Result<u32, Errno> {
        if payload.len() > XENSTORE_PAYLOAD_MAX {
            return Err(Errno::E2BIG);
        }
        if self.asked.len() >= ASKED_MAX {
            return Err(Errno::EBUSY);
        }
        self.last = self.last.wrapping_add(1);
        let header = Sockmsg { kind, req_id: self.last, tx_id: transaction, len: payload.len() as u32 };
        self.asked.insert(self.last, kind);
        self.outgoing.put(&Message { header, payload: payload.into() });
        Ok(self.last)
    }

    /// Sends what there is room for and takes the next message. `notify` says afterwards whether the server is to be
    /// notified.
    ///
    /// # Errors
    /// The server broke the protocol; the connection is over.
    pub fn poll<M: SharedMemory>(&mut self, page: &mut Page<M>, notify: &mut bool) -> Result<Option<Answer>, Fault> {
        self.outgoing.push(&mut page.writer)?;
        let message = self.incoming.pull(&mut page.reader)?;
        *notify |= page.show();
        let Some(Message { header, payload }) = message else { return Ok(None) };
        let wrong = Fault::Answer { kind: header.kind, number: header.req_id };
        if header.kind == XS_WATCH_EVENT {
            return event(&payload).map(|event| Some(Answer::Event(event))).ok_or(wrong);
        }
        let kind = self.asked.remove(&header.req_id).ok_or(wrong)?;
        let result = match header.kind {
            XS_ERROR => Err(error(&payload)),
            answered if answered == kind => Ok(payload),
            _ => return Err(wrong),
        };
        Ok(Some(Answer::Reply(header.req_id, result)))
    }
}

fn event(payload: &[u8]) -> Option<Event> {
    let mut strings = payload.strip_suffix(&[0])?.splitn(2, |byte| *byte == 0);
    let path = String::from_utf8(strings.next()?.into()).ok()?;
    Some(Event { path, token: strings.next()?.into() })
}

/// The error of this name; one that nobody knows is a plain `EIO`.
fn error(payload: &[u8]) -> Errno {
    let name = payload.strip_suffix(&[0]).unwrap_or(payload);
    let known = XSD_ERRORS.iter().find(|errno| alloc::format!("{errno:?}").as_bytes() == name);
    known.copied().unwrap_or(Errno::EIO)
}
