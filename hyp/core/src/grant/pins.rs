//! The entries of a domain's grant table that somebody uses.
//!
//! The rules are Xen's for tables of version 1: an entry permits one domain; the hypervisor sets `GTF_reading` while
//! that domain may read the page and `GTF_writing` while it may write it, and clears them with the last use of that
//! kind; who granted the page must not change the entry until then, and if it does, only its own bookkeeping suffers.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_abi::grant_table::{
    GNTST_BAD_DOMAIN, GNTST_BAD_GNTREF, GNTST_BAD_PAGE, GNTST_EAGAIN, GNTST_GENERAL_ERROR, GNTST_NO_SPACE,
    GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_SUB_PAGE, GTF_TYPE_MASK, GTF_WRITING,
};

use crate::domain::DomainId;
use crate::limits::{GRANT_FRAMES, MAX_PINS};

/// Entries on one page of a table.
pub const ENTRIES: u32 = 512;
/// Pages that a table has from the start. Linux counts its own tables in pairs of them and does not survive a single one.
pub const FIRST_FRAMES: u8 = 2;
/// How often an entry may change under our hands before we give up.
const TRIES: u32 = 256;
/// Chains by which a pin is found.
const CHAINS: usize = 256;

/// What is wanted of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The page is going to be read.
    Read,
    /// It is going to be read and written.
    Write,
}

/// Number of a pin, from 1.
pub type PinId = u8;

/// An entry that is in use.
#[derive(Clone, Copy)]
struct Pin {
    /// The guest frame that it named when its use began.
    frame: u32,
    reference: u16,
    readers: u16,
    writers: u16,
    /// Number of the domain that uses it.
    user: u16,
    /// The next pin of its chain, or of those that are free; 0 is none.
    next: PinId,
}

/// Stands for a pin where a page is used without an entry.
const BORROWED: PinId = 0;

const UNUSED: Pin = Pin { frame: 0, reference: 0, readers: 0, writers: 0, user: 0, next: 0 };

/// One domain's table, as far as it is in use. The tables come last, so that the rest is within reach of an instruction's
/// offset.
#[repr(C)]
pub struct Pins {
    /// The first of those that were used and are free.
    free: PinId,
    /// How many have ever been used.
    fresh: PinId,
    used: u8,
    /// Pages beyond [`FIRST_FRAMES`] that the table has.
    more_frames: u8,
    /// The domain ends: nothing new is given.
    closing: bool,
    chains: [PinId; CHAINS],
    pins: [Pin; MAX_PINS],
}

impl Default for Pins {
    fn default() -> Self {
        Self::new()
    }
}

impl Pins {
    /// Nothing in use.
    pub const fn new() -> Self {
        Self {
            pins: [UNUSED; MAX_PINS],
            chains: [0; CHAINS],
            free: 0,
            fresh: 0,
            used: 0,
            more_frames: 0,
            closing: false,
        }
    }

    /// How many pages the table has.
    pub fn frames(&self) -> u8 {
        FIRST_FRAMES.wrapping_add(self.more_frames)
    }

    /// Lets the table have so many pages at least. Returns whether it may.
    pub fn grow(&mut self, frames: u64) -> bool {
        if frames > GRANT_FRAMES as u64 {
            return false;
        }
        self.more_frames = self.more_frames.max((frames as u8).saturating_sub(FIRST_FRAMES));
        true
    }

    /// How many entries are in use.
    pub fn used(&self) -> u8 {
        self.used
    }

    /// The domain ends: nothing new is given until [`Pins::reopen`].
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// The domain starts again, with a table as at its first start; nothing is in use.
    pub fn reopen(&mut self) {
        (self.closing, self.more_frames) = (false, 0);
    }

    /// Notes that somebody uses a page that no entry names. Returns what stands for a pin, to let go of it.
    ///
    /// # Errors
    /// `GNTST_BAD_DOMAIN` at the domain's end, `GNTST_NO_SPACE` with too many at a time.
    pub fn borrow(&mut self) -> Result<PinId, i16> {
        if self.closing {
            return Err(GNTST_BAD_DOMAIN);
        }
        self.used = self.used.checked_add(1).ok_or(GNTST_NO_SPACE)?;
        Ok(BORROWED)
    }

