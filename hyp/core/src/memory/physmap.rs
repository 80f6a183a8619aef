//! A guest's physical address space: where its own memory is, and what else is put there.
//!
//! Each page of a guest's RAM has a *home*: the guest frame at which it was when the domain started. It is at home, or it
//! is absent, because the guest gave it up or has put something else there; it is never anywhere else. So the tables
//! themselves say what is absent, there is no list of pages, and nothing is kept inside a page that somebody could still
//! write to. A page that was given up stays the domain's own: whoever still reaches it, by a grant or by a copy that is
//! under way, reaches memory of that domain and nobody else's.
//!
//! Giving up a page splits the block around it, which takes a table from the domain's pool. When the pool is empty, a
//! table that is not needed any more is looked for: one that is empty, or a full one that a block can stand for.

use super::page::{Expected, NOWHERE};
use super::pool::{Pages, Pool};
use super::radix::{
    Access, Attributes, Error, Existing, Format, Invalidate, Mapping, MemoryType, PAGE_SIZE, Radix, Tables,
    Translation, span,
};

/// Full tables that are looked through for one that a block can stand for, before the pool counts as empty.
const LOOKS: u32 = 2;

/// How a page that is not the guest's own is mapped: never executed, as in Xen.
pub const READ_WRITE: Attributes = Attributes { access: Access::READ.union(Access::WRITE), memory: MemoryType::Normal };
/// The same, not to be written.
pub const READ_ONLY: Attributes = Attributes { access: Access::READ, memory: MemoryType::Normal };

/// A piece of a guest's RAM at home: where a guest-physical address is, and how many bytes follow it there.
pub type Home = (u64, u64);

/// One guest's physical address space.
pub struct Physmap<F, P> {
    tree: Radix<F>,
    pool: Pool<F, P>,
    /// Pages of RAM that were given up.
    absent: u64,
    /// Something is not as it was at the start.
    changed: bool,
}

impl<F: Format, P: Pages> Physmap<F, P> {
    /// An empty one, with these pages for its tables.
    pub fn new(pages: P, count: usize) -> Self {
        let pool = Pool::new(pages, count);
        Self { tree: Radix::new(pool.root()), pool, absent: 0, changed: false }
    }

    /// Physical address of the root table.
    pub fn root(&self) -> u64 {
        self.tree.root()
    }

    /// How many pages of its RAM the guest has given up.
    pub fn absent(&self) -> u64 {
        self.absent
    }

    /// How many tables there are.
    pub fn tables(&self) -> usize {
        self.pool.used()
    }

    /// Where an address leads.
    pub fn translate(&self, ipa: u64) -> Option<Translation> {
        self.tree.translate(&self.pool, ipa)
    }

    /// Is the guest's own page, whose home is this address, there?
    #[inline(always)]
    pub fn is_home(&self, ipa: u64, home: Home) -> bool {
        self.tree.page(&self.pool, ipa) == home.0
    }

