//! A block device without the kernel's cache in between, and memory that it can be read into.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Linux, include/uapi/asm-generic/fcntl.h and arch/arm64/include/uapi/asm/fcntl.h.
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200_000 } else { 0o40_000 };
/// The same file.
const O_SYNC: i32 = 0o4_010_000;

/// Bytes of the page that memory for such a device starts at.
pub const PAGE: usize = 4096;

#[derive(Clone, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// Memory at the start of a page.
pub struct Buffer(Vec<Page>);

impl Buffer {
    /// Zeros, `bytes` rounded up to pages.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(vec![Page::new_zeroed(); bytes.div_ceil(PAGE)])
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice().as_mut_bytes()
    }
}

/// Opens a device, and says how many bytes it has. With `sync` a write is answered only when it is on the disk.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &str, sync: bool) -> Result<(File, u64)> {
    let flags = if sync { O_DIRECT | O_SYNC } else { O_DIRECT };
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let mut file = file.with_context(|| format!("cannot open {path}"))?;
    let bytes = file.seek(SeekFrom::End(0)).with_context(|| format!("cannot find the end of {path}"))?;
    Ok((file, bytes))
}
