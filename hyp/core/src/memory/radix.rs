//! Second-stage page tables as a radix tree of 512-entry tables.
//!
//! ARM's stage 2, Intel's EPT and AMD's NPT are one data structure with three encodings, and a mistake in it gives a
//! guest somebody else's memory. So there is one walker: pure, without allocation, over [`Tables`] that a port or a
//! test provides, with the encoding in a [`Format`].
//!
//! # Heights
//!
//! The manuals number levels in opposite directions. Here an entry has a *height*: 0 maps a 4 KiB page, 1 maps 2 MiB, 2
//! maps 1 GiB, 3 spans 512 GiB. ARM's level is 3 minus the height, x86's level is the height plus 1.
//!
//! # Invalidation
//!
//! An entry that was valid may be cached by any CPU. Where the order matters, which is when a valid entry is replaced
//! by a different one (a block split into a table, another page put there) or when a table is freed, the walker breaks
//! before it makes: it writes the empty entry, calls [`Tables::invalidate`], and only then writes the new entry or
//! frees the table. A guest that touches the range in between faults; a port must let it try again, by taking the same
//! lock as whoever changes the tables. Where the order does not matter, the walker collects the range and returns it as
//! [`Invalidate`]: the caller invalidates once, before it gives the pages to anybody else.
//!
//! # Bounded work
//!
//! Every change takes a `budget`, in steps. A step visits one entry and at worst splits blocks down to it and frees the
//! empty tables above it: a few times 512 entries. What is left is resumed with the rest of the range.
//!
//! # Tables in use
//!
//! [`Radix::map`] and [`Radix::unmap`] free a table that becomes empty at once, when the step leaves it. What goes back
//! and forth page by page ([`super::page`]) leaves its tables where they are, for whoever needs one to find:
//! [`Radix::free_empty`] takes an empty one away and [`Radix::fold`] a full one that means what a block would. The root
//! is the caller's and is never freed.

use core::marker::PhantomData;

use bitflags::bitflags;

/// Bytes in a page and in a table.
pub const PAGE_SIZE: u64 = 4096;
/// Entries in a table.
pub const ENTRIES: usize = 512;

bitflags! {
    /// What a guest may do with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Read.
        const READ = 1;
        /// Write.
        const WRITE = 2;
        /// Execute.
        const EXECUTE = 4;
    }
}

/// How memory may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// RAM: write-back, shared by all CPUs.
    Normal,
    /// Registers of a device: never cached, never gathered, never reordered.
    Device,
}

/// All that a leaf says beside where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What the guest may do.
    pub access: Access,
    /// How it may be cached.
    pub memory: MemoryType,
}

impl Attributes {
    /// A guest's own RAM: everything allowed.
    pub const RAM: Attributes = Attributes { access: Access::all(), memory: MemoryType::Normal };
    /// A device that a guest drives: no execution.
    pub const DEVICE: Attributes = Attributes { access: Access::READ.union(Access::WRITE), memory: MemoryType::Device };
}

/// An entry as its format decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Leads nowhere.
    Empty,
    /// Leads to a table one height below, at this physical address.
    Table(u64),
    /// Leads to memory: a page at height 0, a block above it.
    Leaf {
        /// Physical address of the first byte.
        pa: u64,
        /// Its attributes.
        attributes: Attributes,
    },
}

/// How a processor encodes entries.
pub trait Format {
    /// Height of the root's entries.
    const TOP: u8;
    /// Greatest height at which a leaf is allowed.
    const LARGEST_LEAF: u8;
    /// Bits in a guest-physical address. The root may be several tables in a row where this exceeds `21 + 9 * TOP`.
    const ADDRESS_BITS: u32;
    /// Bits in a physical address.
    const OUTPUT_BITS: u32;
    /// The entry that leads nowhere. Fresh tables are zeroed, so that zero must decode to [`Entry::Empty`] too.
    const EMPTY: u64 = 0;

    /// What an entry read at this height means. Never [`Entry::Table`] at height 0.
    fn decode(raw: u64, height: u8) -> Entry;
    /// The table that an entry read at this height leads to, as [`Format::decode`] says it; the walk asks this often.
    #[inline(always)]
    fn table(raw: u64, height: u8) -> Option<u64> {
        if let Entry::Table(table) = Self::decode(raw, height) { Some(table) } else { None }
    }
    /// Where a leaf that was read at this height leads, as [`Format::decode`] says it.
    #[inline(always)]
    fn leaf(raw: u64, height: u8) -> Option<u64> {
        if let Entry::Leaf { pa, .. } = Self::decode(raw, height) { Some(pa) } else { None }
    }
    /// An entry that leads to a table.
    fn encode_table(pa: u64) -> u64;
    /// A leaf. Must decode to what it was made of, also with no access at all.
    fn encode_leaf(pa: u64, height: u8, attributes: Attributes) -> u64;
}