    /// Puts RAM at home, or a device, where nothing is mapped. Takes as long as the range is large in blocks: for boot only.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn settle(&mut self, ipa: u64, pa: u64, len: u64, attributes: Attributes) -> Result<(), Error> {
        let mapping = Mapping { ipa, pa, len, attributes, existing: Existing::Refuse };
        self.tree.map(&mut self.pool, &mapping, u32::MAX).map(|_| ()).map_err(|failure| failure.error)
    }

    /// The guest gives up RAM from this address on, `len` bytes at most: a block at once where it is one, else a page.
    /// Returns the bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where its RAM is not at home, [`Error::OutOfTables`] where no table is left to split a block.
    pub fn give_up(&mut self, ipa: u64, home: Home, len: u64) -> Result<u64, Error> {
        let mut done = PAGE_SIZE;
        if len >= span(1) {
            done = self.give_up_block(ipa, home, len)?;
        } else {
            self.set(ipa, Expected::Is(home.0), F::EMPTY)?;
        }
        self.changed = true;
        self.absent = self.absent.saturating_add(done / PAGE_SIZE);
        Ok(done)
    }

    #[inline(never)]
    fn give_up_block(&mut self, ipa: u64, home: Home, len: u64) -> Result<u64, Error> {
        let now = self.translate(ipa).filter(|now| now.pa == home.0).ok_or(Error::Overlap(ipa))?;
        let block = span(now.height);
        if now.height == 0 || !ipa.is_multiple_of(block) || len < block {
            self.set(ipa, Expected::Is(home.0), F::EMPTY)?;
            return Ok(PAGE_SIZE);
        }
        let progress = self.tree.unmap(&mut self.pool, ipa, block, 1).map_err(|failure| failure.error)?;
        if let Invalidate::Range { start, end } = progress.invalidate {
            self.pool.invalidate(start, end - start);
        }
        Ok(block)
    }

    /// The guest gets RAM back that it gave up, from this address on, `len` bytes at most: a block at once where it can be
    /// one, else a page. Returns the bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where something is mapped, [`Error::OutOfTables`].
    pub fn take_back(&mut self, ipa: u64, home: Home, len: u64) -> Result<u64, Error> {
        let mut done = PAGE_SIZE;
        if len.min(home.1) >= span(1) && (ipa | home.0).is_multiple_of(span(1)) {
            done = self.take_back_block(ipa, home)?;
        } else {
            self.set(ipa, Expected::Is(NOWHERE), leaf::<F>(home.0, Attributes::RAM))?;
        }
        self.absent = self.absent.saturating_sub(done / PAGE_SIZE);
        Ok(done)
    }

    #[inline(never)]
    fn take_back_block(&mut self, ipa: u64, home: Home) -> Result<u64, Error> {
        let (pa, len) = (home.0, span(1));
        let mapping = Mapping { ipa, pa, len, attributes: Attributes::RAM, existing: Existing::Refuse };
        // One step: a block, or a page where there is a table already.
        self.map(&mapping, 1)
    }

    /// Maps a page that is not the guest's own where nothing is, or over its RAM; `home` is what is at home there.
    /// Returns whether there is RAM under it now.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where another page that is not the guest's own is mapped, or this is the page that is at home
    /// there, which could not be told from it; [`Error::OutOfTables`].
    #[inline(always)]
    pub fn put(&mut self, ipa: u64, home: Option<Home>, pa: u64, attributes: Attributes) -> Result<bool, Error> {
        let home = page_of(home);
        if pa == home {
            return Err(Error::Overlap(ipa));
        }
        let covered = self.set(ipa, Expected::NothingOr(home), leaf::<F>(pa, attributes))?;
        self.changed = true;
        Ok(covered != NOWHERE)
    }

    /// Takes such a page away again: this one, or with `None` whatever it is. `home` is what is at home there; it appears
    /// again if it was under the page.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where no such page is mapped.
    #[inline(always)]
    pub fn take_away(&mut self, ipa: u64, pa: Option<u64>, home: Option<Home>, covers: bool) -> Result<(), Error> {
        let home = page_of(home);
        let expected = pa.map_or(Expected::Other(home), Expected::Is);
        let to = if covers && home != NOWHERE { leaf::<F>(home, Attributes::RAM) } else { F::EMPTY };
        self.set(ipa, expected, to).map(|_| ())
    }

    /// Puts a page in the place of one that is not the guest's own.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where no such page is mapped.
    pub fn replace(&mut self, ipa: u64, home: Option<Home>, to: u64) -> Result<(), Error> {
        self.set(ipa, Expected::Other(page_of(home)), leaf::<F>(to, READ_WRITE)).map(|_| ())
    }

    /// Has something changed since the start, so that [`Physmap::restore`] is due?
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Brings RAM back home, `budget` entries at a time; nothing but RAM is mapped any more. Returns the bytes done from
    /// `ipa` on, less than `len` where there is more to do.
    pub fn restore(&mut self, ipa: u64, pa: u64, len: u64, budget: u32) -> u64 {
        let mapping = Mapping { ipa, pa, len, attributes: Attributes::RAM, existing: Existing::Replace };
        self.map(&mapping, budget).unwrap_or(PAGE_SIZE)
    }

    /// Ends a restoration: gives back the first table from number `from` on that is not needed any more. Returns from
    /// where to go on, `None` when that was the last.
    pub fn tidy(&mut self, from: usize) -> Option<usize> {
        let Some(spare) = self.pool.spare(from) else {
            (self.absent, self.changed) = (0, false);
            return None;
        };
        if spare.full {
            self.tree.fold(&mut self.pool, spare.ipa, spare.height);
        } else {
            self.tree.free_empty(&mut self.pool, spare.ipa);
        }
        Some(spare.number.saturating_add(1))
    }

    /// Changes one page.
    #[inline(never)]
    fn set(&mut self, ipa: u64, expected: Expected, to: u64) -> Result<u64, Error> {
        match self.pool.noted(ipa) {
            Some(table) => Radix::<F>::set_page(&mut self.pool, (table, ipa), expected, to),
            None => self.set_elsewhere(ipa, expected, to),
        }
    }

    /// The same where another table was used last, or none is there yet.
    #[inline(never)]
    fn set_elsewhere(&mut self, ipa: u64, expected: Expected, to: u64) -> Result<u64, Error> {
        let mut left = F::TOP;
        loop {
            match self.tree.page_table(&self.pool, ipa) {
                Ok(table) => {
                    self.pool.note(table);
                    return self.set(ipa, expected, to);
                }
                Err(Error::NeedsTable) => {}
                Err(error) => return Err(error),
            }
            match self.tree.prepare_page(&mut self.pool, ipa, expected, to) {
                Ok(true) => {}
                Ok(false) => return Ok(NOWHERE),
                Err(Error::OutOfTables) if self.find_tables(&mut left) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Maps a range; the bytes done.
    fn map(&mut self, mapping: &Mapping, budget: u32) -> Result<u64, Error> {
        let mut left = F::TOP;
        loop {
            match self.tree.map(&mut self.pool, mapping, budget) {
                Ok(progress) => return Ok(progress.done),
                Err(failure) if failure.progress.done > 0 => return Ok(failure.progress.done),
                Err(failure) if failure.error == Error::OutOfTables && self.find_tables(&mut left) => {}
                Err(failure) => return Err(failure.error),
            }
        }
    }

    /// There is no table left: gives one back that is not needed any more, as often as a change may miss one. Returns
    /// whether there was one.
    #[cold]
    fn find_tables(&mut self, left: &mut u8) -> bool {
        let again = *left > 0;
        *left = left.saturating_sub(1);
        again && reclaim(&self.tree, &mut self.pool)
    }
}

/// Where a page is at home, if it is anywhere.
#[inline(always)]
fn page_of(home: Option<Home>) -> u64 {
    home.map_or(NOWHERE, |home| home.0)
}

/// An entry that leads to a page.
#[inline(always)]
fn leaf<F: Format>(pa: u64, attributes: Attributes) -> u64 {
    F::encode_leaf(pa, 0, attributes)
}

/// Gives back one table that is not needed any more; looks through [`LOOKS`] full ones at most.
#[cold]
#[inline(never)]
fn reclaim<F: Format, P: Pages>(tree: &Radix<F>, pool: &mut Pool<F, P>) -> bool {
    let (mut from, mut looks) = (1, LOOKS);
    while let Some(spare) = pool.spare(from) {
        from = spare.number.saturating_add(1);
        if !spare.full {
            tree.free_empty(pool, spare.ipa);
            return true;
        }
        if looks == 0 {
            continue;
        }
        looks = looks.saturating_sub(1);
        if tree.fold(pool, spare.ipa, spare.height) {
            return true;
        }
    }
    false
}
