//! A guest's physical address space on the in-memory machine: the core's own, on tables of plain words.

use std::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::{BadAddress, MapError};
use hyp_core::memory::physmap::{Home, Physmap, READ_ONLY, READ_WRITE};
use hyp_core::memory::pool::Pages;
use hyp_core::memory::radix::{Access, Attributes, ENTRIES, Entry, Error, Format, MemoryType};
use hyp_core::memory::restoration::Restoration;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Table pages of a domain.
const TABLES: usize = 12;
/// Where the hypervisor's pages are, apart from every domain's.
const HYPERVISOR: u64 = 1 << 46;
/// From one domain's memory to the next one's.
const STRIDE: u64 = 1 << 32;

/// ARM's three levels, with short bits.
pub(crate) struct Levels;

impl Format for Levels {
    const TOP: u8 = 2;
    const LARGEST_LEAF: u8 = 2;
    const ADDRESS_BITS: u32 = 39;
    const OUTPUT_BITS: u32 = 48;

    fn decode(raw: u64, _: u8) -> Entry {
        let pa = raw & !0xfff;
        let access = Access::from_bits_truncate((raw >> 2) as u8 & 7);
        match raw & 3 {
            1 => Entry::Table(pa),
            2 => Entry::Leaf { pa, attributes: Attributes { access, memory: MemoryType::Normal } },
            _ => Entry::Empty,
        }
    }

    fn encode_table(pa: u64) -> u64 {
        pa | 1
    }

    fn encode_leaf(pa: u64, _: u8, attributes: Attributes) -> u64 {
        pa | 2 | u64::from(attributes.access.bits()) << 2
    }
}

/// Tables. There is no TLB: what one would remember is the matter of the core's own tests.
struct Words(Vec<[u64; ENTRIES]>);

impl Pages for Words {
    fn start(&self) -> u64 {
        HYPERVISOR << 1
    }

    fn read(&self, number: usize, index: usize) -> u64 {
        self.0[number][index]
    }

    fn write(&mut self, number: usize, index: usize, value: u64) {
        self.0[number][index] = value;
    }

    fn clear(&mut self, number: usize) {
        self.0[number] = [0; ENTRIES];
    }

    fn invalidate(&mut self, _: u64, _: u64) {}
}

/// One domain's, and where its own memory is.
pub struct AddressSpace {
    map: Physmap<Levels, Words>,
    base: u64,
    size: u64,
    /// Pages of the hypervisor that the guest has mapped: which one, where, and whether RAM is under it.
    lent: Vec<(usize, u64, bool)>,
}

const BAD: MapError = MapError::Bad(BadAddress);

fn error(error: Error) -> MapError {
    if error == Error::OutOfTables { MapError::NoTables } else { BAD }
}

impl AddressSpace {
    /// RAM from address 0 on, in a place of its own.
    pub fn new(size: u64) -> Self {
        static DOMAINS: AtomicU64 = AtomicU64::new(1);
        let base = DOMAINS.fetch_add(1, Ordering::Relaxed) % 1000 * STRIDE;
        let mut map = Physmap::new(Words(vec![[0; ENTRIES]; TABLES]), TABLES);
        map.settle(0, base, size, Attributes::RAM).unwrap();
        Self { map, base, size, lent: Vec::new() }
    }

    fn home(&self, ipa: u64) -> Option<Home> {
        (ipa < self.size).then(|| (self.base + ipa, self.size - ipa))
    }

    fn at(frame: u64) -> Result<u64, MapError> {
        frame.checked_mul(PAGE).ok_or(BAD)
    }

    /// Where the machine's memory is that a guest sees at a frame, and whether it can write there.
    pub fn place(&self, frame: u64) -> Option<(u64, bool)> {
        let now = self.map.translate(frame * PAGE)?;
        Some((now.pa, now.attributes.access.contains(Access::WRITE)))
    }

    /// Where the page is that was at a frame at the start.
    pub fn home_of(&self, frame: u64) -> u64 {
        self.base + frame * PAGE
    }