/// Where the tables are, and who pays for them.
pub trait Tables {
    /// Reads an entry of the table at this physical address. `index` is below [`ENTRIES`], except in a root of several
    /// tables in a row.
    fn read(&self, table: u64, index: usize) -> u64;
    /// Writes an entry, so that the processor's table walk sees it after all earlier writes.
    fn write(&mut self, table: u64, index: usize, entry: u64);
    /// The same in a table of single pages, whose entry was `old` so far. Guests change those again and again.
    #[inline(always)]
    fn write_page(&mut self, table: u64, index: usize, old: u64, entry: u64) {
        let _ = old;
        self.write(table, index, entry);
    }
    /// Takes a zeroed page from the domain's pool.
    fn allocate(&mut self) -> Option<u64>;
    /// Gives a table back; no entry leads to it and no CPU remembers one.
    fn free(&mut self, table: u64);
    /// Are all entries of a table that is not the root zero?
    fn is_empty(&self, table: u64) -> bool {
        (0..ENTRIES).all(|index| self.read(table, index) == 0)
    }
    /// Makes every CPU forget what it knows about this guest-physical range. Done when it returns.
    fn invalidate(&mut self, ipa: u64, len: u64);
    /// The same for a single page.
    #[inline(always)]
    fn invalidate_page(&mut self, ipa: u64) {
        self.invalidate(ipa, PAGE_SIZE);
    }
}

/// What the caller must invalidate before it gives the memory behind the range to anybody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invalidate {
    /// Nothing.
    #[default]
    None,
    /// Guest-physical range in bytes, `end` excluded.
    Range {
        /// First byte.
        start: u64,
        /// First byte behind it.
        end: u64,
    },
}

impl Invalidate {
    /// Both; the result covers what lies between them, too.
    #[must_use]
    pub fn and(self, other: Invalidate) -> Invalidate {
        match (self, other) {
            (Invalidate::None, x) | (x, Invalidate::None) => x,
            (Invalidate::Range { start: a, end: b }, Invalidate::Range { start: c, end: d }) => {
                Invalidate::Range { start: a.min(c), end: b.max(d) }
            }
        }
    }
}

/// How far a change came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the caller has to invalidate, and to go on with what is left"]
pub struct Progress {
    /// Bytes done, from the start of the range. Go on behind them where this is less than what was asked.
    pub done: u64,
    /// What the caller must invalidate.
    pub invalidate: Invalidate,
}

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An address or a length is no multiple of [`PAGE_SIZE`].
    Misaligned,
    /// The range leaves the guest-physical or the physical address space.
    BeyondAddressWidth,
    /// Something is mapped at this guest-physical address already.
    Overlap(u64),
    /// The domain's pool is empty.
    OutOfTables,
    /// A table has to be made first, by [`Radix::prepare_page`].
    NeedsTable,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::Misaligned => f.write_str("the range is not made of whole 4 KiB pages"),
            Error::BeyondAddressWidth => f.write_str("the range leaves the address space"),
            Error::Overlap(ipa) => write!(f, "guest address {ipa:#x} is mapped already"),
            Error::OutOfTables => f.write_str("the domain's page-table pool is empty"),
            Error::NeedsTable => f.write_str("no table has an entry for this page"),
        }
    }
}

/// An error, and how far the change came before it. What was done stays done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, behind the bytes done.
    pub error: Error,
    /// What was done before.
    pub progress: Progress,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, progress: Progress::default() }
    }
}

/// What to do where something is mapped already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Stop with [`Error::Overlap`].
    Refuse,
    /// Put the new mapping in its place.
    Replace,
}

/// A range to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Guest-physical address.
    pub ipa: u64,
    /// Physical address.
    pub pa: u64,
    /// Bytes.
    pub len: u64,
    /// Attributes of all of it.
    pub attributes: Attributes,
    /// What to do where something is mapped already.
    pub existing: Existing,
}

/// Where a guest-physical address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Physical address of the very byte asked for.
    pub pa: u64,
    /// Attributes of its page or block.
    pub attributes: Attributes,
    /// Height of the leaf: 0 for a page.
    pub height: u8,
}

