//! Rings of events in a page: a direction of a frame buffer's, a keyboard's, a sound stream's.
//!
//! Nobody answers an event, so there are two indices, which run free through 32 bits, and slots of one size. How many is
//! what fits, which need not be a power of two. An index of ours is kept here; the peer's is looked at once each time,
//! and one that cannot be true ends the ring for good.
//!
//! Sources: `public/io/fbif.h`, `public/io/kbdif.h`, `public/io/sndif.h`.

use core::fmt;
use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memory::SharedMemory;

/// Where the parts of a ring are in its page, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slots.
    pub slots: usize,
    /// How many slots there are.
    pub count: u32,
    /// The reader's index.
    pub consumer: usize,
    /// The writer's index.
    pub producer: usize,
}

/// The indices say that there are more events than slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError {
    /// The writer's index.
    pub producer: u32,
    /// The reader's index.
    pub consumer: u32,
    /// How many slots there are.
    pub count: u32,
}

impl fmt::Display for EventError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer, consumer, count } = self;
        write!(out, "ring of {count} events: producer index {producer:#x} does not fit consumer index {consumer:#x}")
    }
}

/// A page, where the ring is in it, and what went wrong.
struct Slots<M, E> {
    memory: M,
    place: Place,
    broken: Option<EventError>,
    event: PhantomData<E>,
}

impl<M: SharedMemory, E> Slots<M, E> {
    const fn new(memory: M, place: Place) -> Self {
        Self { memory, place, broken: None, event: PhantomData }
    }

    /// How many events are in the ring.
    fn used(&mut self, producer: u32, consumer: u32) -> Result<u32, EventError> {
        let (used, count) = (producer.wrapping_sub(consumer), self.place.count);
        if used > count {
            self.broken = self.broken.or(Some(EventError { producer, consumer, count }));
        }
        self.broken.map_or(Ok(used), Err)
    }

    const fn offset(&self, index: u32) -> usize {
        self.place.slots + (index % self.place.count) as usize * size_of::<E>()
    }
}

/// The end that takes events.
pub struct EventReader<M, E> {
    slots: Slots<M, E>,
    taken: u32,
}

impl<M: SharedMemory, E: FromBytes + IntoBytes> EventReader<M, E> {
    /// Goes on where the page says that its reader was.
    pub fn attach(memory: M, place: Place) -> Self {
        let taken = memory.load(place.consumer);
        Self { slots: Slots::new(memory, place), taken }
    }

    /// The next event, copied out once. [`show`](Self::show) tells the page that there is room.
    ///
    /// # Errors
    /// The writer's index cannot be true. From then on there is nothing but this error.
    pub fn take(&mut self) -> Result<Option<E>, EventError> {
        let producer = self.slots.memory.load(self.slots.place.producer);
        if self.slots.used(producer, self.taken)? == 0 {
            return Ok(None);
        }
        let mut event = E::new_zeroed();
        self.slots.memory.read(self.slots.offset(self.taken), event.as_mut_bytes());
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(event))
    }

    /// Tells the page what was taken. Afterwards the writer is to be notified, which may wait for room.
    pub fn show(&mut self) {
        self.slots.memory.store(self.slots.place.consumer, self.taken);
    }
}

/// The end that puts events.
pub struct EventWriter<M, E> {
    slots: Slots<M, E>,
    put: u32,
}

impl<M: SharedMemory, E: FromBytes + IntoBytes + Immutable> EventWriter<M, E> {
    /// Goes on where the page says that its writer was.
    pub fn attach(memory: M, place: Place) -> Self {
        let put = memory.load(place.producer);
        Self { slots: Slots::new(memory, place), put }
    }

    /// How many events were put since the ring was made, modulo 2^32.
    pub const fn index(&self) -> u32 {
        self.put
    }

    /// The event that was put last, as it stands in the page, unless none ever was.
    pub fn last(&self) -> Option<E> {
        let index = self.put.checked_sub(1)?;
        let mut event = E::new_zeroed();
        self.slots.memory.read(self.slots.offset(index), event.as_mut_bytes());
        Some(event)
    }

    /// Puts an event and shows it, if there is room; whether there was. If so, the reader is to be notified.
    ///
    /// # Errors
    /// The reader's index cannot be true. From then on there is nothing but this error.
    pub fn put(&mut self, event: &E) -> Result<bool, EventError> {
        let consumer = self.slots.memory.load(self.slots.place.consumer);
        if self.slots.used(self.put, consumer)? == self.slots.place.count {
            return Ok(false);
        }
        self.slots.memory.write(self.slots.offset(self.put), event.as_bytes());
        self.put = self.put.wrapping_add(1);
        self.slots.memory.store(self.slots.place.producer, self.put);
        Ok(true)
    }
}
