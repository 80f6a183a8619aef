//! Disks: requests of a front end become operations that a back end can do without another thought.
//!
//! A request names sectors of the disk and pieces of the guest's pages. The back end's half takes it from the ring,
//! checks all of it against the disk, and gives an [`Operation`] with a [`Tag`]; what does not hold is answered with an
//! error and never seen. Who does operations, in whatever order, gives the tags back with what came of it. The half knows
//! nothing of grants but their numbers: who maps them learns which, and which bytes of them.
//!
//! Answers leave in the order of the requests, although the protocol allows any: so a back end that ends, wherever it
//! ends, leaves in the ring all requests that are not answered, and its next life does these again.
//!
//! Source: `public/io/blkif.h`. A sector is 512 bytes.

mod back;
mod front;
mod negotiate;
mod request;

pub use back::{Back, Todo, UnknownTag};
pub use front::{AnswerError, AskError, Front};
pub use negotiate::{Connection, Offer, Queue};
pub use request::{Kind, Operation, Segment, Segments};
use xen_abi::io::blkif::{BLKIF_SLOT_SIZE, Request, Response};

use crate::ring::Protocol;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// The protocol of the ring.
pub struct Blkif;

impl Protocol for Blkif {
    type Request = Request;
    type Response = Response;
}

const _: () = assert!(size_of::<Request>() == BLKIF_SLOT_SIZE);

/// A disk, and what can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Sectors.
    pub sectors: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// Written data can be made durable.
    pub flush: bool,
    /// A write can stand between those before and those after it.
    pub barrier: bool,
    /// Sectors can be given up.
    pub discard: bool,
    /// Most segments of a request whose segments are in pages of their own, up to 4096; 0 for no such requests.
    pub indirect: u16,
}

/// An operation that goes on. It is given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u64);

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// The disk cannot do it after all.
    Unsupported,
}