/// Bytes that an entry at this height spans.
pub const fn span(height: u8) -> u64 {
    1u64.wrapping_shl(shift(height))
}

/// The same as a power of two.
const fn shift(height: u8) -> u32 {
    PAGE_SIZE.trailing_zeros() + 9 * height as u32
}

/// An entry's place.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) table: u64,
    pub(super) index: usize,
    pub(super) height: u8,
}

impl Spot {
    /// First guest-physical byte that the entry spans.
    fn base(&self, ipa: u64) -> u64 {
        ipa & !(span(self.height) - 1)
    }

    /// First guest-physical byte behind it.
    fn end(&self, ipa: u64) -> u64 {
        self.base(ipa) + span(self.height)
    }
}

/// One domain's tree.
#[derive(Debug)]
pub struct Radix<F> {
    root: u64,
    format: PhantomData<F>,
}

impl<F: Format> Radix<F> {
    /// The tree whose zeroed root table is at this physical address.
    pub const fn new(root: u64) -> Radix<F> {
        Radix { root, format: PhantomData }
    }

    /// Physical address of the root table, for the processor's register.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// Maps a range, with the largest leaves that its alignment and what is there already allow.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; what was mapped before it stays mapped.
    pub fn map<T: Tables>(&self, tables: &mut T, mapping: &Mapping, budget: u32) -> Result<Progress, Failure> {
        check(mapping.ipa, mapping.len, F::ADDRESS_BITS)?;
        check(mapping.pa, mapping.len, F::OUTPUT_BITS)?;
        walk(mapping.len, budget, |done, progress| {
            let rest = Mapping {
                ipa: mapping.ipa + done,
                pa: mapping.pa + done,
                len: mapping.len - done,
                attributes: mapping.attributes,
                existing: mapping.existing,
            };
            let result = self.map_leaf(tables, &rest);
            if result.is_err() {
                self.prune(tables, rest.ipa);
            }
            progress.done += result?;
            Ok(())
        })
    }

    /// Unmaps a range. Holes in it are no error. Blocks that it covers in part are split.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfTables`] where a split needs a table that the pool has not, and the errors of a bad range.
    pub fn unmap<T: Tables>(&self, tables: &mut T, ipa: u64, len: u64, budget: u32) -> Result<Progress, Failure> {
        check(ipa, len, F::ADDRESS_BITS)?;
        walk(len, budget, |done, progress| self.unmap_entry(tables, ipa + done, ipa + len, progress))
    }

    /// Changes what the guest may do in a range, and leaves the rest as it is. Holes in it are no error. Blocks that it
    /// covers in part are split.
    ///
    /// # Errors
    ///
    /// As [`Radix::unmap`].
    pub fn protect<T: Tables>(
        &self,
        tables: &mut T,
        ipa: u64,
        len: u64,
        access: Access,
        budget: u32,
    ) -> Result<Progress, Failure> {
        check(ipa, len, F::ADDRESS_BITS)?;
        walk(len, budget, |done, progress| self.protect_entry(tables, ipa + done, ipa + len, access, progress))
    }

    /// Frees the empty tables on the way to an address.
    pub fn free_empty<T: Tables>(&self, tables: &mut T, ipa: u64) {
        self.prune(tables, ipa);
    }

    /// Puts a block in the place of the table with entries of this height on the way to an address, if all of it leads
    /// to one block of memory in the same way. Returns whether it did. Reads the whole table at worst.
    pub fn fold<T: Tables>(&self, tables: &mut T, ipa: u64, height: u8) -> bool {
        let (spot, _) = self.find(tables, ipa, height);
        let above = height.saturating_add(1);
        if spot.height != height || above > F::LARGEST_LEAF {
            return false;
        }
        let (parent, _) = self.find(tables, ipa, above);
        let Entry::Leaf { pa, attributes } = F::decode(tables.read(spot.table, 0), height) else { return false };
        let same = |index: usize| {
            let want = F::encode_leaf(pa.wrapping_add(index as u64 * span(height)), height, attributes);
            tables.read(spot.table, index) == want
        };
        if !pa.is_multiple_of(span(above)) || !(0..ENTRIES).all(same) {
            return false;
        }
        let start = ipa & !(span(above) - 1);
        tables.write(parent.table, parent.index, F::EMPTY);
        tables.invalidate(start, span(above));
        tables.write(parent.table, parent.index, F::encode_leaf(pa, above, attributes));
        tables.free(spot.table);
        true
    }

