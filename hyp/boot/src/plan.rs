//! Which memory each guest gets.
//!
//! Large aligned pieces make the second stage cheap: a guest of a gigabyte or more gets gigabytes that are aligned on
//! both sides, so that one table entry maps each; all else comes in 2 MiB units. What the hypervisor needs for itself is
//! put where it wastes least of that. Everything is decided once, before anything is written.

use heapless::Vec;
use xen_abi::io_domain::{SHARED_BASE_ARM, SHARED_BASE_X86, console_page};

use crate::devices::Devices;
use crate::limits::{MAX_DOMAINS, MAX_MODULES, MAX_RAM, MAX_RESERVED, MAX_SHARED, MAX_STATIC};
use crate::machine::Host;
use crate::manifest::fixed::GUEST_END;
use crate::manifest::{DomainSpec, Fixed, Manifest, SharedMemory};
use crate::region::{align_down, align_up};
use crate::{BootError, Region};

/// Guest-physical start of the first bank, as Xen has it (`GUEST_RAM0_BASE` of `public/arch-arm.h`).
pub const BANK0: u64 = 0x4000_0000;
/// Bytes of the first bank at most (`GUEST_RAM0_SIZE`).
pub const BANK0_MAX: u64 = 0xc000_0000;
/// Guest-physical start of the second bank (`GUEST_RAM1_BASE`).
pub const BANK1: u64 = 0x2_0000_0000;

/// Where guests have their RAM: in a first range, and what does not fit from another address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banks {
    /// The first range.
    pub first: Region,
    /// Where the second one begins.
    pub second: u64,
    /// Where there is neither RAM nor a device, but what an I/O domain shares with guests.
    pub io_domain: Region,
}

impl Banks {
    /// Xen's for ARM.
    pub const ARM: Self =
        Self { first: Region::new(BANK0, BANK0_MAX), second: BANK1, io_domain: io_domain(SHARED_BASE_ARM) };
    /// A PC's: from address 0 on, with a hole below 4 GiB for devices.
    pub const PC: Self =
        Self { first: Region::new(0, 3 * GIB), second: 4 * GIB, io_domain: io_domain(SHARED_BASE_X86) };

    /// Bytes from a guest address to the end of its bank.
    fn left(&self, guest: u64) -> u64 {
        self.first.end().checked_sub(guest).filter(|left| *left != 0).unwrap_or(u64::MAX)
    }

    /// The guest address that follows `size` bytes of RAM.
    fn after(&self, guest: u64, size: u64) -> u64 {
        let next = guest.saturating_add(size);
        if next == self.first.end() { self.second } else { next }
    }
}

/// The addresses of its own pages and of each guest's.
const fn io_domain(base: u64) -> Region {
    Region::between(base, console_page(base, MAX_DOMAINS as u16 + 1))
}

/// Pieces of host memory that one guest's RAM may consist of.
const MAX_EXTENTS: usize = 8;
/// Free pieces: each range of RAM is one, and each thing taken out of it or allocated may split one.
const MAX_FREE: usize = MAX_RAM + MAX_RESERVED + MAX_MODULES + 2 + MAX_STATIC + MAX_SHARED + MAX_DOMAINS * MAX_EXTENTS;
/// Guest addresses that nothing uses are offered for foreign pages from this size on, as Xen does.
const LEAST_EXTENDED: u64 = 64 << 20;

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

/// Ranges of guest addresses that hold RAM.
const MAX_BANKS: usize = 2;

impl GuestMemory {
    fn count_banks(&self) -> usize {
        let follows = |pair: &[Extent]| matches!(pair, [one, two] if one.guest.saturating_add(one.size) == two.guest);
        self.extents.windows(2).filter(|pair| !follows(pair)).count().saturating_add(1)
    }

    /// Guest addresses that nothing uses, for foreign pages (Xen's extended regions): behind RAM, devices and shared memory in
    /// each of the two ranges where RAM may be, if they are of a size worth it.
    #[inline(never)]
    pub fn extended(&self, fixed: &Fixed<'_>, devices: &Devices, domain: usize) -> Vec<Region, 2> {
        let areas = [Region::new(BANK0, BANK0_MAX), Region::between(BANK1, GUEST_END)];
        let mut extended = Vec::new();
        for area in areas {
            let mut start = area.start;
            let ram = self
                .extents
                .iter()
                .chain(devices.registers_of(domain))
                .map(|extent| Region::new(extent.guest, extent.size));
            for used in ram.chain(fixed.shared_of(domain).map(|view| view.guest)) {
                if used.overlaps(&area) {
                    start = start.max(used.end());
                }
            }
            let rest = Region::between(start, area.end()).shrink_to(BLOCK);
            if rest.size >= LEAST_EXTENDED {
                // Cannot fail: one at most of each area.
                let _ = extended.push(rest);
            }
        }
        extended
    }

