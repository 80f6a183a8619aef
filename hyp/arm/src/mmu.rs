//! The hypervisor's own address space (stage 1 of EL2).
//!
//! boot.s makes the tables and maps the image with each section's rights; this adds RAM and devices and takes guard
//! pages away. Nothing is ever both writable and executable: SCTLR_EL2.WXN makes the processor insist.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use hyp_boot::Region;

use crate::layout::{self, DIRECT_MAP, PAGE_SIZE};

/// Descriptor bits (Arm ARM D8.3): valid, AP[1] which is RES1 here, inner shareable, access flag, execute-never.
const LEAF: u64 = 1 | 1 << 6 | 3 << 8 | 1 << 10 | 1 << 54;
/// Index 1 of MAIR_EL2, see boot.s: normal write-back memory. Index 0 is device memory.
const NORMAL: u64 = 1 << 2;
const TABLE: u64 = 3;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const BLOCK_2M: u64 = 1 << 21;
const BLOCK_1G: u64 = 1 << 30;

/// The next free table, virtual.
static NEXT_TABLE: AtomicU64 = AtomicU64::new(0);

/// The machine needs more first-stage tables than the image reserves.
#[derive(Debug)]
pub(crate) struct OutOfTables;

impl core::fmt::Display for OutOfTables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(
            "RAM and devices lie too far apart for the hypervisor's page tables: enlarge boot_tables in image.ld",
        )
    }
}

/// Notes how much of the tables' memory boot.s has used.
pub(crate) fn init(used: u64) {
    NEXT_TABLE.store(layout::tables().0 + used, Ordering::Relaxed);
}

fn read(table: u64, index: u64) -> u64 {
    // SAFETY: `table` is the virtual address of one of the image's own tables and `index` is below 512; only the
    // booting CPU changes tables.
    unsafe { ptr::read_volatile((table as *const u64).wrapping_add(index as usize)) }
}

fn write(table: u64, index: u64, entry: u64) {
    // SAFETY: as in `read`; the walkers of all CPUs accept an aligned 64-bit store at any time.
    unsafe { ptr::write_volatile((table as *mut u64).wrapping_add(index as usize), entry) }
}

fn new_table() -> Result<u64, OutOfTables> {
    let table = NEXT_TABLE.fetch_add(PAGE_SIZE, Ordering::Relaxed);
    if table + PAGE_SIZE > layout::tables().1 { Err(OutOfTables) } else { Ok(table) }
}

const fn index(va: u64, shift: u32) -> u64 {
    va >> shift & 511
}

/// The table in which the entry for `va` at level `shift` stands, made on the way. `None` where a block is there.
fn walk(va: u64, shift: u32) -> Result<Option<u64>, OutOfTables> {
    let mut table = layout::tables().0;
    let mut level = 39;
    while level > shift {
        let mut entry = read(table, index(va, level));
        if entry == 0 {
            entry = layout::image_pa(new_table()?) | TABLE;
            write(table, index(va, level), entry);
        } else if entry & TABLE != TABLE {
            return Ok(None);
        }
        table = layout::va(entry & ADDRESS);
        level -= 9;
    }
    Ok(Some(table))
}

fn map(pa: u64, shift: u32, attributes: u64) -> Result<bool, OutOfTables> {
    let va = pa.wrapping_add(DIRECT_MAP);
    let Some(table) = walk(va, shift)? else { return Ok(true) };
    if read(table, index(va, shift)) & TABLE == TABLE {
        return Ok(false);
    }
    write(table, index(va, shift), pa | attributes | 1);
    Ok(true)
}

/// Maps a range of physical memory in the direct map with the largest blocks that fit. `inward` drops the edges that
/// do not fill 2 MiB, otherwise they are rounded out.
fn map_range(region: Region, attributes: u64, inward: bool, holes: &[Region]) -> Result<(), OutOfTables> {
    let (down, up) = (region.start & !(BLOCK_2M - 1), |x: u64| x.next_multiple_of(BLOCK_2M));
    let (mut at, end) =
        if inward { (up(region.start), region.end() & !(BLOCK_2M - 1)) } else { (down, up(region.end())) };
    let own = layout::image_block();
    let has_hole = |block: Region| block.overlaps(&own) || holes.iter().any(|hole| block.overlaps(hole));
    while at < end {
        let whole = at.is_multiple_of(BLOCK_1G) && end - at >= BLOCK_1G && !has_hole(Region::new(at, BLOCK_1G));
        if whole && map(at, 30, LEAF | attributes)? {
            at += BLOCK_1G;
            continue;
        }
        if !has_hole(Region::new(at, BLOCK_2M)) {
            map(at, 21, LEAF | attributes)?;
        }
        at += BLOCK_2M;
    }
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
    Ok(())
}

/// Maps RAM, all but the hypervisor's own block and what is reserved: a processor may read ahead into whatever is mapped,
/// and firmware's memory may answer that with an abort. What shares 2 MiB with either is left out too.
pub(crate) fn map_ram(region: Region, reserved: &[Region]) -> Result<(), OutOfTables> {
    map_range(region, NORMAL, true, reserved)
}

/// Maps a device's registers; returns their virtual address.
pub(crate) fn map_device(region: Region) -> Result<u64, OutOfTables> {
    map_range(region, 0, false, &[])?;
    Ok(region.start.wrapping_add(DIRECT_MAP))
}

/// Takes away a page of the image's window, so that what runs over it faults.
pub(crate) fn unmap_guard(va: u64) -> Result<(), OutOfTables> {
    if let Some(table) = walk(va, 12)? {
        write(table, index(va, 12), 0);
    }
    crate::tlb::invalidate_own(va);
    Ok(())
}
