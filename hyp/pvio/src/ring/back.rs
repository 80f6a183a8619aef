//! The back end's half of a ring: takes requests, writes responses.

use xen_abi::io::ring::{REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};

use super::{NoSlot, Protocol, RingError, Seen, Slots};
use crate::memory::SharedMemory;

/// The back end's half of a ring of protocol `P`.
pub struct BackRing<M, P> {
    slots: Slots<M, P>,
    requests: Seen,
    /// Responses written.
    made: u32,
    /// Responses that the front end was shown.
    pushed: u32,
}

impl<M: SharedMemory, P: Protocol> BackRing<M, P> {
    /// Begins with a ring that a front end made, at the first request that has no response: all of them for a new ring,
    /// those that a back end left which is no more.
    ///
    /// # Errors
    /// The pages have a wrong size, or the front end says that it made more requests than there is room for.
    pub fn attach(memory: M) -> Result<Self, RingError> {
        let slots = Slots::new(memory)?;
        let answered = slots.memory.load(RSP_PROD);
        let mut ring = Self { slots, requests: Seen::new(answered), made: answered, pushed: answered };
        ring.look()?;
        Ok(ring)
    }

    /// How many slots there are.
    pub const fn slots(&self) -> u32 {
        self.slots.count
    }

    /// How many requests have been taken and not been answered.
    pub const fn unanswered(&self) -> u32 {
        self.requests.taken.wrapping_sub(self.made)
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

    /// Writes a response to one of the requests taken, in any order; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// All requests that were taken have their response.
    pub fn respond(&mut self, response: &P::Response) -> Result<(), NoSlot> {
        if self.unanswered() == 0 {
            return Err(NoSlot);
        }
        self.slots.write(self.made, response);
        self.made = self.made.wrapping_add(1);
        Ok(())
    }

    /// Shows the front end all responses written. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        let old = core::mem::replace(&mut self.pushed, self.made);
        self.slots.publish(RSP_PROD, RSP_EVENT, old, self.made)
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
        self.requests.look(producer, self.made.wrapping_add(self.slots.count))
    }
}
