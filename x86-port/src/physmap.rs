//! A domain's physical address space while it runs: RAM that comes and goes, pages of other domains and of the hypervisor.
//!
//! What may be where is decided in the core (`hyp_core::memory::physmap`); here it meets the processor.

use hyp_core::arch::{BadAddress, MapError, RamSize};
use hyp_core::memory::physmap::{Home, READ_ONLY, READ_WRITE};
use hyp_core::memory::radix::Error;

use crate::domain::{Lent, X86Domain};
use crate::layout::PAGE_SIZE;
use crate::nested::Nested;

/// What the core wants to know of an error.
fn map_error(error: Error) -> MapError {
    match error {
        Error::OutOfTables => MapError::NoTables,
        _ => MapError::Bad(BadAddress),
    }
}

const BAD: MapError = MapError::Bad(BadAddress);

fn address(frame: u64) -> Result<u64, MapError> {
    frame.checked_mul(PAGE_SIZE).ok_or(BAD)
}

impl X86Domain {
    /// Changes the second stage.
    #[inline(always)]
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Nested) -> T) -> T {
        change(&mut self.nested.lock())
    }

    /// What is at an address at the start.
    fn home(&self, ipa: u64) -> Option<Home> {
        self.memory.host(ipa)
    }

    /// Maps a page of the hypervisor's at a guest frame instead of what is there; where it was before, the guest finds its
    /// own memory again or nothing.
    pub(crate) fn map_lent(&self, lent: &Lent, frame: u64) -> Result<(), MapError> {
        let ipa = address(frame)?;
        self.change(|nested| {
            if lent.place().is_some_and(|(now, _)| now == frame) {
                return Ok(());
            }
            // Another page of ours may be there; it goes.
            self.lent_at(frame).into_iter().for_each(|other| self.take_lent(nested, other));
            let covers = nested.map.put(ipa, self.home(ipa), lent.pa(), READ_WRITE).map_err(map_error)?;
            self.take_lent(nested, lent);
            lent.set_place(Some((frame, covers)));
            Ok(())
        })
    }

    fn lent_at(&self, frame: u64) -> Option<&Lent> {
        self.lent().find(|lent| lent.place().is_some_and(|(place, _)| place == frame))
    }

    /// Takes a page of the hypervisor's out of the guest's memory, if it is there.
    pub(crate) fn take_lent(&self, nested: &mut Nested, lent: &Lent) {
        let Some((frame, covers)) = lent.place() else { return };
        let ipa = frame * PAGE_SIZE;
        // It is mapped, so its table is there, and taking it away cannot fail.
        let _ = nested.map.take_away(ipa, Some(lent.pa()), self.home(ipa), covers);
        lent.set_place(None);
    }

    /// Does a frame lead to the page that was there at the start?
    pub(crate) fn has_ram(&self, frame: u64) -> bool {
        let home = address(frame).ok().and_then(|ipa| Some((ipa, self.home(ipa)?)));
        home.is_some_and(|(ipa, home)| self.nested.lock().map.is_home(ipa, home))
    }

    /// How much RAM there is.
    pub(crate) fn ram_size(&self) -> RamSize {
        let pages = self.memory.extents.iter().map(|extent| extent.size / PAGE_SIZE).sum();
        let last = self.memory.extents.iter().map(|extent| (extent.guest + extent.size) / PAGE_SIZE).max();
        let given_up = self.nested.lock().map.absent();
        RamSize { pages, given_up, last_frame: last.unwrap_or(0).saturating_sub(1) }
    }

    /// Gives up RAM; the pages done.
    pub(crate) fn give_up_ram(&self, frame: u64, pages: u64) -> Result<u64, MapError> {
        let ipa = address(frame)?;
        let (home, len) = (self.home(ipa).ok_or(BAD)?, pages.saturating_mul(PAGE_SIZE));
        self.change(|nested| nested.map.give_up(ipa, home, len)).map(|done| done / PAGE_SIZE).map_err(map_error)
    }

    /// Takes it back; the pages done.
    pub(crate) fn take_back_ram(&self, frame: u64, pages: u64) -> Result<u64, MapError> {
        let ipa = address(frame)?;
        let (home, len) = (self.home(ipa).ok_or(BAD)?, pages.saturating_mul(PAGE_SIZE));
        self.change(|nested| nested.map.take_back(ipa, home, len)).map(|done| done / PAGE_SIZE).map_err(map_error)
    }

    /// Takes away what is at a frame, unless it is another domain's.
    pub(crate) fn unmap(&self, frame: u64) -> Result<(), MapError> {
        let ipa = address(frame)?;
        self.change(|nested| match self.lent_at(frame) {
            Some(lent) => {
                self.take_lent(nested, lent);
                Ok(())
            }
            None => {
                let home = self.home(ipa).ok_or(BAD)?;
                nested.map.give_up(ipa, home, PAGE_SIZE).map(|_| ()).map_err(map_error)
            }
        })
    }

    /// Maps a page of another domain's RAM; whether there is RAM under it.
    pub(crate) fn map_foreign(&self, frame: u64, owner: (&Self, u64), write: bool) -> Result<bool, MapError> {
        let ipa = address(frame)?;
        let (pa, _) = owner.0.home(address(owner.1)?).ok_or(BAD)?;
        let attributes = if write { READ_WRITE } else { READ_ONLY };
        self.change(|nested| nested.map.put(ipa, self.home(ipa), pa, attributes)).map_err(map_error)
    }

    /// Takes it away.
    pub(crate) fn unmap_foreign(&self, frame: u64, covers: bool) -> Result<(), MapError> {
        let ipa = address(frame)?;
        self.change(|nested| nested.map.take_away(ipa, None, self.home(ipa), covers)).map_err(map_error)
    }

    /// Lets it lead to the spare page.
    pub(crate) fn revoke_foreign(&self, frame: u64) -> Result<(), MapError> {
        let ipa = address(frame)?;
        let spare = self.spare.as_ptr() as u64;
        self.change(|nested| nested.map.replace(ipa, self.home(ipa), spare)).map_err(map_error)
    }
}
