//! Where the hypervisor lies, in physical and in virtual addresses.
//!
//! Three windows and nothing else: the image and its pool at [`image_va`] (2 MiB, page by page), all of RAM but those
//! 2 MiB at [`DIRECT_MAP`] plus the physical address, and devices in the same window with device attributes.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use hyp_boot::Region;

/// Virtual minus physical address of RAM and devices.
pub(crate) const DIRECT_MAP: u64 = 1 << 39;
/// The image and its pool share one block of this size.
pub(crate) const IMAGE_BLOCK: u64 = 0x20_0000;
/// Size of a page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// Physical address of the image, set once at boot.
static LOADED_AT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static image_start: u8;
    static file_end: u8;
    static image_end: u8;
    static boot_tables: u8;
    static boot_tables_end: u8;
    static secondary_entry: u8;
}

/// The address of a symbol of the link script.
macro_rules! address {
    ($symbol:ident) => {
        ptr::addr_of!($symbol) as u64
    };
}

/// Notes where the loader put the image; the first thing that boot does.
pub(crate) fn set_loaded_at(physical: u64) {
    LOADED_AT.store(physical, Ordering::Relaxed);
}

/// The 2 MiB of the hypervisor, physical.
pub(crate) fn image_block() -> Region {
    Region { start: LOADED_AT.load(Ordering::Relaxed), size: IMAGE_BLOCK }
}

/// Virtual address of the image.
pub(crate) fn image_va() -> u64 {
    address!(image_start)
}

/// Bytes in the image file.
pub(crate) fn file_bytes() -> u64 {
    address!(file_end).wrapping_sub(image_va())
}

/// Bytes of the image with zeroed data and the boot stack.
pub(crate) fn image_bytes() -> u64 {
    address!(image_end).wrapping_sub(image_va())
}

/// The first-stage tables' memory, virtual: start and end.
pub(crate) fn tables() -> (u64, u64) {
    (address!(boot_tables), address!(boot_tables_end))
}

/// Where firmware starts another CPU, physical.
pub(crate) fn secondary_entry_pa() -> u64 {
    image_pa(address!(secondary_entry))
}

/// Physical address of something inside the image or the pool.
pub(crate) fn image_pa(va: u64) -> u64 {
    va.wrapping_sub(image_va()).wrapping_add(LOADED_AT.load(Ordering::Relaxed))
}

/// Virtual address of a physical one: in the image's window if it lies in the hypervisor's block, else in the
/// direct map.
pub(crate) fn va(pa: u64) -> u64 {
    let block = image_block();
    let offset = pa.wrapping_sub(block.start);
    if offset < block.size { image_va().wrapping_add(offset) } else { pa.wrapping_add(DIRECT_MAP) }
}
