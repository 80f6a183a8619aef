//! Single pages of an address space: what a guest changes again and again, while it runs.
//!
//! Ranges are mapped and unmapped by a walk for each step ([`super::radix`]). A page that is given up or taken back, or that
//! another domain grants, is one entry in a table that mostly was used just before; so the table is found first, by
//! whoever keeps it in mind, and the change is that of an entry, which is what makes it cheap.

use super::radix::{Entry, Error, Format, PAGE_SIZE, Radix, Spot, Tables, check, index, span, split};

/// In the place of a page's physical address: there is none.
pub const NOWHERE: u64 = u64::MAX;

/// What has to be there before a page is changed; each may be [`NOWHERE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This physical page.
    Is(u64),
    /// Nothing, or this physical page.
    NothingOr(u64),
    /// A page, and not this one.
    Other(u64),
}

impl Expected {
    #[inline(always)]
    fn holds(self, now: u64) -> bool {
        match self {
            Expected::Is(page) => now == page,
            Expected::NothingOr(page) => now == NOWHERE || now == page,
            Expected::Other(page) => now != NOWHERE && now != page,
        }
    }
}

impl Spot {
    /// Where an address in what the entry spans leads, given the entry, or [`NOWHERE`].
    #[inline(always)]
    fn page<F: Format>(&self, raw: u64, ipa: u64) -> u64 {
        F::leaf(raw, self.height).map_or(NOWHERE, |pa| pa | ipa & (span(self.height) - 1))
    }
}

impl<F: Format> Radix<F> {
    /// Where a page leads, or [`NOWHERE`]: what [`Radix::translate`] says, without its attributes.
    #[inline(always)]
    pub fn page<T: Tables>(&self, tables: &T, ipa: u64) -> u64 {
        if !is_page(ipa, F::ADDRESS_BITS) {
            return NOWHERE;
        }
        let (spot, raw) = self.descend(tables, ipa, 0);
        spot.page::<F>(raw, ipa)
    }

    /// The table that holds a page's entry.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsTable`] where no table on the way has an entry for a single page, which [`Radix::prepare_page`] changes,
    /// and the errors of a bad address.
    pub fn page_table<T: Tables>(&self, tables: &T, ipa: u64) -> Result<u64, Error> {
        check(ipa, PAGE_SIZE, F::ADDRESS_BITS)?;
        let (spot, _) = self.find(tables, ipa, 0);
        if spot.height == 0 { Ok(spot.table) } else { Err(Error::NeedsTable) }
    }

    /// Lets one page lead to another place, or nowhere, if what is there is what is expected: `to` is a leaf of height 0 as
    /// its format encodes it, or the format's empty entry; `table` is what [`Radix::page_table`] found. Returns the page that
    /// was there, or [`NOWHERE`]. Done with all invalidation when it returns.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] where it leads somewhere else.
    #[inline(always)]
    pub fn set_page<T: Tables>(
        tables: &mut T,
        (table, ipa): (u64, u64),
        expected: Expected,
        to: u64,
    ) -> Result<u64, Error> {
        let index = index::<F>(ipa, 0);
        let raw = tables.read(table, index);
        let now = F::leaf(raw, 0).unwrap_or(NOWHERE);
        if !expected.holds(now) {
            return Err(Error::Overlap(ipa));
        }
        let mut left = raw;
        if now != NOWHERE {
            tables.write_page(table, index, raw, F::EMPTY);
            tables.invalidate_page(ipa);
            left = F::EMPTY;
        }
        if to != F::EMPTY {
            tables.write_page(table, index, left, to);
        }
        Ok(now)
    }

    /// Makes for the same change what [`Radix::page_table`] misses, a height lower: puts a table in the place of the block or
    /// the empty entry on the way. Returns `false` where there is nothing to change.
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] as with [`Radix::set_page`]; [`Error::OutOfTables`], with no empty table left on the way.
    pub fn prepare_page<T: Tables>(
        &self,
        tables: &mut T,
        ipa: u64,
        expected: Expected,
        to: u64,
    ) -> Result<bool, Error> {
        let (spot, entry) = self.find(tables, ipa, 0);
        let now = spot.page::<F>(tables.read(spot.table, spot.index), ipa);
        if !expected.holds(now) {
            return Err(Error::Overlap(ipa));
        }
        if let Entry::Leaf { pa, attributes } = entry {
            split::<F, T>(tables, spot, ipa, pa, attributes)?;
        } else if to == F::EMPTY {
            return Ok(false);
        } else {
            let Some(table) = tables.allocate() else {
                self.prune(tables, ipa);
                return Err(Error::OutOfTables);
            };
            tables.write(spot.table, spot.index, F::encode_table(table));
        }
        Ok(true)
    }
}

/// Is it a page's address, below `1 << bits`?
#[inline(always)]
const fn is_page(address: u64, bits: u32) -> bool {
    address & (u64::MAX.wrapping_shl(bits) | (PAGE_SIZE - 1)) == 0
}
