//! Rings of requests and responses.
//!
//! Front end and back end share pages with slots. The front end writes requests, the back end writes each response over
//! a slot whose request it has taken, and each publishes how far it has come by an index that runs free through 32 bits.
//! Each also says from which index on it wants to be notified, so that a busy pair sends no events at all.
//!
//! Source: `public/io/ring.h`. Our own indices are kept here and never read back from the page, a slot is copied out
//! once, and a peer's index that cannot be true ends the ring for good: what it would mean is not known.

mod back;
mod front;
mod journal;

use core::fmt;
use core::marker::PhantomData;

pub use back::BackRing;
pub use front::FrontRing;
use xen_abi::io::ring::SLOTS;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memory::SharedMemory;

/// What stands in the slots of a kind of device.
pub trait Protocol {
    /// What the front end writes.
    type Request: FromBytes + IntoBytes + Immutable;
    /// What the back end writes.
    type Response: FromBytes + IntoBytes + Immutable + Copy;
}

/// Why a ring cannot be used, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The pages have not one slot, or more slots than an index can count, or (for the back end) no room behind them.
    Size {
        /// Bytes of the pages.
        size: usize,
    },
    /// The peer's producer index is not between what we took and what there is room for.
    Producer {
        /// What it says.
        producer: u32,
        /// The least that it can be: what we took already.
        least: u32,
        /// The most that it can be.
        most: u32,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { size } => write!(out, "ring of {size} bytes: room for no slot, or for too many"),
            Self::Producer { producer, least, most } => {
                write!(out, "ring: the peer's producer index is {producer:#x}, which is not in {least:#x}..={most:#x}")
            }
        }
    }
}

/// The ring has no room for another request, or there is no request that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSlot;

/// The pages, and where the slots of this protocol are in them.
struct Slots<M, P> {
    memory: M,
    count: u32,
    protocol: PhantomData<P>,
}

impl<M: SharedMemory, P: Protocol> Slots<M, P> {
    /// Bytes of a slot: the C union of both.
    const SIZE: usize = {
        let (request, response) = (size_of::<P::Request>(), size_of::<P::Response>());
        let (a, b) = (align_of::<P::Request>(), align_of::<P::Response>());
        let (size, align) = (if request > response { request } else { response }, if a > b { a } else { b });
        size.next_multiple_of(align)
    };

    fn new(memory: M) -> Result<Self, RingError> {
        let size = memory.size();
        let fit = size.saturating_sub(SLOTS) / Self::SIZE;
        let count = fit.checked_ilog2().and_then(|log| 1_u32.checked_shl(log)).ok_or(RingError::Size { size })?;
        Ok(Self { memory, count, protocol: PhantomData })
    }

    /// Where the slot of this index is.
    fn offset(&self, index: u32) -> usize {
        SLOTS + (index & (self.count - 1)) as usize * Self::SIZE
    }

    /// Copies a slot out, once.
    fn read<T: FromBytes + IntoBytes>(&self, index: u32) -> T {
        let mut slot = T::new_zeroed();
        self.memory.read(self.offset(index), slot.as_mut_bytes());
        slot
    }

    fn write<T: IntoBytes + Immutable>(&self, index: u32, slot: &T) {
        self.memory.write(self.offset(index), slot.as_bytes());
    }

    /// Where the slots end.
    const fn end(&self) -> usize {
        SLOTS + self.count as usize * Self::SIZE
    }

    /// Whether the peer, which says so at `event`, wants to know that our index, which was published, went from `old` to
    /// `new`.
    fn is_awaited(&self, event: usize, old: u32, new: u32) -> bool {
        if old == new {
            return false;
        }
        // The peer stores its wish and then looks at our index again: one of both sees the other.
        self.memory.fence();
        let wish = self.memory.load(event);
        new.wrapping_sub(wish) < new.wrapping_sub(old)
    }
}

/// The peer's producer index, as far as it has been looked at.
struct Seen {
    /// What we took.
    taken: u32,
    /// What it said last.
    produced: u32,
    /// It said what cannot be true.
    broken: Option<RingError>,
}

impl Seen {
    const fn new(index: u32) -> Self {
        Self { taken: index, produced: index, broken: None }
    }

    /// Looks at the peer's index once and checks that it is not past `most`; whether there is something to take.
    fn look(&mut self, producer: u32, most: u32) -> Result<bool, RingError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let least = self.taken;
        if producer.wrapping_sub(least) > most.wrapping_sub(least) {
            let error = RingError::Producer { producer, least, most };
            self.broken = Some(error);
            return Err(error);
        }
        self.produced = producer;
        Ok(producer != self.taken)
    }

    /// The index of what is to be taken next without another look, and steps over it.
    fn next(&mut self) -> Option<u32> {
        let index = self.taken;
        if index == self.produced || self.broken.is_some() {
            return None;
        }
        self.taken = index.wrapping_add(1);
        Some(index)
    }
}
