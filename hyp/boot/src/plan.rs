//! Which memory each guest gets.
//!
//! Large aligned pieces make the second stage cheap: a guest of a gigabyte or more gets gigabytes that are aligned on
//! both sides, so that one table entry maps each; all else comes in 2 MiB units. What the hypervisor needs for itself is
//! put where it wastes least of that. Everything is decided once, before anything is written.

use heapless::Vec;

use crate::limits::{MAX_DOMAINS, MAX_RAM, MAX_RESERVED};
use crate::machine::Machine;
use crate::manifest::{DomainSpec, Manifest};
use crate::region::{align_down, align_up};
use crate::{BootError, Region};

/// Guest-physical start of the first bank, as Xen has it (`GUEST_RAM0_BASE` of `public/arch-arm.h`).
pub const BANK0: u64 = 0x4000_0000;
/// Bytes of the first bank at most (`GUEST_RAM0_SIZE`).
pub const BANK0_MAX: u64 = 0xc000_0000;
/// Guest-physical start of the second bank (`GUEST_RAM1_BASE`).
pub const BANK1: u64 = 0x2_0000_0000;

/// Pieces of host memory that one guest's RAM may consist of.
const MAX_EXTENTS: usize = 8;
/// Free pieces: each range of RAM is one, and each thing taken out of it or allocated may split one.
const MAX_FREE: usize = MAX_RAM + MAX_RESERVED + 2 * MAX_DOMAINS + 2 + MAX_DOMAINS * MAX_EXTENTS;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
const GIB: u64 = 1 << 30;

/// A contiguous piece of a guest's RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where the guest sees it.
    pub guest: u64,
    /// Where it is.
    pub host: u64,
    /// Its size in bytes, a multiple of 4 KiB.
    pub size: u64,
}

/// A guest's RAM, in the order of guest addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestMemory {
    /// Its pieces.
    pub extents: Vec<Extent, MAX_EXTENTS>,
}

impl GuestMemory {
    /// The ranges of guest addresses that hold RAM.
    pub fn banks(&self) -> Vec<Region, 2> {
        let mut banks: Vec<Region, 2> = Vec::new();
        for extent in &self.extents {
            match banks.last_mut() {
                Some(bank) if bank.end() == extent.guest => bank.size = bank.size.saturating_add(extent.size),
                // Cannot fail: extents follow each other but for the gap between the two banks.
                _ => drop(banks.push(Region::new(extent.guest, extent.size))),
            }
        }
        banks
    }

    /// Where a guest address is, and how many bytes follow it there.
    pub fn host(&self, guest: u64) -> Option<(u64, u64)> {
        self.extents.iter().find_map(|extent| {
            let offset = guest.checked_sub(extent.guest)?;
            let left = extent.size.checked_sub(offset).filter(|left| *left != 0)?;
            Some((extent.host.checked_add(offset)?, left))
        })
    }
}

/// Where everything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Memory for the hypervisor's own tables, page-aligned.
    pub pool: Region,
    /// The guests' memory, in the manifest's order.
    pub guests: Vec<GuestMemory, MAX_DOMAINS>,
}

impl Plan {
    /// Divides the machine's memory. `image` and `tree` are what the hypervisor and the blob take; `pool_bytes` is what
    /// the hypervisor wants besides.
    ///
    /// # Errors
    ///
    /// [`BootError::NoRoom`] or [`BootError::NoPool`].
    pub fn make<'a>(
        machine: &Machine<'a>,
        manifest: &Manifest<'a>,
        image: Region,
        tree: Region,
        pool_bytes: u64,
    ) -> Result<Self, BootError<'a>> {
        let mut free = Free { pieces: machine.ram.iter().map(|ram| ram.shrink_to(PAGE)).collect() };
        for taken in machine.reserved.iter().copied().chain([image, tree]) {
            free.remove(taken);
        }
        for (_, module) in manifest.modules() {
            free.remove(module);
        }
        let pool_bytes = align_up(pool_bytes, PAGE).unwrap_or(pool_bytes);
        let pool =
            free.take_pool(pool_bytes).ok_or(BootError::NoPool { want: pool_bytes, largest: free.largest(PAGE) })?;
        let mut guests = Vec::new();
        for domain in &manifest.domains {
            // Cannot fail: the manifest has no more domains than this has room for.
            drop(guests.push(free.take_guest(domain)?));
        }
        Ok(Self { pool, guests })
    }
}

/// Memory that nobody has yet.
struct Free {
    pieces: Vec<Region, MAX_FREE>,
}

