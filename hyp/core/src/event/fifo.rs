//! The FIFO ABI: events as words in queues.
//!
//! Each port has a word in pages of the guest's, with its pending, masked and linked bits and the number of the port
//! behind it. Each vCPU has a queue for each of 16 priorities; its control block, also the guest's, says where they
//! begin and which are not empty. We put events in at the tail, the guest takes them out at the head, and both at the
//! same time. Layouts and rules are those of `public/event_channel.h`.
//!
//! All of these pages are the guest's to scribble on, so nothing that is read there leads anywhere: where a queue ends,
//! and in which one a port was put last, we keep here. What a guest can spoil is its own queues.

use core::cmp;
use core::sync::atomic::{AtomicU64, Ordering};

use xen_abi::errno::Errno;
use xen_abi::event_channel::{
    EVTCHN_FIFO_BUSY, EVTCHN_FIFO_LINK_MASK, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_MAX_QUEUES,
    EVTCHN_FIFO_PENDING, EVTCHN_FIFO_PRIORITY_DEFAULT, EVTCHN_FIFO_PRIORITY_MIN, FifoControlBlock,
};

use super::Port;
use super::two_level::{Delivery, Info};
use crate::arch::{Arch, Page};
use crate::domain::Domain;
use crate::limits::{MAX_PORTS, MAX_VCPUS_PER_DOMAIN};

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;

const PAGE_BITS: u32 = 12;
const PAGE_SIZE: u64 = 1 << PAGE_BITS;
/// Event words of a page.
const WORDS: usize = 1024;
/// Pages of words, for all ports that there can be.
const PAGES: usize = MAX_PORTS.div_ceil(WORDS);
/// A place is never 0, so that a table without places is all zeros: bit 0 says that there is one.
const PLACED: u64 = 1;
/// Attempts to change a link before the guest is asked to keep its hands off the word, and in all. A guest that does
/// what it should changes a word a few times between two of its own looks at the queue.
const POLITE_TRIES: u32 = 3;
const TRIES: u32 = 64;

/// A queue: vCPU and priority.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Queue(u8);

impl Queue {
    const fn new(vcpu: u8, priority: u8) -> Self {
        Self(vcpu << 4 | priority & 15)
    }

    const fn vcpu(self) -> usize {
        (self.0 >> 4) as usize
    }

    const fn priority(self) -> u8 {
        self.0 & 15
    }
}

const _: () = assert!(MAX_VCPUS_PER_DOMAIN <= 16 && EVTCHN_FIFO_MAX_QUEUES == 16, "a queue is two halves of a byte");

/// What we keep of a port; of one that was never used, zeros.
#[derive(Clone, Copy)]
struct Route {
    /// Its priority, as the difference from the default one.
    priority: u8,
    /// The queue in which it was put last.
    last: Queue,
}

const FRESH: Route = Route { priority: 0, last: Queue(0) };

/// The ends of one vCPU's queues.
#[derive(Clone, Copy)]
struct Ends {
    /// Guest frame << 12 | offset | [`PLACED`] of the control block; 0 where there is none.
    control: u64,
    /// What the control block's heads are, as we wrote them.
    heads: [Port; EVTCHN_FIFO_MAX_QUEUES],
    /// The port that was put in last; 0 where the queue is known to be empty.
    tails: [Port; EVTCHN_FIFO_MAX_QUEUES],
}

const NO_ENDS: Ends = Ends { control: 0, heads: [0; EVTCHN_FIFO_MAX_QUEUES], tails: [0; EVTCHN_FIFO_MAX_QUEUES] };

/// A domain's queues.
pub struct Fifo {
    /// The domain uses them.
    on: bool,
    /// Events of the time before are still being taken over.
    moving: bool,
    /// Guest frame << 12 | [`PLACED`] of each page of words; 0 where there is none yet.
    pages: [u64; PAGES],
    ends: [Ends; MAX_VCPUS_PER_DOMAIN],
    routes: [Route; MAX_PORTS],
    /// Events for ports whose words are not there yet, a bit for each.
    early: [u64; MAX_PORTS.div_ceil(64)],
}

