//! The back end's half of a ring: takes requests, writes responses.

use alloc::vec::Vec;

use xen_abi::io::ring::{REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};

use super::journal::Journal;
use super::{NoSlot, Protocol, RingError, Seen, Slots};
use crate::memory::SharedMemory;

/// The back end's half of a ring of protocol `P`.
///
/// It may end at any instruction. Whoever [resumes](Self::resume) the ring is given again, as they were, all requests
/// whose responses the front end was not shown, and those only.
pub struct BackRing<M, P: Protocol> {
    slots: Slots<M, P>,
    journal: Journal<P::Response>,
    requests: Seen,
    /// Responses that the front end is to be shown.
    waiting: Vec<P::Response>,
    /// Responses that it was shown.
    shown: u32,
    /// Those of them after which we looked whether it wants to know.
    pushed: u32,
}

impl<M: SharedMemory, P: Protocol> BackRing<M, P> {
    /// Begins with a ring that a front end made.
    ///
    /// # Errors
    /// The pages have a wrong size, or the front end says that it made more requests than there is room for.
    pub fn attach(memory: M) -> Result<Self, RingError> {
        let mut ring = Self::at_first_unanswered(memory)?;
        ring.journal.clear(&ring.slots.memory);
        ring.look()?;
        Ok(ring)
    }

    /// Goes on with a ring of a back end that is no more. The front end is to be notified once: the last one may have
    /// ended before it did so.
    ///
    /// # Errors
    /// As of [`attach`](Self::attach).
    pub fn resume(memory: M) -> Result<Self, RingError> {
        let mut ring = Self::at_first_unanswered(memory)?;
        ring.look()?;
        let asked = ring.requests.produced.wrapping_sub(ring.shown);
        ring.waiting = ring.journal.read(&ring.slots.memory, ring.shown, asked).collect();
        ring.requests = Seen::new(ring.made());
        ring.cover();
        ring.pushed = ring.shown;
        ring.look()?;
        Ok(ring)
    }

    fn at_first_unanswered(memory: M) -> Result<Self, RingError> {
        let slots = Slots::new(memory)?;
        let size = slots.memory.size();
        let journal = Journal::behind(slots.end(), &slots.memory).ok_or(RingError::Size { size })?;
        let shown = slots.memory.load(RSP_PROD);
        Ok(Self { slots, journal, requests: Seen::new(shown), waiting: Vec::new(), shown, pushed: shown })
    }

    /// How many slots there are.
    pub const fn slots(&self) -> u32 {
        self.slots.count
    }

    /// How many requests have been taken and not been answered.
    pub const fn unanswered(&self) -> u32 {
        self.requests.taken.wrapping_sub(self.made())
    }

    const fn made(&self) -> u32 {
        self.shown.wrapping_add(self.waiting.len() as u32)
    }

    /// The next request, copied out.
    ///
    /// The front end's index is looked at when all that it showed last time have been taken, so a batch costs one look.
    ///
    /// # Errors
    /// The front end's index cannot be true. From then on there is nothing but this error.
    pub fn take(&mut self) -> Result<Option<P::Request>, RingError> {
        if self.requests.produced == self.requests.taken {
            self.look()?;
        }
        Ok(self.requests.next().map(|index| self.slots.read(index)))
    }

    /// Answers the requests that were taken first of those not answered; [`push`](Self::push) shows it. These responses
    /// are shown all at once, unless they are more than fit behind the slots, which those of a packet never are.
    ///
    /// # Errors
    /// Not as many requests were taken that have no response.
    pub fn respond(&mut self, responses: &[P::Response]) -> Result<(), NoSlot> {
        if responses.len() > self.unanswered() as usize {
            return Err(NoSlot);
        }
        for row in responses.chunks(self.journal.most) {
            if self.waiting.len() + row.len() > self.journal.most {
                self.cover();
            }
            self.waiting.extend_from_slice(row);
        }
        Ok(())
    }

    /// Writes the responses over their requests, and shows them.
    fn cover(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.journal.write(&self.slots.memory, self.shown, &self.waiting);
        for response in self.waiting.drain(..) {
            self.slots.write(self.shown, &response);
            self.shown = self.shown.wrapping_add(1);
        }
        self.slots.memory.store(RSP_PROD, self.shown);
    }

    /// Shows the front end all responses. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.cover();
        let old = core::mem::replace(&mut self.pushed, self.shown);
        self.slots.is_awaited(RSP_EVENT, old, self.shown)
    }

    /// Asks to be notified of the next request, and says whether there is one by now, so that nobody may sleep.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub fn wait(&mut self) -> Result<bool, RingError> {
        if self.look()? {
            return Ok(true);
        }
        self.slots.memory.store(REQ_EVENT, self.requests.taken.wrapping_add(1));
        self.slots.memory.fence();
        self.look()
    }

    fn look(&mut self) -> Result<bool, RingError> {
        let producer = self.slots.memory.load(REQ_PROD);
        self.requests.look(producer, self.shown.wrapping_add(self.slots.count))
    }
}
