//! The back end's half of one queue of a disk.

use xen_abi::io::blkif::{
    BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR, BLKIF_RSP_OKAY, Request, Response,
};

use super::request::{Checked, answered, check, look};
use super::{Blkif, Disk, Kind, Operation, Outcome, Segments, Tag};
use crate::memory::SharedMemory;
use crate::order::Order;
use crate::ring::{BackRing, RingError};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Do this, then [`Back::complete`].
    Operate(Tag, Operation),
    /// Copy these pages out once, then [`Back::look`]; or, where that cannot be, [`Back::complete`].
    Look(Tag, Segments),
}

/// This operation does not go on: it was given back already, or was never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag;

/// A request that is not answered.
struct Flight {
    id: u64,
    operation: u8,
    /// Its segments, as long as they have not been looked at.
    segments: Option<Segments>,
}

/// The back end's half of one queue.
pub struct Back<M> {
    ring: BackRing<M, Blkif>,
    disk: Disk,
    flights: Order<Flight, Outcome>,
    /// A barrier that waits until all before it is done.
    held: Option<(Request, Operation)>,
}

impl<M: SharedMemory> Back<M> {
    /// Begins with a ring that a front end made; see [`BackRing::attach`].
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn attach(memory: M, disk: Disk) -> Result<Self, RingError> {
        BackRing::attach(memory).map(|ring| Self::new(ring, disk))
    }

    /// Goes on with a ring of a back end that is no more; see [`BackRing::resume`]. What it did not answer comes again.
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn resume(memory: M, disk: Disk) -> Result<Self, RingError> {
        BackRing::resume(memory).map(|ring| Self::new(ring, disk))
    }

    const fn new(ring: BackRing<M, Blkif>, disk: Disk) -> Self {
        Self { ring, disk, flights: Order::new(), held: None }
    }

    /// How many operations go on.
    pub const fn in_flight(&self) -> usize {
        self.flights.in_flight()
    }

    /// What is to be done next, if there is anything. Requests that do not hold are answered on the way, a round of the
    /// ring at most; [`push`](Self::push) when there is nothing more, then [`wait`](Self::wait).
    ///
    /// # Errors
    /// The front end's index cannot be true: the device is to be disconnected.
    pub fn take(&mut self) -> Result<Option<Todo>, RingError> {
        // A barrier goes on alone: nothing is begun until it is done.
        if self.has_barrier() {
            return Ok(None);
        }
        if let Some((request, operation)) = self.held.take() {
            return Ok(self.barrier(request, operation));
        }
        // A front end that fills the ring as fast as it is refused gets no more than a round.
        for _ in 0..self.ring.slots() {
            let Some(request) = self.ring.take()? else { return Ok(None) };
            match check(&request, &self.disk) {
                Err(outcome) => {
                    self.begin(&request, None, Some(outcome));
                    self.answer();
                }
                Ok(Checked::Whole(operation)) if operation.kind == Kind::Barrier => {
                    return Ok(self.barrier(request, operation));
                }
                Ok(Checked::Whole(operation)) => {
                    return Ok(Some(Todo::Operate(self.begin(&request, None, None), operation)));
                }
                Ok(Checked::Segments(segments)) => {
                    let tag = self.begin(&request, Some(segments.clone()), None);
                    return Ok(Some(Todo::Look(tag, segments)));
                }
            }
        }
        Ok(None)
    }

    /// A barrier goes on, alone.
    fn has_barrier(&self) -> bool {
        self.flights.last().is_some_and(|flight| flight.operation == BLKIF_OP_WRITE_BARRIER)
    }

    fn barrier(&mut self, request: Request, operation: Operation) -> Option<Todo> {
        if self.in_flight() > 0 {
            self.held = Some((request, operation));
            return None;
        }
        Some(Todo::Operate(self.begin(&request, None, None), operation))
    }

    fn begin(&mut self, request: &Request, segments: Option<Segments>, outcome: Option<Outcome>) -> Tag {
        let (id, operation) = (request.id, answered(request));
        Tag(self.flights.begin(Flight { id, operation, segments }, outcome))
    }

    /// The segments of a [`Todo::Look`] are there: [`Segments::bytes`] bytes. The operation, which has the same tag;
    /// `None` if the request is refused, which is completed already.
    ///
    /// # Errors
    /// No such tag waits for segments.
    pub fn look(&mut self, tag: Tag, bytes: &[u8]) -> Result<Option<Operation>, UnknownTag> {
        let segments = self.flights.get(tag.0).and_then(|flight| flight.segments.take()).ok_or(UnknownTag)?;
        match look(&segments, bytes, &self.disk) {
            Ok(operation) => Ok(Some(operation)),
            Err(outcome) => self.complete(tag, outcome).map(|()| None),
        }
    }

    /// An operation is over. Its request is answered when all before it are; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// No such operation goes on.
    pub fn complete(&mut self, tag: Tag, outcome: Outcome) -> Result<(), UnknownTag> {
        self.flights.end(tag.0, outcome).ok_or(UnknownTag)?;
        self.answer();
        Ok(())
    }

    /// Answers the requests before the first that has no outcome.
    fn answer(&mut self) {
        while let Some((Flight { id, operation, .. }, outcome)) = self.flights.next() {
            let status = match outcome {
                Outcome::Done => BLKIF_RSP_OKAY,
                Outcome::Unsupported => BLKIF_RSP_EOPNOTSUPP,
                Outcome::Failed => BLKIF_RSP_ERROR,
            };
            // Each request was taken from the ring and is answered once, so there is a slot.
            let _ = self.ring.respond(&[Response { id, operation, status, ..Response::default() }]);
        }
    }

    /// Shows the front end all answers. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// Asks to be notified of the next request, and says whether [`take`](Self::take) is to be called at once.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub fn wait(&mut self) -> Result<bool, RingError> {
        // What waits for a barrier, or is one that waits, goes on when an operation is completed.
        let blocked = self.held.is_some() || self.has_barrier();
        Ok(self.ring.wait()? && !blocked)
    }
}