impl Default for Fifo {
    fn default() -> Self {
        Self::new()
    }
}

/// A half of a 64-bit word that somebody else may change at any time.
#[derive(Clone, Copy)]
struct Half<'d> {
    word: &'d AtomicU64,
    shift: u32,
}

impl<'d> Half<'d> {
    /// Number `index` of the page's 32-bit words.
    fn of(page: &'d Page, index: usize) -> Option<Self> {
        Some(Self { word: page.get(index / 2)?, shift: (index % 2 * 32) as u32 })
    }

    fn load(self) -> u32 {
        (self.word.load(Ordering::Acquire) >> self.shift) as u32
    }

    /// Sets bits; returns what was there before.
    fn set(self, bits: u32) -> u32 {
        (self.word.fetch_or(u64::from(bits) << self.shift, Ordering::AcqRel) >> self.shift) as u32
    }

    /// Clears bits; returns what was there before.
    fn clear(self, bits: u32) -> u32 {
        (self.word.fetch_and(!(u64::from(bits) << self.shift), Ordering::AcqRel) >> self.shift) as u32
    }

    /// Puts `port` behind this event if that is still in a queue. `None` where the word never stood still.
    fn link(self, port: Port) -> Option<bool> {
        for attempt in 0..TRIES {
            if attempt == POLITE_TRIES {
                self.set(BUSY);
            }
            let all = self.word.load(Ordering::Acquire);
            let word = (all >> self.shift) as u32;
            if word & LINKED == 0 {
                self.clear(BUSY);
                return Some(false);
            }
            let linked = word & !(EVTCHN_FIFO_LINK_MASK | BUSY) | u32::from(port);
            let others = all & !(u64::from(u32::MAX) << self.shift);
            let new = others | u64::from(linked) << self.shift;
            if self.word.compare_exchange(all, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(true);
            }
        }
        self.clear(BUSY);
        None
    }
}

impl Fifo {
    /// Not in use.
    pub const fn new() -> Self {
        Self {
            on: false,
            moving: false,
            pages: [0; PAGES],
            ends: [NO_ENDS; MAX_VCPUS_PER_DOMAIN],
            routes: [FRESH; MAX_PORTS],
            early: [0; MAX_PORTS.div_ceil(64)],
        }
    }

    /// Whether the domain uses its queues.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Whether events of the time before are still being taken over.
    pub(super) fn is_moving(&self) -> bool {
        self.moving
    }

    /// Not in use any more.
    pub(super) fn reset(&mut self) {
        (self.on, self.moving, self.pages) = (false, false, [0; PAGES]);
        self.ends.fill(NO_ENDS);
        self.routes.fill(FRESH);
        self.early.fill(0);
    }

    /// Coded place of a control block at this offset of a guest frame.
    ///
    /// # Errors
    /// `EINVAL` where it would leave the frame or is not aligned to 8 bytes, or there cannot be such a frame.
    pub(crate) fn control_place(frame: u64, offset: u32) -> Result<u64, Errno> {
        let fits = u64::from(offset) <= PAGE_SIZE - size_of::<FifoControlBlock>() as u64;
        let good = fits && offset.is_multiple_of(8) && frame >> (64 - PAGE_BITS) == 0;
        if good { Ok(frame << PAGE_BITS | u64::from(offset) | PLACED) } else { Err(Errno::EINVAL) }
    }

    /// Notes where a vCPU has its control block. Returns whether that is the domain's first.
    ///
    /// # Errors
    /// `EINVAL` where it has one already.
    pub(super) fn set_control(&mut self, vcpu: u8, place: u64) -> Result<bool, Errno> {
        let ends = self.ends.get_mut(usize::from(vcpu)).ok_or(Errno::EINVAL)?;
        if ends.control != 0 {
            return Err(Errno::EINVAL);
        }
        ends.control = place;
        let first = !core::mem::replace(&mut self.on, true);
        self.moving |= first;
        Ok(first)
    }