    /// Where a guest-physical address leads; `None` where nothing is mapped.
    pub fn translate<T: Tables>(&self, tables: &T, ipa: u64) -> Option<Translation> {
        if !in_range(ipa, F::ADDRESS_BITS) {
            return None;
        }
        match self.find(tables, ipa, 0) {
            (spot, Entry::Leaf { pa, attributes }) => {
                Some(Translation { pa: pa + (ipa - spot.base(ipa)), attributes, height: spot.height })
            }
            _ => None,
        }
    }

    /// Follows tables until an entry that is none, or until this height.
    #[inline(never)]
    pub(super) fn find<T: Tables>(&self, tables: &T, ipa: u64, down_to: u8) -> (Spot, Entry) {
        let (spot, raw) = self.descend(tables, ipa, down_to);
        (spot, F::decode(raw, spot.height))
    }

    /// The same, and what is there as it was read. Each height by itself, which makes its shifts and masks constants.
    #[inline(always)]
    pub(super) fn descend<T: Tables>(&self, tables: &T, ipa: u64, down_to: u8) -> (Spot, u64) {
        let mut table = self.root;
        macro_rules! at {
            ($height:expr) => {
                if $height <= F::TOP {
                    let spot = Spot { table, index: index::<F>(ipa, $height), height: $height };
                    let raw = tables.read(table, spot.index);
                    if $height <= down_to {
                        return (spot, raw);
                    }
                    match F::table(raw, $height) {
                        Some(below) => table = below,
                        None => return (spot, raw),
                    }
                }
            };
        }
        const { assert!(F::TOP <= 3) };
        at!(3);
        at!(2);
        at!(1);
        let spot = Spot { table, index: index::<F>(ipa, 0), height: 0 };
        (spot, tables.read(table, spot.index))
    }

    /// Maps the first leaf of a range and returns its bytes.
    fn map_leaf<T: Tables>(&self, tables: &mut T, m: &Mapping) -> Result<u64, Error> {
        let mut height = largest_leaf::<F>(m);
        loop {
            let (spot, entry) = self.find(tables, m.ipa, height);
            let leaf = || F::encode_leaf(m.pa, height, m.attributes);
            match entry {
                // Something may be mapped below: the table stays, and the leaves become smaller.
                Entry::Table(_) => height = height.saturating_sub(1),
                Entry::Empty if spot.height > height => {
                    let table = tables.allocate().ok_or(Error::OutOfTables)?;
                    tables.write(spot.table, spot.index, F::encode_table(table));
                }
                Entry::Empty => {
                    tables.write(spot.table, spot.index, leaf());
                    return Ok(span(height));
                }
                Entry::Leaf { .. } if m.existing == Existing::Refuse => return Err(Error::Overlap(m.ipa)),
                Entry::Leaf { pa, attributes }
                    if pa + (m.ipa - spot.base(m.ipa)) == m.pa && attributes == m.attributes =>
                {
                    return Ok(m.len.min(spot.end(m.ipa) - m.ipa));
                }
                Entry::Leaf { pa, attributes } if spot.height > height => {
                    split::<F, T>(tables, spot, m.ipa, pa, attributes)?;
                }
                Entry::Leaf { .. } => {
                    replace::<F, T>(tables, spot, m.ipa, leaf());
                    return Ok(span(height));
                }
            }
        }
    }

    /// Empties the entry at `ipa`, or skips a hole, and frees the tables that the range leaves empty behind it.
    fn unmap_entry<T: Tables>(&self, tables: &mut T, ipa: u64, end: u64, progress: &mut Progress) -> Result<(), Error> {
        let (spot, entry) = self.covered_leaf(tables, ipa, end)?;
        let next = spot.end(ipa).min(end);
        if let Entry::Leaf { .. } = entry {
            tables.write(spot.table, spot.index, F::EMPTY);
            progress.invalidate = progress.invalidate.and(Invalidate::Range { start: ipa, end: next });
        }
        progress.done += next - ipa;
        if next == end || next.is_multiple_of(span(spot.height + 1)) {
            self.prune(tables, ipa);
        }
        Ok(())
    }

    /// Rewrites the entry at `ipa`, or skips a hole. Permissions may change without a break (Arm ARM D8.16.1).
    fn protect_entry<T: Tables>(
        &self,
        tables: &mut T,
        ipa: u64,
        end: u64,
        access: Access,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let (spot, entry) = self.covered_leaf(tables, ipa, end)?;
        let next = spot.end(ipa).min(end);
        if let Entry::Leaf { pa, attributes } = entry
            && attributes.access != access
        {
            let leaf = F::encode_leaf(pa, spot.height, Attributes { access, ..attributes });
            tables.write(spot.table, spot.index, leaf);
            progress.invalidate = progress.invalidate.and(Invalidate::Range { start: ipa, end: next });
        }
        progress.done += next - ipa;
        Ok(())
    }