impl Free {
    /// Takes a range out, whole pages of it.
    fn remove(&mut self, taken: Region) {
        let end = align_up(taken.end(), PAGE).unwrap_or(u64::MAX);
        let taken = Region::between(align_down(taken.start, PAGE), end);
        let mut index = 0;
        while let Some(piece) = self.pieces.get(index).copied() {
            if !piece.overlaps(&taken) {
                index += 1;
                continue;
            }
            self.pieces.swap_remove(index);
            for rest in [Region::between(piece.start, taken.start), Region::between(taken.end(), piece.end())] {
                if rest.size != 0 {
                    // MAX_FREE leaves room for every split; without it memory would be lost, not shared.
                    let _ = self.pieces.push(rest);
                }
            }
        }
    }

    /// The largest piece in whole units.
    fn largest(&self, unit: u64) -> u64 {
        self.pieces.iter().map(|piece| piece.shrink_to(unit).size).max().unwrap_or(0)
    }

    fn total(&self, unit: u64) -> u64 {
        self.pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.shrink_to(unit).size))
    }

    /// The smallest place that holds `size` bytes in whole `unit`s.
    fn tightest(&self, size: u64, unit: u64) -> Option<Region> {
        let fitting = self.pieces.iter().map(|piece| piece.shrink_to(unit)).filter(|piece| piece.size >= size);
        fitting.min_by_key(|piece| piece.size)
    }

    /// Takes memory for the hypervisor: from the ends of pieces that are no whole 2 MiB, if one is large enough.
    fn take_pool(&mut self, size: u64) -> Option<Region> {
        let scraps = self.pieces.iter().flat_map(|piece| {
            let whole = piece.shrink_to(BLOCK);
            let whole = if whole.size == 0 { Region::new(piece.end(), 0) } else { whole };
            [Region::between(piece.start, whole.start), Region::between(whole.end(), piece.end())]
        });
        let scrap = scraps.filter(|scrap| scrap.size >= size).min_by_key(|scrap| scrap.size);
        let place = scrap.or_else(|| self.tightest(size, PAGE))?;
        // The end of the place, so that what stays of a whole block starts on a boundary.
        let pool = Region::new(place.end().checked_sub(size)?, size);
        self.remove(pool);
        Some(pool)
    }

    fn take_guest<'a>(&mut self, domain: &DomainSpec<'a>) -> Result<GuestMemory, BootError<'a>> {
        let no_room = BootError::NoRoom {
            name: domain.name,
            want: domain.memory,
            largest: self.largest(BLOCK),
            total: self.total(BLOCK),
        };
        let mut memory = GuestMemory::default();
        let (mut guest, mut left) = (BANK0, domain.memory);
        while left != 0 {
            let bank_left = (BANK0 + BANK0_MAX).checked_sub(guest).unwrap_or(u64::MAX);
            let piece = self.take_piece(left.min(bank_left)).ok_or(no_room)?;
            let extent = Extent { guest, host: piece.start, size: piece.size };
            memory.extents.push(extent).map_err(|_| no_room)?;
            left = left.saturating_sub(piece.size);
            guest = guest.saturating_add(piece.size);
            if guest == BANK0 + BANK0_MAX {
                guest = BANK1;
            }
        }
        Ok(memory)
    }

    /// Takes up to `size` bytes: whole aligned gigabytes while that much is wanted and there is one, then the tightest
    /// place for all of it, then the largest.
    fn take_piece(&mut self, size: u64) -> Option<Region> {
        let whole = self.pieces.iter().map(|piece| piece.shrink_to(GIB)).max_by_key(|piece| piece.size)?;
        let place = if size >= GIB && whole.size != 0 {
            Region::new(whole.start, align_down(size, GIB).min(whole.size))
        } else if let Some(place) = self.tightest(size, BLOCK).or_else(|| self.tail(size)) {
            Region::new(place.start, size)
        } else {
            let blocks = self.pieces.iter().map(|piece| piece.shrink_to(BLOCK));
            blocks.max_by_key(|piece| piece.size).filter(|piece| piece.size != 0)?
        };
        self.remove(place);
        Some(place)
    }

    /// A place that starts on a 2 MiB boundary and holds `size` bytes, but whose last block is not whole.
    fn tail(&self, size: u64) -> Option<Region> {
        let mut places =
            self.pieces.iter().filter_map(|piece| Some(Region::between(align_up(piece.start, BLOCK)?, piece.end())));
        places.find(|place| place.size >= size)
    }
}