    /// Takes over what was pending by the 2-level rules, and forgets it there.
    pub(super) fn take_over(&mut self, pending: &[AtomicU64]) {
        if !core::mem::replace(&mut self.moving, false) {
            // The domain has given its queues up meanwhile.
            return;
        }
        let words = self.early.iter_mut().zip(pending);
        words.for_each(|(early, word)| *early |= word.swap(0, Ordering::AcqRel));
    }

    /// Whether a page of words can be added.
    ///
    /// # Errors
    /// `EOPNOTSUPP` without any control block; `ENOSPC` when there are words for all ports.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        match self.pages.contains(&0) {
            _ if !self.on => Err(Errno::EOPNOTSUPP),
            true => Ok(()),
            false => Err(Errno::ENOSPC),
        }
    }

    /// Notes the next page of words.
    ///
    /// # Errors
    /// `ENOSPC` when there are words for all ports; `EINVAL` for a frame that there cannot be.
    pub(super) fn add_page(&mut self, frame: u64) -> Result<(), Errno> {
        let slot = self.pages.iter_mut().find(|place| **place == 0).ok_or(Errno::ENOSPC)?;
        if frame >> (64 - PAGE_BITS) != 0 {
            return Err(Errno::EINVAL);
        }
        *slot = frame << PAGE_BITS | PLACED;
        Ok(())
    }

    /// Takes the first event for a port from `from` on that came before the port's word did, now that it is there.
    pub(super) fn take_early(&mut self, from: Port) -> Option<Port> {
        let pages = self.pages.iter().filter(|place| **place != 0).count();
        let mut words = self.early.iter_mut().take(pages.saturating_mul(WORDS / 64)).enumerate();
        let wanted = |index: usize| match (from / 64).cmp(&(index as Port)) {
            cmp::Ordering::Less => u64::MAX,
            cmp::Ordering::Equal => u64::MAX << (from % 64),
            cmp::Ordering::Greater => 0,
        };
        let (index, word) = words.find(|(index, word)| **word & wanted(*index) != 0)?;
        let bit = (*word & wanted(index)).trailing_zeros();
        *word &= !(1 << bit);
        Some(index.saturating_mul(64).saturating_add(bit as usize) as Port)
    }

    /// Sets a port's priority, for its next event on.
    ///
    /// # Errors
    /// `ENOSYS` by the 2-level rules; `EINVAL` for a priority that there is not.
    pub(super) fn set_priority(&mut self, port: Port, priority: u32) -> Result<(), Errno> {
        if !self.on {
            return Err(Errno::ENOSYS);
        }
        if priority > EVTCHN_FIFO_PRIORITY_MIN {
            return Err(Errno::EINVAL);
        }
        let route = self.routes.get_mut(usize::from(port)).ok_or(Errno::EINVAL)?;
        route.priority = (priority ^ EVTCHN_FIFO_PRIORITY_DEFAULT) as u8;
        Ok(())
    }

    fn set_early(&mut self, port: Port, on: bool) {
        if let Some(word) = self.early.get_mut(usize::from(port / 64)) {
            let bit = 1 << (port % 64);
            *word = if on { *word | bit } else { *word & !bit };
        }
    }
}

/// Finds the `vcpu_info` of who is told of an event.
type Told<'i, 'd> = &'i dyn Fn() -> Option<Info<'d>>;

/// A domain's queues, locked, with the memory that they are in.
pub(super) struct Queues<'f, 'd, A: Arch> {
    pub(super) fifo: &'f mut Fifo,
    pub(super) arch: &'f A,
    pub(super) domain: &'d Domain<A>,
}

