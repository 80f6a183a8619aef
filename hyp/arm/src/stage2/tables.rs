//! A domain's tables and the pool they come from.

use core::sync::atomic::Ordering;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use hyp_boot::plan::{Extent, GuestMemory};
use hyp_core::arch::Page;
use hyp_core::memory::physmap::Physmap;
use hyp_core::memory::pool::{MAX_TABLES, Pages};
use hyp_core::memory::radix::{Attributes, Error};
use hyp_core::memory::restoration::Restoration;

use super::format::Stage2Format;
use crate::layout::{self, PAGE_SIZE};
use crate::tlb;

/// Tables for blocks that a guest splits, by pages that it gives up, that it maps of others, or of the hypervisor; and for
/// a GICv2's CPU interface.
const SPARE_TABLES: u64 = 8;
const GIB: u64 = 1 << 30;
/// From this length on, forgetting everything is cheaper than forgetting page by page.
const FORGET_ALL: u64 = 64 * PAGE_SIZE;

/// How many table pages a domain with this memory gets.
pub fn tables_for<'e>(extents: impl Iterator<Item = &'e Extent>) -> u64 {
    let below_root = |extent: &Extent| (extent.guest + extent.size).div_ceil(GIB) - extent.guest / GIB + 2;
    let tables = 1 + extents.map(below_root).sum::<u64>() + SPARE_TABLES;
    tables.min(MAX_TABLES as u64)
}

/// VTCR_EL2 (Arm ARM D19.2.163): 39-bit addresses from level 1, 4 KiB granule, write-back walks, inner shareable,
/// 8-bit VMIDs, and the processor's own physical address size.
pub fn vtcr() -> u64 {
    const T0SZ: u64 = 64 - 39;
    const START_LEVEL_1: u64 = 1 << 6;
    const WALKS: u64 = 1 << 8 | 1 << 10 | 3 << 12;
    const RES1: u64 = 1 << 31;
    /// 48 bits; larger sizes need another granule.
    const LARGEST: u64 = 5;
    T0SZ | START_LEVEL_1 | WALKS | RES1 | (ID_AA64MMFR0_EL1.get() & 0xf).min(LARGEST) << 16
}

/// The pages that hold tables.
pub struct TablePages {
    pages: &'static [Page],
    start: u64,
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
            entry.store(value, Ordering::Relaxed);
            barrier::dsb(barrier::ISHST);
        }
    }

    fn clear(&mut self, number: usize) {
        self.pages.get(number).into_iter().flatten().for_each(|entry| entry.store(0, Ordering::Relaxed));
    }

    fn invalidate(&mut self, ipa: u64, length: u64) {
        if length >= FORGET_ALL {
            return tlb::invalidate_guest();
        }
        (ipa..ipa + length).step_by(PAGE_SIZE as usize).for_each(tlb::invalidate_guest_page);
    }

    #[inline(always)]
    fn invalidate_page(&mut self, ipa: u64) {
        tlb::invalidate_guest_page(ipa);
    }
}

/// One domain's second stage. Whoever changes it has the domain's VTTBR_EL2 loaded, or no CPU has ever run it.
pub struct Stage2 {
    /// What is where.
    pub map: Physmap<Stage2Format, TablePages>,
    restoration: Restoration,
}

impl Stage2 {
    /// An empty one in these pages, at most [`MAX_TABLES`]; the first is the root.
    pub fn new(pages: &'static [Page]) -> Self {
        let start = layout::image_pa(pages.as_ptr() as u64);
        let map = Physmap::new(TablePages { pages, start }, pages.len());
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

    /// Maps a device's registers where nothing is mapped.
    pub fn map_device(&mut self, extent: &Extent) -> Result<(), Error> {
        self.map.settle(extent.guest, extent.host, extent.size, Attributes::DEVICE)
    }

    /// Leads this address anywhere? A guest may fault on a range that another CPU was just changing; then it only has to
    /// try again.
    pub fn is_mapped(&self, ipa: u64) -> bool {
        self.map.translate(ipa).is_some()
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
