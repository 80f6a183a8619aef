//! Locks, with their order.
//!
//! Ticket locks, so that no CPU starves; interrupts are masked wherever they are held. Locks are taken in one written
//! order, [`rank`], and two of the same rank by rising number, else two CPUs could wait for each other for ever. A debug
//! build checks this for each CPU: [`Held`] remembers the highest rank that the CPU holds.

use core::cell::Cell;
use core::ops::{Deref, DerefMut};

use spin::RelaxStrategy;
use spin::mutex::{TicketMutex, TicketMutexGuard};

/// The order in which locks are taken: lower ones first. Part of a lock's type, so that a table of locks is all zeros and
/// costs nothing in the image.
pub mod rank {
    /// Access rules.
    pub const POLICY: u8 = 1;
    /// A domain's life.
    pub const DOMAIN: u8 = 2;
    /// A domain's memory map.
    pub const MEMORY: u8 = 3;
    /// Grant tables.
    pub const GRANT: u8 = 4;
    /// Event channels.
    pub const EVENT: u8 = 5;
    /// Queues of events.
    pub const QUEUE: u8 = 6;
    /// The console.
    pub const CONSOLE: u8 = 7;
}

/// What one CPU holds. There is one for each CPU, and it never leaves it.
#[derive(Debug, Default)]
pub struct Held(Cell<u16>);

impl Held {
    /// Nothing held.
    pub const fn new() -> Self {
        Self(Cell::new(0))
    }
}

/// Data behind a ticket lock of a known rank.
pub struct Lock<T, R, const RANK: u8> {
    inner: TicketMutex<T, R>,
}

impl<T, R: RelaxStrategy, const RANK: u8> Lock<T, R, RANK> {
    /// An open lock.
    pub const fn new(data: T) -> Self {
        Self { inner: TicketMutex::new(data) }
    }

    /// Waits for the lock. `number` orders it among the locks of its rank: it is the index of whose it is.
    #[inline]
    pub fn lock<'l>(&'l self, held: &'l Held, number: usize) -> Guard<'l, T, R> {
        let before = held.0.get();
        if cfg!(debug_assertions) {
            let place = (RANK as u16) << 8 | number as u16 & 0xff;
            assert!(before < place, "lock {place:#x} taken while {before:#x} is held");
            held.0.set(place);
        }
        Guard { inner: self.inner.lock(), held, before }
    }
}

/// The data, as long as the lock is held.
pub struct Guard<'l, T, R: RelaxStrategy> {
    inner: TicketMutexGuard<'l, T, R>,
    held: &'l Held,
    before: u16,
}

impl<T, R: RelaxStrategy> Deref for Guard<'_, T, R> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T, R: RelaxStrategy> DerefMut for Guard<'_, T, R> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T, R: RelaxStrategy> Drop for Guard<'_, T, R> {
    fn drop(&mut self) {
        // Guards of two locks may be dropped in either order; the mark falls only with the one that set it.
        if cfg!(debug_assertions) {
            self.held.0.set(self.held.0.get().min(self.before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Lock, rank};
    use spin::relax::Spin;

    type Domain<T> = Lock<T, Spin, { rank::DOMAIN }>;
    type Event<T> = Lock<T, Spin, { rank::EVENT }>;

    #[test]
    fn in_order() {
        let (domain, event) = (Domain::new(1), Event::new(2));
        let held = Held::new();
        for _ in 0..2 {
            let first = domain.lock(&held, 1);
            let second = event.lock(&held, 1);
            assert_eq!(*first + *second, 3);
        }
    }

    #[test]
    #[should_panic(expected = "taken while")]
    fn out_of_order() {
        let (domain, event) = (Domain::new(()), Event::new(()));
        let held = Held::new();
        let _event = event.lock(&held, 1);
        let _domain = domain.lock(&held, 1);
    }
}
