//! The front end's half of one queue of a disk, for our bare guests.

use alloc::vec::Vec;

use xen_abi::io::blkif::{
    BLKIF_DISCARD_SECURE, BLKIF_MAX_SEGMENTS_PER_REQUEST, BLKIF_OP_DISCARD, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_READ,
    BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_OKAY, Request, RequestDiscard,
    RequestSegment, Response,
};
use zerocopy::{FromZeros, IntoBytes};

use super::{Blkif, Kind, Operation, Outcome, SECTOR, Segment, Tag};
use crate::memory::SharedMemory;
use crate::ring::{FrontRing, RingError};

/// Why an operation cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The ring is full: take answers first.
    Full,
    /// It has more than 11 segments, or one that is no row of sectors within a page.
    Segments,
}

/// Why the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// An index cannot be true.
    Ring(RingError),
    /// The back end answered what it was not asked.
    Id(u64),
}

/// The front end's half of one queue.
pub struct Front<M> {
    ring: FrontRing<M, Blkif>,
    /// Numbers and operations of what is not answered, by slot.
    asked: Vec<Option<(u64, u8)>>,
    serial: u64,
}

impl<M: SharedMemory> Front<M> {
    /// Makes an empty ring, before its pages are granted to the back end.
    ///
    /// # Errors
    /// The pages have a wrong size.
    pub fn create(memory: M) -> Result<Self, RingError> {
        let ring = FrontRing::create(memory)?;
        let asked = (0..ring.slots()).map(|_| None).collect();
        Ok(Self { ring, asked, serial: 0 })
    }

    /// Asks for an operation; [`push`](Self::push) shows it. The answer has the tag returned.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn ask(&mut self, operation: &Operation) -> Result<Tag, AskError> {
        let slot = self.asked.iter().position(Option::is_none).ok_or(AskError::Full)?;
        let serial = self.serial + 1;
        // A slot's number in the low bits finds it again, the serial tells it from who had it before.
        let id = serial * self.asked.len() as u64 + slot as u64;
        let request = encode(operation, id)?;
        self.ring.put(&request).map_err(|_| AskError::Full)?;
        self.serial = serial;
        self.asked[slot] = Some((id, request.operation));
        Ok(Tag(id))
    }

    /// Shows the back end all that was asked. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// The next answer.
    ///
    /// # Errors
    /// The back end broke the protocol; the connection is over.
    pub fn take(&mut self) -> Result<Option<(Tag, Outcome)>, AnswerError> {
        let Some(Response { id, operation, status, .. }) = self.ring.take().map_err(AnswerError::Ring)? else {
            return Ok(None);
        };
        let slot = (id % self.asked.len() as u64) as usize;
        let asked = self.asked[slot].take_if(|asked| *asked == (id, operation));
        asked.ok_or(AnswerError::Id(id))?;
        let outcome = match status {
            BLKIF_RSP_OKAY => Outcome::Done,
            BLKIF_RSP_EOPNOTSUPP => Outcome::Unsupported,
            _ => Outcome::Failed,
        };
        Ok(Some((Tag(id), outcome)))
    }

    /// Asks to be notified of the next answer, and says whether there is one by now.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

fn encode(operation: &Operation, id: u64) -> Result<Request, AskError> {
    let Operation { kind, sector, segments } = operation;
    let code = match kind {
        Kind::Read => BLKIF_OP_READ,
        Kind::Write => BLKIF_OP_WRITE,
        Kind::Barrier => BLKIF_OP_WRITE_BARRIER,
        Kind::Flush => BLKIF_OP_FLUSH_DISKCACHE,
        Kind::Discard { sectors, secure } => {
            let flag = if *secure { BLKIF_DISCARD_SECURE } else { 0 };
            let discard = RequestDiscard {
                operation: BLKIF_OP_DISCARD,
                flag,
                id,
                sector_number: *sector,
                nr_sectors: *sectors,
                ..RequestDiscard::default()
            };
            let mut request = Request::new_zeroed();
            request.as_mut_bytes()[..size_of::<RequestDiscard>()].copy_from_slice(discard.as_bytes());
            return Ok(request);
        }
    };
    if segments.len() > BLKIF_MAX_SEGMENTS_PER_REQUEST {
        return Err(AskError::Segments);
    }
    let nr_segments = segments.len() as u8;
    let mut request = Request { operation: code, nr_segments, id, sector_number: *sector, ..Request::default() };
    for (place, segment) in request.seg.iter_mut().zip(segments) {
        *place = one(segment).ok_or(AskError::Segments)?;
    }
    Ok(request)
}

/// A segment as the ring has it.
fn one(segment: &Segment) -> Option<RequestSegment> {
    let (offset, length) = (u64::from(segment.offset), u64::from(segment.length));
    let (first, count) = (offset / SECTOR, length / SECTOR);
    let whole = offset % SECTOR == 0 && length % SECTOR == 0 && count > 0 && first + count <= 8;
    whole.then(|| RequestSegment {
        gref: segment.grant,
        first_sect: first as u8,
        last_sect: (first + count - 1) as u8,
        pad0: 0,
    })
}
