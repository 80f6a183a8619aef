//! The hypervisor's own address space.
//!
//! boot.s maps the first 4 GiB one to one; [`init`] replaces that by the image with each section's rights, and the rest adds
//! RAM and devices. Nothing is ever both writable and executable.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use hyp_boot::Region;

use crate::layout::{self, DIRECT_MAP, IMAGE_BLOCK, PAGE_SIZE};

/// Entry bits (Intel SDM 3A, 4.5.4): present, writable, uncached, a block instead of a table, never executed.
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const BLOCK: u64 = 1 << 7;
const EXECUTE_NEVER: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const BLOCK_2M: u64 = 1 << 21;

/// The root table, and the next free one.
static ROOT: AtomicU64 = AtomicU64::new(0);
static NEXT_TABLE: AtomicU64 = AtomicU64::new(0);

/// The machine needs more page tables than the image reserves.
#[derive(Debug)]
pub(crate) struct OutOfTables;

impl core::fmt::Display for OutOfTables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(
            "RAM and devices lie too far apart for the hypervisor's page tables: enlarge boot_tables in image.ld",
        )
    }
}

/// Makes the real tables, of which `used` bytes are boot.s's, but does not use them yet.
pub(crate) fn init(used: u64) -> Result<(), OutOfTables> {
    NEXT_TABLE.store(layout::tables().0 + used, Ordering::Relaxed);
    ROOT.store(new_table()?, Ordering::Relaxed);
    let start = layout::image_start();
    for page in (start..start + IMAGE_BLOCK).step_by(PAGE_SIZE as usize) {
        let rights = if page < layout::text_end() {
            0
        } else if page < layout::rodata_end() {
            EXECUTE_NEVER
        } else if page == layout::stack_guard() {
            continue;
        } else {
            EXECUTE_NEVER | WRITABLE
        };
        let table = walk(page, 12)?.ok_or(OutOfTables)?;
        write(table, index(page, 12), page | rights | PRESENT);
    }
    Ok(())
}

/// Uses them on this CPU.
pub(crate) fn switch() {
    let root = ROOT.load(Ordering::Relaxed);
    // SAFETY: the tables map the image, where this code, its stack and all its data are, where they are mapped now.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

fn read(table: u64, index: u64) -> u64 {
    // SAFETY: `table` is the address of one of the image's own tables and `index` is below 512; only the booting CPU
    // changes tables.
    unsafe { ptr::read_volatile((table + index * 8) as *const u64) }
}

fn write(table: u64, index: u64, entry: u64) {
    // SAFETY: as in `read`; the walkers of all CPUs accept an aligned 64-bit store at any time.
    unsafe { ptr::write_volatile((table + index * 8) as *mut u64, entry) }
}

/// A fresh table, zeroed by boot.s.
fn new_table() -> Result<u64, OutOfTables> {
    let table = NEXT_TABLE.fetch_add(PAGE_SIZE, Ordering::Relaxed);
    if table + PAGE_SIZE > layout::tables().1 { Err(OutOfTables) } else { Ok(table) }
}

const fn index(va: u64, shift: u32) -> u64 {
    va >> shift & 511
}

/// The table in which the entry for `va` at level `shift` stands, made on the way. `None` where a block is there.
fn walk(va: u64, shift: u32) -> Result<Option<u64>, OutOfTables> {
    let mut table = ROOT.load(Ordering::Relaxed);
    let mut level = 39;
    while level > shift {
        let mut entry = read(table, index(va, level));
        if entry == 0 {
            entry = new_table()? | PRESENT | WRITABLE;
            write(table, index(va, level), entry);
        } else if entry & BLOCK != 0 {
            return Ok(None);
        }
        table = entry & ADDRESS;
        level -= 9;
    }
    Ok(Some(table))
}

/// Maps a range of physical memory in the direct map in blocks of 2 MiB. `inward` drops the edges that do not fill one,
/// otherwise they are rounded out.
fn map_range(region: Region, attributes: u64, inward: bool) -> Result<(), OutOfTables> {
    let (down, up) = (region.start & !(BLOCK_2M - 1), |x: u64| x.next_multiple_of(BLOCK_2M));
    let (start, end) =
        if inward { (up(region.start), region.end() & !(BLOCK_2M - 1)) } else { (down, up(region.end())) };
    for at in (start..end).step_by(BLOCK_2M as usize) {
        let va = at + DIRECT_MAP;
        let own = Region::new(at, BLOCK_2M).overlaps(&layout::image_block());
        if let Some(table) = walk(va, 21)?.filter(|_| !own)
            && read(table, index(va, 21)) == 0
        {
            write(table, index(va, 21), at | attributes | BLOCK | WRITABLE | PRESENT | EXECUTE_NEVER);
        }
    }
    Ok(())
}

/// Maps RAM, all but the hypervisor's own block. What does not fill 2 MiB is left out.
pub(crate) fn map_ram(region: Region) -> Result<(), OutOfTables> {
    map_range(region, 0, true)
}

/// Maps a device's registers; returns their virtual address.
pub(crate) fn map_device(region: Region) -> Result<u64, OutOfTables> {
    map_range(region, UNCACHED, false)?;
    Ok(region.start + DIRECT_MAP)
}

/// Takes away a page of the image's window, so that what runs over it faults.
pub(crate) fn unmap_guard(va: u64) -> Result<(), OutOfTables> {
    if let Some(table) = walk(va, 12)? {
        write(table, index(va, 12), 0);
    }
    // SAFETY: forgetting a translation has no other effect.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
    Ok(())
}
