//! A domain's tables and the pool they come from.

use core::sync::atomic::Ordering;

use hyp_boot::plan::{Extent, GuestMemory};
use hyp_core::arch::Page;
use hyp_core::memory::physmap::Physmap;
use hyp_core::memory::pool::{MAX_TABLES, Pages};
use hyp_core::memory::radix::{Attributes, Error};
use hyp_core::memory::restoration::Restoration;

use super::chosen::ChosenFormat;
use crate::tlb;

/// Tables for blocks that a guest splits, by pages that it gives up, that it maps of others, or of the hypervisor.
const SPARE_TABLES: u64 = 8;
const GIB: u64 = 1 << 30;

/// How many table pages a domain with this memory gets.
pub fn tables_for<'e>(extents: impl Iterator<Item = &'e Extent>) -> u64 {
    let below = |extent: &Extent| (extent.guest + extent.size).div_ceil(GIB) - extent.guest / GIB + 2;
    let tables = 2 + extents.map(below).sum::<u64>() + SPARE_TABLES;
    tables.min(MAX_TABLES as u64)
}

/// The pages that hold tables.
pub struct TablePages {
    pages: &'static [Page],
    start: u64,
    /// Index of the domain.
    domain: usize,
}

impl Pages for TablePages {
    fn start(&self) -> u64 {
        self.start
    }

    fn read(&self, number: usize, index: usize) -> u64 {
        let entry = self.pages.get(number).and_then(|page| page.get(index));
        entry.map_or(0, |entry| entry.load(Ordering::Relaxed))
    }

    fn write(&mut self, number: usize, index: usize, value: u64) {
        if let Some(entry) = self.pages.get(number).and_then(|page| page.get(index)) {
            entry.store(value, Ordering::Release);
        }
    }

    fn clear(&mut self, number: usize) {
        self.pages.get(number).into_iter().flatten().for_each(|entry| entry.store(0, Ordering::Relaxed));
    }

    fn invalidate(&mut self, _ipa: u64, _length: u64) {
        // Processors forget a guest's translations by guest-virtual address or all together, and only we know the other
        // kind of address.
        tlb::invalidate(self.domain);
    }
}

/// One domain's second stage.
pub struct Nested {
    /// What is where.
    pub map: Physmap<ChosenFormat, TablePages>,
    restoration: Restoration,
}

impl Nested {
    /// An empty one in these pages, at most [`MAX_TABLES`]; the first is the root. `domain` is the domain's index.
    pub fn new(pages: &'static [Page], domain: usize) -> Self {
        let start = pages.as_ptr() as u64;
        let map = Physmap::new(TablePages { pages, start, domain }, pages.len());
        Self { map, restoration: Restoration::new() }
    }

    /// Physical address of the root.
    pub fn root(&self) -> u64 {
        self.map.root()
    }

    /// Maps RAM where nothing is mapped. Takes as long as the range is large in blocks: for boot only.
    pub fn map_ram(&mut self, extent: &Extent) -> Result<(), Error> {
        self.map.settle(extent.guest, extent.host, extent.size, Attributes::RAM)
    }

    /// Maps a device's registers where nothing is mapped. For boot only too.
    pub fn map_device(&mut self, extent: &Extent) -> Result<(), Error> {
        self.map.settle(extent.guest, extent.host, extent.size, Attributes::DEVICE)
    }

    /// Begins to bring RAM back where it was at the start, if it is not; nothing else is mapped any more.
    pub fn begin_restoration(&mut self) {
        self.restoration.begin(&self.map);
    }

    /// Takes a step of it. Returns how many it took in all, `None` where there is more to do.
    pub fn restore(&mut self, memory: &GuestMemory) -> Option<u32> {
        let ram = memory.extents.iter().map(|extent| (extent.guest, extent.host, extent.size));
        self.restoration.step(&mut self.map, ram)
    }
}
