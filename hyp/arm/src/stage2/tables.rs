//! A domain's tables and the pool they come from.

use core::sync::atomic::Ordering;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use hyp_boot::plan::Extent;
use hyp_core::arch::Page;
use hyp_core::memory::radix::{Attributes, Error, Existing, Invalidate, Mapping, Radix, Tables};

use super::format::Stage2Format;
use crate::layout::{self, PAGE_SIZE};
use crate::tlb;

/// Tables for pages that a guest has put into its address space (shared info, grants), each of which may split a block,
/// and for a GICv2's CPU interface.
const SPARE_TABLES: u64 = 5;
const GIB: u64 = 1 << 30;
/// From this length on, forgetting everything is cheaper than forgetting page by page.
const FORGET_ALL: u64 = 64 * PAGE_SIZE;

/// How many table pages a domain with this memory gets.
pub fn tables_for(extents: &[Extent]) -> u64 {
    let below_root = |extent: &Extent| (extent.guest + extent.size).div_ceil(GIB) - extent.guest / GIB + 2;
    1 + extents.iter().map(below_root).sum::<u64>() + SPARE_TABLES
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

/// The pages that hold tables; bit n of `used` is page n.
struct Pool {
    pages: &'static [Page],
    used: u64,
}

impl Pool {
    fn page(&self, table: u64) -> Option<&'static Page> {
        let first = layout::image_pa(self.pages.as_ptr() as u64);
        self.pages.get((table.wrapping_sub(first) / PAGE_SIZE) as usize)
    }
}

impl Tables for Pool {
    fn read(&self, table: u64, index: usize) -> u64 {
        let entry = self.page(table).and_then(|page| page.get(index));
        entry.map_or(0, |entry| entry.load(Ordering::Relaxed))
    }

    fn write(&mut self, table: u64, index: usize, value: u64) {
        if let Some(entry) = self.page(table).and_then(|page| page.get(index)) {
            entry.store(value, Ordering::Relaxed);
            barrier::dsb(barrier::ISHST);
        }
    }

    fn allocate(&mut self) -> Option<u64> {
        let (free, page) = self.pages.iter().enumerate().find(|(n, _)| self.used >> n & 1 == 0)?;
        self.used |= 1 << free;
        page.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
        Some(layout::image_pa(page.as_ptr() as u64))
    }

    fn free(&mut self, table: u64) {
        let first = layout::image_pa(self.pages.as_ptr() as u64);
        self.used &= !(1 << (table.wrapping_sub(first) / PAGE_SIZE));
    }

    fn invalidate(&mut self, ipa: u64, length: u64) {
        if length >= FORGET_ALL {
            return tlb::invalidate_guest();
        }
        (ipa..ipa + length).step_by(PAGE_SIZE as usize).for_each(tlb::invalidate_guest_page);
    }
}

/// One domain's second stage. Whoever changes it has the domain's VTTBR_EL2 loaded, or no CPU has ever run it.
pub struct Stage2 {
    tree: Radix<Stage2Format>,
    pool: Pool,
}

impl Stage2 {
    /// An empty one in these zeroed pages, at most 64; the first is the root.
    pub fn new(pages: &'static [Page]) -> Self {
        let pool = Pool { pages, used: 1 };
        Self { tree: Radix::new(layout::image_pa(pages.as_ptr() as u64)), pool }
    }

    /// Physical address of the root.
    pub fn root(&self) -> u64 {
        self.tree.root()
    }

    /// Maps RAM where nothing is mapped. Takes as long as the range is large in blocks: for boot only.
    pub fn map_ram(&mut self, extent: &Extent) -> Result<(), Error> {
        self.map((extent.guest, extent.host, extent.size), Attributes::RAM, Existing::Refuse, u32::MAX)
    }

    /// Maps one page of RAM instead of what is there.
    pub fn map_page(&mut self, ipa: u64, pa: u64) -> Result<(), Error> {
        self.map((ipa, pa, PAGE_SIZE), Attributes::RAM, Existing::Replace, 1)
    }

    /// Maps a device's registers, a few pages of them, where nothing is mapped.
    pub fn map_device(&mut self, ipa: u64, pa: u64, len: u64) -> Result<(), Error> {
        self.map((ipa, pa, len), Attributes::DEVICE, Existing::Refuse, u32::MAX)
    }

    fn map(
        &mut self,
        (ipa, pa, len): (u64, u64, u64),
        attributes: Attributes,
        existing: Existing,
        budget: u32,
    ) -> Result<(), Error> {
        let mapping = Mapping { ipa, pa, len, attributes, existing };
        self.tree.map(&mut self.pool, &mapping, budget).map(|_| ()).map_err(|failure| failure.error)
    }

    /// Leads this address anywhere? A guest may fault on a range that another CPU was just changing; then it only has to
    /// try again.
    pub fn is_mapped(&self, ipa: u64) -> bool {
        self.tree.translate(&self.pool, ipa).is_some()
    }

    /// Unmaps one page.
    pub fn unmap_page(&mut self, ipa: u64) -> Result<(), Error> {
        let progress = self.tree.unmap(&mut self.pool, ipa, PAGE_SIZE, 1).map_err(|failure| failure.error)?;
        if let Invalidate::Range { start, end } = progress.invalidate {
            self.pool.invalidate(start, end - start);
        }
        Ok(())
    }
}