    /// Notes that `user` uses an entry, of which `word` gives the entry itself and `is_page` says whether a guest frame is a
    /// page of the granting domain. Returns the pin, by which to let go of it, and the guest frame.
    ///
    /// # Errors
    /// `GNTST_*`: there is no such entry, it does not permit this, it keeps changing, or the table of pins is full.
    pub fn pin<'w>(
        &mut self,
        word: impl FnOnce() -> Option<&'w AtomicU64>,
        reference: u32,
        user: DomainId,
        access: Access,
        is_page: impl FnOnce(u64) -> bool,
    ) -> Result<(PinId, u64), i16> {
        if self.closing {
            return Err(GNTST_BAD_DOMAIN);
        }
        let entries = u32::from(self.frames()).wrapping_mul(ENTRIES);
        let Some(word) = (if reference < entries { word() } else { None }) else { return Err(GNTST_BAD_GNTREF) };
        let reference = reference as u16;
        let found = self.find(reference);
        if let Some(id) = found
            && let Some(pin) = self.get_mut(id)
        {
            if pin.user != user.number() {
                return Err(GNTST_GENERAL_ERROR);
            }
            if access == Access::Write && pin.writers == 0 {
                mark(word, user, access)?;
            }
            let count = if access == Access::Write { &mut pin.writers } else { &mut pin.readers };
            *count = count.checked_add(1).ok_or(GNTST_GENERAL_ERROR)?;
            return Ok((id, pin.frame.into()));
        }
        let id = self.allocate().ok_or(GNTST_NO_SPACE)?;
        let marked = mark(word, user, access).and_then(|frame| {
            if is_page(u64::from(frame)) {
                return Ok(frame);
            }
            unmark(word, GTF_READING | GTF_WRITING);
            Err(GNTST_BAD_PAGE)
        });
        let frame = match marked {
            Ok(frame) => frame,
            Err(status) => {
                self.release(id);
                return Err(status);
            }
        };
        let writers = u16::from(access == Access::Write);
        let next = self.chain(reference).map_or(0, |chain| core::mem::replace(chain, id));
        if let Some(pin) = self.get_mut(id) {
            *pin = Pin { frame, reference, readers: 1 - writers, writers, user: user.number(), next };
        }
        Ok((id, u64::from(frame)))
    }

    /// The entry of a pin, to be handed to [`Pins::unpin`].
    pub fn reference(&self, id: PinId) -> Option<u32> {
        Some(u32::from(self.get(id)?.reference))
    }

    /// The guest frame of a pin.
    pub fn frame(&self, id: PinId) -> Option<u64> {
        Some(u64::from(self.get(id)?.frame))
    }

    /// The use of an entry ends, for this access.
    pub fn unpin(&mut self, word: Option<&AtomicU64>, id: PinId, access: Access) {
        let Some(pin) = self.get_mut(id) else {
            self.used = self.used.saturating_sub(u8::from(id == BORROWED));
            return;
        };
        let count = if access == Access::Write { &mut pin.writers } else { &mut pin.readers };
        *count = count.saturating_sub(1);
        let Pin { readers, writers, reference, next, .. } = *pin;
        let mut flags = 0;
        if access == Access::Write && writers == 0 {
            flags |= GTF_WRITING;
        }
        if readers == 0 && writers == 0 {
            flags |= GTF_READING;
            self.unchain(reference, id, next);
            self.release(id);
        }
        if let (Some(word), true) = (word, flags != 0) {
            unmark(word, flags);
        }
    }

    /// Exchanges two entries of which neither is in use.
    ///
    /// # Errors
    /// `GNTST_*`: there is no such entry, or one is in use.
    pub fn swap(&self, a: (u32, Option<&AtomicU64>), b: (u32, Option<&AtomicU64>)) -> Result<(), i16> {
        let entries = u32::from(self.frames()).wrapping_mul(ENTRIES);
        let within = |(reference, word): (u32, Option<_>)| word.filter(|_| reference < entries).ok_or(GNTST_BAD_GNTREF);
        let (one, other): (&AtomicU64, &AtomicU64) = (within(a)?, within(b)?);
        if a.0 == b.0 {
            return Ok(());
        }
        if [a.0, b.0].into_iter().any(|reference| self.find(reference as u16).is_some()) {
            return Err(GNTST_EAGAIN);
        }
        // Nobody but the caller's own vCPUs can write there meanwhile.
        let first = one.load(Ordering::Relaxed);
        one.store(other.swap(first, Ordering::AcqRel), Ordering::Release);
        Ok(())
    }

    fn get(&self, id: PinId) -> Option<&Pin> {
        self.pins.get(usize::from(id).checked_sub(1)?)
    }

    fn get_mut(&mut self, id: PinId) -> Option<&mut Pin> {
        self.pins.get_mut(usize::from(id).checked_sub(1)?)
    }

    fn chain(&mut self, reference: u16) -> Option<&mut PinId> {
        self.chains.get_mut(usize::from(reference) % CHAINS)
    }

    /// A chain holds one entry of each [`CHAINS`] at most, and so is short.
    fn find(&self, reference: u16) -> Option<PinId> {
        let mut id = self.chains.get(usize::from(reference) % CHAINS).copied()?;
        for _ in 0..MAX_PINS {
            let pin = self.get(id)?;
            if pin.reference == reference {
                return Some(id);
            }
            id = pin.next;
        }
        None
    }

    fn unchain(&mut self, reference: u16, id: PinId, next: PinId) {
        let Some(chain) = self.chain(reference) else { return };
        if *chain == id {
            *chain = next;
            return;
        }
        let mut at = *chain;
        for _ in 0..MAX_PINS {
            let Some(pin) = self.get_mut(at) else { return };
            if pin.next == id {
                pin.next = next;
                return;
            }
            at = pin.next;
        }
    }

    fn allocate(&mut self) -> Option<PinId> {
        let id = if self.free != 0 {
            let id = self.free;
            self.free = self.get(id)?.next;
            id
        } else if usize::from(self.fresh) < MAX_PINS {
            self.fresh = self.fresh.saturating_add(1);
            self.fresh
        } else {
            return None;
        };
        self.used = self.used.wrapping_add(1);
        Some(id)
    }

    fn release(&mut self, id: PinId) {
        let next = core::mem::replace(&mut self.free, id);
        if let Some(pin) = self.get_mut(id) {
            *pin = Pin { next, ..UNUSED };
        }
        self.used = self.used.wrapping_sub(1);
    }
}

/// Checks an entry and marks it as used; the guest frame that it names. The guest may change it between the two steps;
/// then it is checked again.
fn mark(word: &AtomicU64, user: DomainId, access: Access) -> Result<u32, i16> {
    const USER: u32 = 16;
    let (readonly, mark) = match access {
        Access::Read => (0, GTF_READING),
        Access::Write => (GTF_READONLY, GTF_READING | GTF_WRITING),
    };
    let checked = u64::from(u16::MAX) << USER | u64::from(GTF_TYPE_MASK | GTF_SUB_PAGE | readonly);
    let permitted = u64::from(user.number()) << USER | u64::from(GTF_PERMIT_ACCESS);
    let mut entry = word.load(Ordering::Acquire);
    for _ in 0..TRIES {
        if entry & checked != permitted {
            break;
        }
        match word.compare_exchange(entry, entry | u64::from(mark), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok((entry >> 32) as u32),
            Err(now) => entry = now,
        }
    }
    Err(GNTST_GENERAL_ERROR)
}

fn unmark(word: &AtomicU64, flags: u16) {
    word.fetch_and(!u64::from(flags), Ordering::AcqRel);
}
