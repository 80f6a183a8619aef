//! What a multiboot loader knows: memory, and the files that it brought.
//!
//! Source: Multiboot Specification 0.6.96, section 3.3. Read while the first 4 GiB are mapped one to one, where all of it
//! lies, and copied, because nothing says that it stays.

use core::ptr;

use heapless::Vec;
use hyp_boot::Region;

/// Ranges of RAM, and files.
const MAX_RAM: usize = 16;
const MAX_FILES: usize = 25;
/// Flags: there are files; there is a memory map.
const FILES: u32 = 1 << 3;
const MEMORY_MAP: u32 = 1 << 6;
/// A range is RAM.
const RAM: u32 = 1;
/// Nothing below is used: it is the firmware's.
const LOWEST: u64 = 0x10_0000;

/// It.
pub(crate) struct Loader {
    /// RAM, from 1 MiB on.
    pub(crate) ram: Vec<Region, MAX_RAM>,
    /// Files, in the order in which the loader was told of them.
    pub(crate) files: Vec<Region, MAX_FILES>,
}

fn word(at: u64) -> u32 {
    // SAFETY: the first 4 GiB are mapped; whatever is there may be read.
    unsafe { ptr::read_unaligned(at as *const u32) }
}

fn long(at: u64) -> u64 {
    u64::from(word(at)) | u64::from(word(at + 4)) << 32
}

impl Loader {
    /// Reads it from the address that the loader passed.
    ///
    /// # Errors
    /// What is missing or too much.
    pub(crate) fn read(info: u64) -> Result<Self, &'static str> {
        let mut loader = Self { ram: Vec::new(), files: Vec::new() };
        let flags = word(info);
        if flags & MEMORY_MAP == 0 {
            return Err("the loader gives no memory map: use one that follows multiboot 1");
        }
        let (length, map) = (u64::from(word(info + 44)), u64::from(word(info + 48)));
        let mut at = map;
        while at < map + length {
            let (start, size, kind) = (long(at + 4), long(at + 12), word(at + 20));
            let ram = Region::between(start.max(LOWEST), start.saturating_add(size));
            if kind == RAM && ram.size != 0 {
                loader.ram.push(ram).map_err(|_| "the loader's memory map has more than 16 ranges of RAM")?;
            }
            at += u64::from(word(at)) + 4;
        }
        if flags & FILES != 0 {
            let (count, list) = (u64::from(word(info + 20)), u64::from(word(info + 24)));
            for entry in (0..count).map(|number| list + number * 16) {
                let file = Region::between(word(entry).into(), word(entry + 4).into());
                loader.files.push(file).map_err(|_| "the loader brings more than 25 files")?;
            }
        }
        Ok(loader)
    }
}