    /// The ranges of guest addresses that hold RAM.
    #[inline(never)]
    pub fn banks(&self) -> Vec<Region, MAX_BANKS> {
        let mut banks: Vec<Region, MAX_BANKS> = Vec::new();
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
    /// Where each view of shared memory is in host memory, in the manifest's order.
    pub shared: Vec<u64, MAX_SHARED>,
}

impl Plan {
    /// Divides the machine's memory. `image` and `tree` are what the hypervisor and the blob take; `pool_bytes` is what
    /// the hypervisor wants besides.
    ///
    /// # Errors
    ///
    /// [`BootError::NoRoom`] or [`BootError::NoPool`].
    #[inline(never)]
    pub fn make<'a>(
        host: &Host<'a>,
        manifest: &Manifest<'a>,
        image: Region,
        tree: Region,
        pool_bytes: u64,
    ) -> Result<Self, BootError<'a>> {
        let mut free = Free { pieces: host.ram.iter().map(|ram| ram.shrink_to(PAGE)).collect() };
        for taken in host.reserved.iter().copied().chain([image, tree]) {
            free.remove(taken);
        }
        for taken in &manifest.taken() {
            free.remove(*taken);
        }
        let pool_bytes = align_up(pool_bytes, PAGE).unwrap_or(pool_bytes);
        let pool =
            free.take_pool(pool_bytes).ok_or(BootError::NoPool { want: pool_bytes, largest: free.largest(PAGE) })?;
        let mut shared = Vec::new();
        for (number, view) in manifest.fixed.shared.iter().enumerate() {
            let before = manifest.fixed.shared.iter().take(number).position(|other| other.id == view.id);
            let known = before.and_then(|before| shared.get(before).copied());
            let host = match view.host.or(known) {
                Some(host) => host.saturating_add(view.offset),
                None => free.take_shared(view)?,
            };
            // Cannot fail: there are as many places as views.
            let _ = shared.push(host);
        }
        let mut guests = Vec::new();
        for (index, domain) in manifest.domains.iter().enumerate() {
            let memory = match given(manifest, index, domain, &host.banks)? {
                Some(memory) => memory,
                None => free.take_guest(domain, &host.banks)?,
            };
            check_views(manifest, index, &memory, &host.banks)?;
            // Cannot fail: the manifest has no more domains than this has room for.
            drop(guests.push(memory));
        }
        Ok(Self { pool, guests, shared })
    }

    /// The memory that a guest shares.
    #[inline(never)]
    pub fn views(&self, manifest: &Manifest<'_>, domain: usize) -> Vec<Extent, MAX_SHARED> {
        let views = manifest.fixed.shared.iter().zip(&self.shared);
        let own = views.filter(|(view, _)| usize::from(view.domain) == domain);
        own.map(|(view, host)| Extent { guest: view.guest.start, host: *host, size: view.guest.size }).collect()
    }
}

/// The memory of a guest whose tree says where it is; `None` where it does not.
#[inline(never)]
fn given<'a>(
    manifest: &Manifest<'a>,
    index: usize,
    domain: &DomainSpec<'a>,
    banks: &Banks,
) -> Result<Option<GuestMemory>, BootError<'a>> {
    let mut memory = GuestMemory::default();
    let mut next = banks.first.start;
    for place in manifest.fixed.memory_of(index) {
        let mut place = place;
        while place.size != 0 {
            let room = if domain.direct_map { u64::MAX } else { banks.left(next) };
            let (guest, size) = (if domain.direct_map { place.start } else { next }, place.size.min(room));
            let limit = MAX_EXTENTS;
            let full = BootError::TooMany { path: domain.path, what: "pieces of a guest's memory", limit };
            memory.extents.push(Extent { guest, host: place.start, size }).map_err(|_| full)?;
            next = banks.after(next, size);
            place = Region::new(place.start.saturating_add(size), place.size.saturating_sub(size));
        }
    }
    let what = ": with direct-map, memory is in two ranges at most: put them together";
    if memory.count_banks() > MAX_BANKS {
        return Err(BootError::BadNode { path: domain.path, what });
    }
    Ok((!memory.extents.is_empty()).then_some(memory))
}

/// Shared memory must lie where the guest has nothing else.
fn check_views<'a>(
    manifest: &Manifest<'a>,
    index: usize,
    memory: &GuestMemory,
    places: &Banks,
) -> Result<(), BootError<'a>> {
    let banks = memory.banks();
    for (number, view) in manifest.fixed.shared_of(index).enumerate() {
        let mut before = manifest.fixed.shared_of(index).take(number);
        let named = !view.id.is_empty();
        if banks.iter().any(|bank| bank.overlaps(&view.guest))
            || before.any(|other| other.guest.overlaps(&view.guest))
            || named && places.io_domain.overlaps(&view.guest)
        {
            let want = "at a guest address where the guest has neither RAM nor other shared memory";
            return Err(BootError::BadValue { path: view.path, property: "xen,shared-mem", want });
        }
    }
    Ok(())
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

    fn take_guest<'a>(&mut self, domain: &DomainSpec<'a>, banks: &Banks) -> Result<GuestMemory, BootError<'a>> {
        let no_room = BootError::NoRoom {
            name: domain.name,
            want: domain.memory,
            largest: self.largest(BLOCK),
            total: self.total(BLOCK),
        };
        let mut memory = GuestMemory::default();
        let (mut guest, mut left) = (banks.first.start, domain.memory);
        while left != 0 {
            let piece = self.take_piece(left.min(banks.left(guest))).ok_or(no_room)?;
            let extent = Extent { guest, host: piece.start, size: piece.size };
            memory.extents.push(extent).map_err(|_| no_room)?;
            left = left.saturating_sub(piece.size);
            guest = banks.after(guest, piece.size);
        }
        Ok(memory)
    }

    /// Takes memory that guests share, at the same place in its block as the first guest sees it.
    fn take_shared<'a>(&mut self, view: &SharedMemory<'a>) -> Result<u64, BootError<'a>> {
        let offset = view.guest.start % BLOCK;
        let want = view.guest.size.saturating_add(offset);
        let what = ": there is no room for this shared memory: make it smaller, or say where it is";
        let place = self.tightest(want, BLOCK).or_else(|| self.tail(want));
        let place = place.ok_or(BootError::BadNode { path: view.path, what })?;
        let host = place.start.saturating_add(offset);
        self.remove(Region::new(host, view.guest.size));
        Ok(host)
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
