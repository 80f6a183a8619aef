//! Where things go in RAM before the hypervisor runs. Modules lie above the emulator's place for the tree, each aligned
//! to 2 MiB, so that the hypervisor can use them in place with block mappings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::RAM_BASE;

const ALIGN: u64 = 2 << 20;

/// Where a PC's RAM below its devices ends at the latest, and what its firmware keeps at the end.
const PC_LOW_END: u64 = 3 << 30;
const PC_FIRMWARE: u64 = 16 << 20;

/// Space kept for the tree, bytes.
const TREE_GAP: u64 = 16 << 20;

/// Where QEMU's loader puts the tree: 128 MiB above the start of RAM, or in the middle of less.
pub(crate) fn tree_address(ram_bytes: u64) -> u64 {
    RAM_BASE + (ram_bytes / 2).min(128 << 20)
}

/// A file, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its physical address; `None` where the loader chooses.
    pub(crate) address: Option<u64>,
}

/// Modules placed so far.
pub(crate) struct Layout {
    /// The modules in order.
    pub(crate) modules: Vec<Module>,
    /// The next free address; `None` where the loader chooses.
    free: Option<u64>,
    /// The end of what nobody has.
    end: u64,
}

impl Layout {
    /// A machine with this much RAM and no modules.
    pub(crate) fn new(ram_bytes: u64) -> Self {
        let free = Some(tree_address(ram_bytes) + TREE_GAP);
        Self { modules: Vec::new(), free, end: RAM_BASE + ram_bytes }
    }

    /// A PC with this much RAM, whose loader takes a list of modules and says where it has put them: the tree's nodes stand for
    /// them in their order.
    pub(crate) fn in_order(ram_bytes: u64) -> Self {
        let end = ram_bytes.min(PC_LOW_END).saturating_sub(PC_FIRMWARE);
        Self { modules: Vec::new(), free: None, end }
    }

    /// Takes the end of RAM away, in whole blocks.
    ///
    /// # Errors
    /// If there is not so much.
    pub(crate) fn take_top(&mut self, bytes: u64) -> Result<u64> {
        let end = self.end;
        let top = end.checked_sub(bytes).map(|top| top / ALIGN * ALIGN);
        // Where the loader chooses, it does so from the start of RAM; what overlaps is refused by who reads the tree.
        let Some(top) = top.filter(|&top| top >= self.free.unwrap_or(end / 2)) else {
            bail!("no room for {bytes} bytes at the end of RAM ({end:#x}); give the machine more memory_mib");
        };
        self.end = top;
        Ok(top)
    }

    /// Finds room for a file; returns address and size where they are known.
    ///
    /// # Errors
    /// If the file is not there, is empty, or does not fit into RAM.
    pub(crate) fn place(&mut self, path: &Path) -> Result<Option<(u64, u64)>> {
        let size = std::fs::metadata(path).with_context(|| format!("cannot read module {}", path.display()))?.len();
        if size == 0 {
            bail!("module {} is empty", path.display());
        }
        let end = self.end;
        let Some(address) = self.free else {
            self.modules.push(Module { path: path.to_owned(), address: None });
            return Ok(None);
        };
        if address + size > end {
            bail!(
                "module {} ({size} bytes at {address:#x}) ends above RAM ({end:#x}); give the machine more memory_mib",
                path.display(),
            );
        }
        self.modules.push(Module { path: path.to_owned(), address: Some(address) });
        self.free = Some((address + size).next_multiple_of(ALIGN));
        Ok(Some((address, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, Layout, tree_address};

    #[test]
    fn modules_are_apart_and_inside_ram() {
        let folder = std::env::temp_dir().join(format!("layout-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("module");
        std::fs::write(&file, vec![0; (2 << 20) + 1]).unwrap();
        let mut layout = Layout::new(1 << 30);
        assert_eq!(layout.place(&file).unwrap(), Some((0x4900_0000, (2 << 20) + 1)));
        assert_eq!(layout.place(&file).unwrap().unwrap().0, 0x4940_0000);
        assert!(layout.place(&folder.join("absent")).is_err());
        let mut small = Layout::new(32 << 20);
        assert_eq!(tree_address(32 << 20), 0x4100_0000);
        assert!(small.place(&file).unwrap_err().to_string().contains("ends above RAM"));
        let top = layout.take_top(64 << 20).unwrap();
        assert_eq!(top, 0x7c00_0000);
        assert!(layout.take_top(1 << 30).unwrap_err().to_string().contains("more memory_mib"));
        let mut pc = Layout::in_order(512 << 20);
        assert_eq!((pc.take_top(64 << 20).unwrap(), pc.place(&file).unwrap()), (0x1b00_0000 / ALIGN * ALIGN, None));
        assert!(pc.take_top(256 << 20).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
