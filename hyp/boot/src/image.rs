//! Where a guest's kernel, device tree and ramdisk go in its memory.
//!
//! A kernel is an arm64 `Image` (Linux `Documentation/arch/arm64/booting.rst`): 64 bytes of header say how far behind a
//! 2 MiB boundary it runs and how much memory it needs, its zeroed data included. Device tree and ramdisk go to the end
//! of the bank, or of its first 512 MiB, because old kernels look no further; so a bare guest can use all memory between
//! its image and its device tree.

use crate::manifest::DomainSpec;
use crate::region::{align_down, align_up};
use crate::tree::number;
use crate::{BootError, Region};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Room for a guest's device tree; the ramdisk lies 2 MiB above it, where there is one.
pub const TREE_BYTES: u64 = 64 << 10;

const MAGIC: &[u8] = b"ARM\x64";
const BLOCK: u64 = 2 << 20;
/// Kernels before 4.2 look for their device tree in the 512 MiB around them.
const REACH: u64 = 512 << 20;
/// What `text_offset` is where the header of an old kernel does not say (`image_size` 0).
const OLD_TEXT_OFFSET: u64 = 0x8_0000;

/// The header's fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes from a 2 MiB boundary to the image.
    pub text_offset: u64,
    /// Bytes of memory that the kernel needs from there; 0 when the header does not say.
    pub image_size: u64,
    /// Bit 0: big-endian; bits 1-2: page size; bit 3: may be anywhere in memory.
    pub flags: u64,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// What is wrong, as words that follow the module's name.
    pub fn parse(head: &[u8]) -> Result<Self, &'static str> {
        let field = |at: usize| head.get(at..at.saturating_add(8)).and_then(little);
        let truncated = "is shorter than the header of an arm64 Image: load all of it, and give its size in reg";
        let magic = head.get(56..60).filter(|_| head.len() >= HEADER_BYTES).ok_or(truncated)?;
        if magic != MAGIC {
            return Err("is no arm64 Image (no magic number at byte 56): give an Image, as it is or packed by gzip");
        }
        let (text_offset, image_size, flags) = (field(8), field(16), field(24));
        let mut header = Self {
            text_offset: text_offset.ok_or(truncated)?,
            image_size: image_size.ok_or(truncated)?,
            flags: flags.ok_or(truncated)?,
        };
        if header.flags & 1 != 0 {
            return Err("is a big-endian arm64 Image: give a little-endian one");
        }
        if header.image_size == 0 {
            header.text_offset = OLD_TEXT_OFFSET;
        }
        if header.text_offset >= BLOCK {
            return Err("is a damaged arm64 Image (text_offset is 2 MiB or more): make it again");
        }
        Ok(header)
    }
}

/// A little-endian number of 8 bytes.
fn little(bytes: &[u8]) -> Option<u64> {
    number(bytes).map(u64::swap_bytes)
}

/// Guest-physical places of what a guest starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The first instruction.
    pub entry: u64,
    /// The kernel with the memory that it needs behind the file.
    pub kernel: Region,
    /// Room for the device tree.
    pub tree: Region,
    /// The ramdisk.
    pub ramdisk: Option<Region>,
}

impl Layout {
    /// Places a guest's files. `head` is the start of the kernel, unpacked, [`HEADER_BYTES`] or more (all of it when it is
    /// shorter); `file` is how many bytes the kernel has, unpacked; `bank` is the guest's first bank of memory.
    ///
    /// # Errors
    ///
    /// [`BootError::NotAnImage`] or [`BootError::TooLarge`].
    #[inline(never)]
    pub fn make<'a>(domain: &DomainSpec<'a>, head: &[u8], file: u64, bank: Region) -> Result<Self, BootError<'a>> {
        let head = head.get(..usize::try_from(file).unwrap_or(usize::MAX)).unwrap_or(head);
        let not_an_image = |what| BootError::NotAnImage { path: domain.kernel.path, what };
        let header = Header::parse(head).map_err(not_an_image)?;
        let size = header.image_size.max(file);
        let ramdisk = domain.ramdisk.map_or(0, |module| module.place.size);
        let too_large = BootError::TooLarge {
            path: domain.path,
            kernel: size.saturating_add(header.text_offset),
            ramdisk,
            bank: bank.size,
        };
        let kernel = Region::new(bank.start.saturating_add(header.text_offset), size);
        let (tree, ramdisk) = tail(bank, domain.ramdisk.map(|_| ramdisk)).ok_or(too_large)?;
        if kernel.end() > tree.start {
            return Err(too_large);
        }
        Ok(Self { entry: kernel.start, kernel, tree, ramdisk })
    }
}

/// Places device tree and ramdisk at the end of what a kernel reaches; `None` where they do not fit.
pub(crate) fn tail(bank: Region, ramdisk: Option<u64>) -> Option<(Region, Option<Region>)> {
    let end = bank.end().min(align_up(bank.start.checked_add(REACH)?, BLOCK)?);
    let Some(size) = ramdisk else {
        let tree = align_down(end.checked_sub(TREE_BYTES)?, TREE_BYTES);
        return (tree >= bank.start).then_some((Region::new(tree, TREE_BYTES), None));
    };
    let start = align_down(end.checked_sub(size)?, BLOCK);
    let tree = start.checked_sub(BLOCK)?;
    (tree >= bank.start).then_some((Region::new(tree, TREE_BYTES), Some(Region::new(start, size))))
}
