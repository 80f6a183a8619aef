//! Where the hypervisor lies, in physical and in virtual addresses.
//!
//! Three windows and nothing else: the image and its pool where they are linked (2 MiB, page by page, one to one), all of
//! RAM but those 2 MiB at [`DIRECT_MAP`] plus the physical address, and devices in the same window without a cache.

use core::ptr;

use hyp_boot::Region;

/// Virtual minus physical address of RAM and devices.
pub(crate) const DIRECT_MAP: u64 = 1 << 39;
/// The image and its pool share one block of this size.
pub(crate) const IMAGE_BLOCK: u64 = 0x20_0000;
/// Size of a page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// The link script's.
mod symbols {
    unsafe extern "C" {
        pub(super) static image_start: u8;
        pub(super) static text_end: u8;
        pub(super) static rodata_end: u8;
        pub(super) static file_end: u8;
        pub(super) static image_end: u8;
        pub(super) static boot_tables: u8;
        pub(super) static boot_tables_end: u8;
        pub(super) static stack_guard: u8;
    }
}

/// The address of a symbol of the link script.
macro_rules! address {
    ($symbol:ident) => {
        ptr::addr_of!(symbols::$symbol) as u64
    };
}

/// The 2 MiB of the hypervisor.
pub(crate) fn image_block() -> Region {
    Region { start: image_start(), size: IMAGE_BLOCK }
}

/// Address of the image.
pub(crate) fn image_start() -> u64 {
    address!(image_start)
}

/// Where executable code ends.
pub(crate) fn text_end() -> u64 {
    address!(text_end)
}

/// Where constants end.
pub(crate) fn rodata_end() -> u64 {
    address!(rodata_end)
}

/// Bytes in the image file.
pub(crate) fn file_bytes() -> u64 {
    address!(file_end) - image_start()
}

/// Bytes of the image with zeroed data and the boot stack.
pub(crate) fn image_bytes() -> u64 {
    address!(image_end) - image_start()
}

/// The page that stays unmapped below the boot stack.
pub(crate) fn stack_guard() -> u64 {
    address!(stack_guard)
}

/// The page tables' memory: start and end.
pub(crate) fn tables() -> (u64, u64) {
    (address!(boot_tables), address!(boot_tables_end))
}

/// Virtual address of a physical one: in the image's window if it lies in the hypervisor's block, else in the direct map.
pub(crate) fn va(pa: u64) -> u64 {
    let block = image_block();
    if pa >= block.start && pa < block.end() { pa } else { pa + DIRECT_MAP }
}