impl<'d, A: Arch> Queues<'_, 'd, A> {
    fn page(&self, place: u64) -> Option<&'d Page> {
        let placed = place & PLACED != 0;
        placed.then(|| self.arch.guest_page(self.domain.arch(), place >> PAGE_BITS).ok()).flatten()
    }

    /// A port's word, where there is one.
    #[inline(never)]
    fn word(&self, port: Port) -> Option<Half<'d>> {
        let place = self.fifo.pages.get(usize::from(port) / WORDS)?;
        Half::of(self.page(*place)?, usize::from(port) % WORDS)
    }

    /// Makes a port pending, and puts it into a queue of `vcpu` unless it is masked or in a queue already. `info` is that
    /// vCPU's.
    #[inline(never)]
    pub(super) fn set_pending(&mut self, vcpu: u8, info: Told<'_, 'd>, port: Port) -> Delivery {
        let Some(word) = self.word(port) else {
            self.fifo.set_early(port, true);
            return Delivery::Merged;
        };
        let before = word.set(PENDING);
        if before & (MASKED | LINKED) == 0 && self.enqueue(vcpu, word, port) && info().is_some_and(|info| !info.mark())
        {
            return Delivery::Raised;
        }
        if before & PENDING != 0 { Delivery::Merged } else { Delivery::Noted }
    }

    /// Puts a port at the end of its queue. Returns whether the queue was not known to be ready.
    fn enqueue(&mut self, vcpu: u8, word: Half<'d>, port: Port) -> bool {
        self.try_enqueue(vcpu, word, port).unwrap_or(false)
    }

    #[inline(never)]
    fn try_enqueue(&mut self, vcpu: u8, word: Half<'d>, port: Port) -> Option<bool> {
        let route = *self.fifo.routes.get(usize::from(port))?;
        let queue = Queue::new(vcpu, route.priority ^ EVTCHN_FIFO_PRIORITY_DEFAULT as u8);
        let priority = usize::from(queue.priority());
        let Ends { control, tails, .. } = *self.fifo.ends.get(queue.vcpu())?;
        let page = self.page(control)?;
        let first = (control & (PAGE_SIZE - 1)) as usize / 8;
        if word.set(LINKED) & LINKED != 0 {
            return None;
        }
        // If it was the last one of another queue, nothing may be put behind it there any more.
        let before = self.fifo.ends.get_mut(route.last.vcpu())?.tails.get_mut(usize::from(route.last.priority()))?;
        if *before == port {
            *before = 0;
        }
        self.fifo.routes.get_mut(usize::from(port))?.last = queue;
        // Its own tail: the word seems linked, because we have just said so.
        let tail = Some(*tails.get(priority)?).filter(|tail| *tail != 0 && *tail != port);
        let behind = tail.and_then(|tail| self.word(tail)).map_or(Some(false), |tail| tail.link(port));
        let Some(behind) = behind else {
            // The guest would not let go of the word; its next event tries again.
            word.clear(LINKED);
            return None;
        };
        let ends = self.fifo.ends.get_mut(queue.vcpu())?;
        *ends.tails.get_mut(priority)? = port;
        if behind {
            return Some(false);
        }
        *ends.heads.get_mut(priority)? = port;
        // Two heads share a word. Only we write heads, so that the other one is what we wrote last.
        let pair = ends.heads.as_chunks::<2>().0.get(priority / 2)?;
        let heads = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        page.get(first.saturating_add(1 + priority / 2))?.store(heads, Ordering::Release);
        let ready = Half { word: page.get(first)?, shift: 0 };
        Some(ready.set(1 << priority) >> priority & 1 == 0)
    }

    /// Is the port pending, masked or not?
    pub(super) fn is_pending(&self, port: Port) -> bool {
        self.word(port).is_some_and(|word| word.load() & PENDING != 0)
    }

    /// Is the port still in a queue, so that it cannot be given out anew?
    pub(super) fn is_linked(&self, port: Port) -> bool {
        self.word(port).is_some_and(|word| word.load() & LINKED != 0)
    }

    /// Forgets a port's events and priority, because it is closed. It stays in its queue until the guest takes it out.
    pub(super) fn close(&mut self, port: Port) {
        self.fifo.set_early(port, false);
        if let Some(word) = self.word(port) {
            word.clear(PENDING);
        }
        if let Some(route) = self.fifo.routes.get_mut(usize::from(port)) {
            route.priority = 0;
        }
    }

    /// Unmasks a port; what was pending is delivered now.
    pub(super) fn unmask(&mut self, vcpu: u8, info: Told<'_, 'd>, port: Port) -> Delivery {
        match self.word(port) {
            Some(word) if word.clear(MASKED) & PENDING != 0 => self.set_pending(vcpu, info, port),
            _ => Delivery::Noted,
        }
    }
}
