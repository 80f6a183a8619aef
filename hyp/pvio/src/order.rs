//! What a back end has taken from a ring and not answered, in the order of the ring.
//!
//! Things are done in whatever order, but a response lies over a request, and a back end may end at any instruction. So
//! what is done waits until all before it is done: what the ring then has behind its responses is what is not answered.

use alloc::collections::VecDeque;

/// Things under way of type `T`, and what came of them.
pub(crate) struct Order<T, O> {
    flights: VecDeque<(T, Option<O>)>,
    /// The tag of the first of them; the others' follow.
    first: u64,
    /// How many of them nothing came of yet.
    going: usize,
}

impl<T, O> Order<T, O> {
    pub(crate) const fn new() -> Self {
        Self { flights: VecDeque::new(), first: 0, going: 0 }
    }

    /// Begins with something, which is over already if `outcome` says so; its tag.
    pub(crate) fn begin(&mut self, what: T, outcome: Option<O>) -> u64 {
        self.going += usize::from(outcome.is_none());
        self.flights.push_back((what, outcome));
        self.first.wrapping_add(self.flights.len() as u64 - 1)
    }

    fn flight(&mut self, tag: u64) -> Option<&mut (T, Option<O>)> {
        let at = usize::try_from(tag.wrapping_sub(self.first)).ok()?;
        self.flights.get_mut(at).filter(|(_, outcome)| outcome.is_none())
    }

    /// What has this tag, if it goes on.
    pub(crate) fn get(&mut self, tag: u64) -> Option<&mut T> {
        self.flight(tag).map(|(what, _)| what)
    }

    /// What came of the thing with this tag, if it goes on.
    pub(crate) fn end(&mut self, tag: u64, outcome: O) -> Option<()> {
        self.flight(tag)?.1 = Some(outcome);
        self.going -= 1;
        Some(())
    }

    /// The first of all, if it is over.
    pub(crate) fn next(&mut self) -> Option<(T, O)> {
        let (what, outcome) = self.flights.pop_front_if(|(_, outcome)| outcome.is_some())?;
        self.first = self.first.wrapping_add(1);
        outcome.map(|outcome| (what, outcome))
    }

    /// What was begun last, if it goes on.
    pub(crate) fn last(&self) -> Option<&T> {
        self.flights.back().filter(|(_, outcome)| outcome.is_none()).map(|(what, _)| what)
    }

    /// How many go on.
    pub(crate) const fn in_flight(&self) -> usize {
        self.going
    }
}
