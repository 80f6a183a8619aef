//! Where a guest-physical address leads now, for who touches a guest's memory.
//!
//! The core's walk knows every encoding and changes what it finds. A hypercall only wants to know where a page is, five
//! times for each address that it is given, as the guest's own tables are in its memory too. So the same tables are read
//! here once more, in a few instructions: what is asked of an entry is in the same bits for both makers.
//!
//! Nobody keeps the tables from changing meanwhile. A domain's tables hold its own translations and nothing else, at any
//! time; so the answer is one that was right for some address of the domain, and who gets it looks whether the memory is the
//! domain's. An address that leads nowhere may do so for a moment only.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::Page;
use hyp_core::memory::radix::{ENTRIES, Format};

use super::extended::{self, ExtendedFormat};
use super::format::{ADDRESS, LEAF, NestedFormat, PRESENT, WRITABLE};

const _: () = assert!(ADDRESS == extended::ADDRESS && LEAF == extended::LEAF);
const _: () = assert!(PRESENT == extended::READ && WRITABLE == extended::WRITE);
const _: () = assert!(NestedFormat::ADDRESS_BITS == ADDRESS_BITS && ExtendedFormat::ADDRESS_BITS == ADDRESS_BITS);

/// Bits of a guest-physical address; four levels.
const ADDRESS_BITS: u32 = 48;
const SHIFTS: [u32; 4] = [39, 30, 21, 12];

/// A domain's tables as they lie in memory.
#[derive(Clone, Copy)]
pub struct Lookup {
    entries: &'static [AtomicU64],
    start: u64,
}

impl Lookup {
    /// The tables in these pages, the first of which is the root, at this physical address.
    pub fn new(pages: &'static [Page], start: u64) -> Self {
        Self { entries: pages.as_flattened(), start }
    }

    /// The physical address of a guest-physical one, and whether the guest may write there; `None` where there is nothing
    /// that it may read.
    #[inline(always)]
    pub fn find(&self, guest: u64) -> Option<(u64, bool)> {
        if guest >> ADDRESS_BITS != 0 {
            return None;
        }
        let mut table = 0;
        for shift in SHIFTS {
            let index = (guest >> shift) as usize % ENTRIES;
            let entry = self.entries.get(usize::wrapping_add(table, index))?.load(Ordering::Acquire);
            if entry & LEAF != 0 {
                let inside = (1 << shift) - 1;
                let place = (entry & ADDRESS | guest & inside, entry & WRITABLE != 0);
                return (entry & PRESENT != 0).then_some(place);
            }
            // An empty entry leads to where no table is.
            table = (entry & ADDRESS).wrapping_sub(self.start) as usize / size_of::<u64>();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use hyp_core::memory::pool::{Pages, Pool};
    use hyp_core::memory::radix::{Access, Attributes, Existing, Mapping, MemoryType, Radix};

    use super::*;

    const START: u64 = 0x7_0000;

    struct Memory(&'static [Page]);

    impl Pages for Memory {
        fn start(&self) -> u64 {
            START
        }
        fn read(&self, number: usize, index: usize) -> u64 {
            self.0[number][index].load(Ordering::Relaxed)
        }
        fn write(&mut self, number: usize, index: usize, value: u64) {
            self.0[number][index].store(value, Ordering::Relaxed);
        }
        fn clear(&mut self, number: usize) {
            self.0[number].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        fn invalidate(&mut self, _: u64, _: u64) {}
    }

    /// Maps and unmaps, and asks both ways where each of these addresses leads.
    fn same_as_the_walk<F: Format>() {
        let pages: Vec<Page> = (0..16).map(|_| [const { AtomicU64::new(0) }; ENTRIES]).collect();
        let pages: &'static [Page] = pages.leak();
        let (lookup, tree) = (Lookup::new(pages, START), Radix::<F>::new(START));
        let mut pool = Pool::<F, _>::new(Memory(pages), pages.len());
        let probes =
            [0, 0xfff, 0x1000, 0x1f_ffff, 0x20_0123, 0x40_0000, 0x40_1008, 0x40_2000, 0xffff_ffff_f000, 1 << 48];
        let check = |pool: &Pool<F, Memory>| {
            for guest in probes {
                let walk = tree.translate(pool, guest).filter(|found| found.attributes.access.contains(Access::READ));
                let place = walk.map(|found| (found.pa, found.attributes.access.contains(Access::WRITE)));
                assert_eq!(lookup.find(guest), place, "{guest:#x}");
            }
            probes.iter().filter(|guest| lookup.find(**guest).is_some()).count()
        };
        let map = |pool: &mut Pool<F, Memory>, ipa, pa, len, access| {
            let attributes = Attributes { access, memory: MemoryType::Normal };
            let mapping = Mapping { ipa, pa, len, attributes, existing: Existing::Replace };
            assert_eq!(tree.map(pool, &mapping, u32::MAX).unwrap().done, len);
        };
        assert_eq!(check(&pool), 0);
        map(&mut pool, 0, 0x8000_0000, 0x40_0000, Access::all());
        assert_eq!(check(&pool), 5);
        map(&mut pool, 0x40_0000, 0x9000_5000, 0x1000, Access::READ);
        map(&mut pool, 0x40_1000, 0x9000_7000, 0x1000, Access::empty());
        map(&mut pool, 0x1000, 0x9000_8000, 0x1000, Access::READ | Access::WRITE);
        map(&mut pool, 0xffff_ffff_f000, 0x9000_9000, 0x1000, Access::all());
        assert_eq!(check(&pool), 7);
        assert_eq!(tree.unmap(&mut pool, 0, 0x20_0000, u32::MAX).unwrap().done, 0x20_0000);
        assert_eq!(check(&pool), 3);
    }

    #[test]
    fn amds_tables_lead_where_the_walk_says() {
        same_as_the_walk::<NestedFormat>();
    }

    #[test]
    fn intels_tables_lead_where_the_walk_says() {
        same_as_the_walk::<ExtendedFormat>();
    }
}
