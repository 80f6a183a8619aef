//! What a multiboot loader leaves in memory (Multiboot Specification 0.6.96, sections 3.1 and 3.3): the hypervisor where
//! its header says, and behind it the modules with what is told of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::compose::Composed;
use crate::image;

const MAGIC: u32 = 0x1bad_b002;
/// Flag of a header that says where it goes.
const HAS_ADDRESSES: u32 = 1 << 16;
const PAGE: usize = 4096;
/// What is told has a page of its own in front of the modules; offsets of its parts.
const MODULES: usize = 128;
const MAP: usize = 1024;
const NAME: usize = 2048;
/// RAM below 640 KiB that the BIOS leaves, and what it takes at the end for its tables.
const LOW_END: u64 = 0x9_f000;
const HIGH_START: u64 = 1 << 20;
const TABLES: u64 = 64 << 10;

/// Memory at the hypervisor's first instruction.
pub(super) struct Memory {
    /// Addresses, and what is there.
    pub(super) pieces: Vec<(u32, Vec<u8>)>,
    /// Where the multiboot information is.
    pub(super) information: u32,
    /// The first instruction.
    pub(super) entry: u32,
}

impl Memory {
    /// Reads the files; the tree is the first module.
    ///
    /// # Errors
    /// One cannot be read, or the hypervisor has no multiboot header.
    pub(super) fn load(image: &Path, composed: &Composed, ram: u64) -> Result<Self> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let hypervisor = read(image)?;
        let header = Header::find(&hypervisor).with_context(|| format!("{} is no multiboot image", image.display()))?;
        let loaded = header.loaded(&hypervisor).context("its multiboot header leads outside of the file")?;
        let information = header.end.next_multiple_of(PAGE as u32);
        let mut told = vec![0; PAGE];
        let mut ranges = Vec::new();
        for path in std::iter::once(&composed.tree).chain(composed.modules.iter().map(|module| &module.path)) {
            let start = information + told.len() as u32;
            let bytes = read(path)?;
            told.extend(image::only_loaded(&bytes));
            ranges.push([start, information + told.len() as u32]);
            told.resize(told.len().next_multiple_of(PAGE), 0);
        }
        ensure!(ranges.len() * 16 <= MAP - MODULES, "{} modules are too many", ranges.len());
        tell(&mut told, information, &ranges, ram);
        Ok(Self {
            pieces: vec![(header.start, loaded.to_vec()), (information, told)],
            information,
            entry: header.entry,
        })
    }
}

/// Writes the information, the list of modules and the memory map.
fn tell(told: &mut [u8], at: u32, modules: &[[u32; 2]], ram: u64) {
    /// Flags: sizes of memory, modules, memory map.
    const FLAGS: u32 = 1 | 1 << 3 | 1 << 6;
    let mut put = |offset: usize, words: &[u32]| {
        for (place, word) in told[offset..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    };
    let pieces = [(0, LOW_END), (HIGH_START, ram - HIGH_START - TABLES)];
    let kib = |bytes: u64| (bytes >> 10) as u32;
    let count = modules.len() as u32;
    let (list, map, name) = (at + MODULES as u32, at + MAP as u32, at + NAME as u32);
    put(0, &[FLAGS, kib(LOW_END), kib(pieces[1].1), 0, 0, count, list, 0, 0, 0, 0, 24 * pieces.len() as u32, map]);
    for (number, [start, end]) in modules.iter().enumerate() {
        put(MODULES + 16 * number, &[*start, *end, name, 0]);
    }
    for (number, (start, bytes)) in pieces.into_iter().enumerate() {
        let halves = [start as u32, (start >> 32) as u32, bytes as u32, (bytes >> 32) as u32];
        put(MAP + 24 * number, &[20, halves[0], halves[1], halves[2], halves[3], 1]);
    }
}

/// A header with addresses.
struct Header {
    /// Where it is in the file, and in memory.
    offset: u32,
    address: u32,
    start: u32,
    file_end: u32,
    /// Behind what is zero at first.
    end: u32,
    entry: u32,
}

impl Header {
    /// Within the first 8 KiB, at a multiple of 4 bytes.
    fn find(file: &[u8]) -> Option<Self> {
        let words: Vec<u32> =
            file.chunks_exact(4).take(2048).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let sound = |h: &[u32]| h[0] == MAGIC && h[0].wrapping_add(h[1]).wrapping_add(h[2]) == 0;
        let at = words.windows(8).position(|h| sound(h) && h[1] & HAS_ADDRESSES != 0)?;
        let [address, start, file_end, end, entry] = words[at + 3..at + 8].try_into().ok()?;
        Some(Self { offset: 4 * at as u32, address, start, file_end, end, entry })
    }

    /// What of the file goes to `start`.
    fn loaded<'f>(&self, file: &'f [u8]) -> Option<&'f [u8]> {
        let from = self.offset.checked_sub(self.address.checked_sub(self.start)?)? as usize;
        file.get(from..from + self.file_end.checked_sub(self.start)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, MAGIC, tell};

    #[test]
    fn a_header_is_found_and_says_what_is_loaded() {
        let flags = 0x1_0003u32;
        let header =
            [MAGIC, flags, 0u32.wrapping_sub(MAGIC + flags), 0x20_0004, 0x20_0000, 0x20_0030, 0x20_4000, 0x20_0020];
        let mut file = vec![9; 12];
        file.extend(header.into_iter().flat_map(u32::to_le_bytes));
        file.resize(200, 5);
        let found = Header::find(&file).unwrap();
        assert_eq!((found.entry, found.end), (0x20_0020, 0x20_4000));
        assert_eq!(found.loaded(&file).unwrap().len(), 0x30);
        assert_eq!(found.loaded(&file).unwrap()[..8], [9, 9, 9, 9, 2, 0xb0, 0xad, 0x1b]);
        file[16] ^= 1;
        assert!(Header::find(&file).is_none());
    }

    #[test]
    fn modules_and_memory_are_told() {
        let mut told = vec![0; 4096];
        tell(&mut told, 0x40_0000, &[[1, 2], [3, 4]], 128 << 20);
        let word = |at: usize| u32::from_le_bytes(told[at..at + 4].try_into().unwrap());
        assert_eq!([word(0), word(20), word(24), word(128), word(148)], [0x49, 2, 0x40_0080, 1, 4]);
        assert_eq!([word(44), word(1024), word(1048 + 4), word(1048 + 12)], [48, 20, 1 << 20, (127 << 20) - 0x1_0000]);
    }
}
