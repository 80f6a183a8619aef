//! The front end's half of a ring: writes requests, takes responses.

use xen_abi::io::ring::{REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SLOTS};

use super::{NoSlot, Protocol, RingError, Seen, Slots};
use crate::memory::SharedMemory;

/// The front end's half of a ring of protocol `P`.
pub struct FrontRing<M, P> {
    slots: Slots<M, P>,
    responses: Seen,
    /// Requests written.
    made: u32,
    /// Requests that the back end was shown.
    pushed: u32,
}

impl<M: SharedMemory, P: Protocol> FrontRing<M, P> {
    /// Makes an empty ring, before the pages are granted to the back end.
    ///
    /// # Errors
    /// The pages have a wrong size.
    pub fn create(memory: M) -> Result<Self, RingError> {
        Self::create_at(memory, 0)
    }

    /// Makes an empty ring whose indices begin at `index`, which a back end cannot tell from one that has been in use.
    ///
    /// # Errors
    /// As of [`create`](Self::create).
    pub fn create_at(memory: M, index: u32) -> Result<Self, RingError> {
        let slots = Slots::new(memory)?;
        slots.memory.write(0, &[0; SLOTS]);
        for (offset, value) in [
            (REQ_PROD, index),
            (RSP_PROD, index),
            (REQ_EVENT, index.wrapping_add(1)),
            (RSP_EVENT, index.wrapping_add(1)),
        ] {
            slots.memory.store(offset, value);
        }
        Ok(Self { slots, responses: Seen::new(index), made: index, pushed: index })
    }

    /// How many slots there are.
    pub const fn slots(&self) -> u32 {
        self.slots.count
    }

    /// How many requests there is room for.
    pub const fn free(&self) -> u32 {
        self.slots.count - self.made.wrapping_sub(self.responses.taken)
    }

    /// Writes a request; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// The ring is full.
    pub fn put(&mut self, request: &P::Request) -> Result<(), NoSlot> {
        if self.free() == 0 {
            return Err(NoSlot);
        }
        self.slots.write(self.made, request);
        self.made = self.made.wrapping_add(1);
        Ok(())
    }

    /// Shows the back end all requests written. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        let old = core::mem::replace(&mut self.pushed, self.made);
        self.slots.memory.store(REQ_PROD, self.made);
        self.slots.is_awaited(REQ_EVENT, old, self.made)
    }

    /// The next response, copied out.
    ///
    /// # Errors
    /// The back end says that it answered more than it was asked. From then on there is nothing but this error.
    pub fn take(&mut self) -> Result<Option<P::Response>, RingError> {
        if self.responses.produced == self.responses.taken {
            self.look()?;
        }
        Ok(self.responses.next().map(|index| self.slots.read(index)))
    }

    /// Asks to be notified of the next response, and says whether there is one by now, so that nobody may sleep.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub fn wait(&mut self) -> Result<bool, RingError> {
        if self.look()? {
            return Ok(true);
        }
        self.slots.memory.store(RSP_EVENT, self.responses.taken.wrapping_add(1));
        self.slots.memory.fence();
        self.look()
    }

    fn look(&mut self) -> Result<bool, RingError> {
        let producer = self.slots.memory.load(RSP_PROD);
        self.responses.look(producer, self.pushed)
    }
}