    /// Where one of the hypervisor's pages is.
    fn lent_at(&self, number: usize) -> u64 {
        HYPERVISOR + self.base + number as u64 * PAGE
    }

    pub(crate) fn has_ram(&self, frame: u64) -> bool {
        let Ok(ipa) = Self::at(frame) else { return false };
        self.home(ipa).is_some_and(|home| self.map.is_home(ipa, home))
    }

    /// Pages in all, and those given up.
    pub fn ram(&self) -> (u64, u64) {
        (self.size / PAGE, self.map.absent())
    }

    pub(crate) fn give_up(&mut self, frame: u64, pages: u64) -> Result<u64, MapError> {
        let ipa = Self::at(frame)?;
        let home = self.home(ipa).ok_or(BAD)?;
        self.map.give_up(ipa, home, pages.saturating_mul(PAGE)).map(|done| done / PAGE).map_err(error)
    }

    pub(crate) fn take_back(&mut self, frame: u64, pages: u64) -> Result<u64, MapError> {
        let ipa = Self::at(frame)?;
        let home = self.home(ipa).ok_or(BAD)?;
        self.map.take_back(ipa, home, pages.saturating_mul(PAGE)).map(|done| done / PAGE).map_err(error)
    }

    pub(crate) fn lend(&mut self, number: usize, frame: u64) -> Result<(), MapError> {
        let ipa = Self::at(frame)?;
        if self.lent.iter().any(|lent| (lent.0, lent.1) == (number, frame)) {
            return Ok(());
        }
        self.take_lent(|lent| lent.1 == frame);
        let covers = self.map.put(ipa, self.home(ipa), self.lent_at(number), READ_WRITE).map_err(error)?;
        self.take_lent(|lent| lent.0 == number);
        self.lent.push((number, frame, covers));
        Ok(())
    }

    fn take_lent(&mut self, which: impl Fn(&(usize, u64, bool)) -> bool) -> bool {
        let Some(at) = self.lent.iter().position(which) else { return false };
        let (number, frame, covers) = self.lent.swap_remove(at);
        let (ipa, pa) = (frame * PAGE, self.lent_at(number));
        self.map.take_away(ipa, Some(pa), self.home(ipa), covers).unwrap();
        true
    }

    pub(crate) fn lent_frame(&self, number: usize) -> Option<u64> {
        self.lent.iter().find(|lent| lent.0 == number).map(|lent| lent.1)
    }

    pub(crate) fn unmap(&mut self, frame: u64) -> Result<(), MapError> {
        if self.take_lent(|lent| lent.1 == frame) { Ok(()) } else { self.give_up(frame, 1).map(drop) }
    }

    pub(crate) fn map_foreign(&mut self, frame: u64, pa: u64, write: bool) -> Result<bool, MapError> {
        let ipa = Self::at(frame)?;
        self.map.put(ipa, self.home(ipa), pa, if write { READ_WRITE } else { READ_ONLY }).map_err(error)
    }

    pub(crate) fn unmap_foreign(&mut self, frame: u64, covers: bool) -> Result<(), MapError> {
        let ipa = Self::at(frame)?;
        self.map.take_away(ipa, None, self.home(ipa), covers).map_err(error)
    }

    pub(crate) fn revoke_foreign(&mut self, frame: u64) -> Result<(), MapError> {
        let ipa = Self::at(frame)?;
        self.map.replace(ipa, self.home(ipa), self.spare()).map_err(error)
    }

    /// Where the page is that revoked mappings lead to.
    pub fn spare(&self) -> u64 {
        self.lent_at(99)
    }

    /// Everything as it was at the start.
    pub(crate) fn reset(&mut self) {
        while self.take_lent(|_| true) {}
        let mut restoration = Restoration::new();
        restoration.begin(&self.map);
        while restoration.step(&mut self.map, std::iter::once((0, self.base, self.size))).is_none() {}
        assert!((0..self.size / PAGE).all(|frame| self.has_ram(frame)), "something of the last life is left");
    }
}