    /// The leaf or hole at `ipa`; a leaf that is not wholly inside `ipa..end` is split until one is.
    fn covered_leaf<T: Tables>(&self, tables: &mut T, ipa: u64, end: u64) -> Result<(Spot, Entry), Error> {
        loop {
            let (spot, entry) = self.find(tables, ipa, 0);
            match entry {
                Entry::Leaf { pa, attributes } if spot.base(ipa) < ipa || spot.end(ipa) > end => {
                    split::<F, T>(tables, spot, ipa, pa, attributes)?;
                }
                _ => return Ok((spot, entry)),
            }
        }
    }

    /// Frees the empty tables on the way to an address, from the lowest up.
    pub(super) fn prune<T: Tables>(&self, tables: &mut T, ipa: u64) {
        for _ in 0..F::TOP {
            let (spot, _) = self.find(tables, ipa, 0);
            if spot.height == F::TOP || !tables.is_empty(spot.table) {
                return;
            }
            let (parent, _) = self.find(tables, ipa, spot.height + 1);
            tables.write(parent.table, parent.index, F::EMPTY);
            let spanned = span(spot.height + 1);
            tables.invalidate(ipa & !(spanned - 1), spanned);
            tables.free(spot.table);
        }
    }
}

/// Steps through a range until it is done, the budget is used up, or something fails.
fn walk(
    len: u64,
    budget: u32,
    mut step: impl FnMut(u64, &mut Progress) -> Result<(), Error>,
) -> Result<Progress, Failure> {
    let mut progress = Progress::default();
    for _ in 0..budget {
        if progress.done >= len {
            break;
        }
        step(progress.done, &mut progress).map_err(|error| Failure { error, progress })?;
    }
    Ok(progress)
}

/// Puts a table with the same meaning in a block's place.
pub(super) fn split<F: Format, T: Tables>(
    tables: &mut T,
    spot: Spot,
    ipa: u64,
    pa: u64,
    attributes: Attributes,
) -> Result<(), Error> {
    let height = spot.height.saturating_sub(1);
    let table = tables.allocate().ok_or(Error::OutOfTables)?;
    for (index, offset) in (0..span(spot.height)).step_by(span(height) as usize).enumerate() {
        tables.write_page(table, index, F::EMPTY, F::encode_leaf(pa + offset, height, attributes));
    }
    replace::<F, T>(tables, spot, ipa, F::encode_table(table));
    Ok(())
}

/// Break before make.
fn replace<F: Format, T: Tables>(tables: &mut T, spot: Spot, ipa: u64, entry: u64) {
    tables.write(spot.table, spot.index, F::EMPTY);
    tables.invalidate(spot.base(ipa), span(spot.height));
    tables.write(spot.table, spot.index, entry);
}

/// Index of an address in a table whose entries have this height; the root may have more than [`ENTRIES`].
#[inline(always)]
pub(super) fn index<F: Format>(ipa: u64, height: u8) -> usize {
    let index = ipa.wrapping_shr(shift(height)) as usize;
    let is_large = height == F::TOP && F::ADDRESS_BITS > shift(F::TOP + 1);
    if is_large { index } else { index % ENTRIES }
}

/// Height of the largest leaf that fits at the start of a range.
fn largest_leaf<F: Format>(m: &Mapping) -> u8 {
    (1..=F::LARGEST_LEAF)
        .rev()
        .find(|height| (m.ipa | m.pa).is_multiple_of(span(*height)) && m.len >= span(*height))
        .unwrap_or(0)
}

/// Is the address below `1 << bits`?
const fn in_range(address: u64, bits: u32) -> bool {
    bits >= 64 || address >> bits == 0
}

/// Whole pages inside an address space of so many bits?
pub(super) fn check(address: u64, len: u64, bits: u32) -> Result<(), Error> {
    if !(address | len).is_multiple_of(PAGE_SIZE) {
        return Err(Error::Misaligned);
    }
    match address.checked_add(len) {
        Some(0) => Ok(()),
        Some(end) if in_range(end - 1, bits) => Ok(()),
        _ => Err(Error::BeyondAddressWidth),
    }
}
