//! Modules of Debian's full kernels that a guest with devices needs. Debian's packages have no table of dependencies, as that is
//! made where they are installed; each module names what it needs, and the order of loading follows from that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};

use crate::board::Board;
use crate::packages;

/// What of the full kernels' packages is unpacked: the kernel and these modules.
pub(super) const PARTS: &[&str] = &[
    "boot",
    "lib/modules/*/kernel/crypto/crc32c_generic.ko",
    "lib/modules/*/kernel/drivers/block/virtio_blk.ko",
    "lib/modules/*/kernel/drivers/block/xen*",
    "lib/modules/*/kernel/drivers/input/evdev.ko",
    "lib/modules/*/kernel/drivers/net/net_failover.ko",
    "lib/modules/*/kernel/drivers/net/virtio_net.ko",
    "lib/modules/*/kernel/drivers/net/xen*",
    "lib/modules/*/kernel/drivers/virtio/virtio*.ko",
    "lib/modules/*/kernel/drivers/xen",
    "lib/modules/*/kernel/fs/ext4",
    "lib/modules/*/kernel/fs/jbd2",
    "lib/modules/*/kernel/fs/mbcache.ko",
    "lib/modules/*/kernel/lib/crc16.ko",
    "lib/modules/*/kernel/net/802/stp.ko",
    "lib/modules/*/kernel/net/bridge/bridge.ko",
    "lib/modules/*/kernel/net/core/failover.ko",
    "lib/modules/*/kernel/net/llc/llc.ko",
    "lib/modules/*/kernel/sound/core/snd*.ko",
    "lib/modules/*/kernel/sound/soundcore.ko",
    "lib/modules/*/kernel/sound/xen",
];

/// Modules that are loaded together, by what a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// The file system.
    Ext4,
    /// Xen's front ends; those of the frame buffer and the keyboard are in the kernel.
    Xen,
    /// Virtio's drivers, for the same devices without a hypervisor.
    Virtio,
    /// What the peer's domain 0 serves a disk and a network card with.
    Domain0,
}

impl Set {
    /// Its name in an initial RAM disk.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xen => "xen",
            Self::Virtio => "virtio",
            Self::Domain0 => "domain0",
        }
    }

    /// The modules that somebody wants; a checksum that ext4 asks for by another name comes before it.
    fn wanted(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["crc32c_generic", "ext4"],
            Self::Xen => &["xen_blkfront", "xen_netfront", "snd_xen_front", "evdev"],
            Self::Virtio => &["virtio_mmio", "virtio_blk", "virtio_net"],
            Self::Domain0 => {
                &["xen_privcmd", "xen_evtchn", "xen_gntdev", "xenfs", "xen_blkback", "xen_netback", "bridge"]
            }
        }
    }
}

/// A module.
struct Module {
    bytes: Vec<u8>,
    /// Names of those that it needs.
    needs: Vec<String>,
}

/// The modules of a package by their names.
pub(super) struct Modules(BTreeMap<String, Module>);

impl Modules {
    /// Reads all that are unpacked.
    ///
    /// # Errors
    /// A file cannot be read, or says nothing of itself.
    pub(super) fn read(package: &Path, board: Board) -> Result<Self> {
        let kernel = packages::file(&package.join("lib/modules"), "")?.join("kernel");
        let mut modules = BTreeMap::new();
        let mut folders = vec![kernel];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
                let path: PathBuf = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "ko") {
                    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    let needs = needs(&bytes).with_context(|| format!("module {}", path.display()))?;
                    let name = plain(&path.file_stem().unwrap_or_default().to_string_lossy());
                    modules.insert(name, Module { bytes, needs });
                }
            }
        }
        ensure!(!modules.is_empty(), "{} has no modules for {}", package.display(), board.debian());
        Ok(Self(modules))
    }

    /// The modules of a set in the order of loading.
    ///
    /// # Errors
    /// One is missing.
    pub(super) fn in_order(&self, set: Set) -> Result<Vec<(&str, &[u8])>> {
        let mut order = Vec::new();
        for name in set.wanted() {
            self.enter(name, &mut order)?;
        }
        Ok(order)
    }

    /// Enters a module behind those that it needs. The kernel's build has refused circles.
    fn enter<'m>(&'m self, name: &str, order: &mut Vec<(&'m str, &'m [u8])>) -> Result<()> {
        if order.iter().any(|(other, _)| *other == name) {
            return Ok(());
        }
        let (name, module) = self.0.get_key_value(name).with_context(|| format!("module {name} is not unpacked"))?;
        for needed in &module.needs {
            self.enter(needed, order)?;
        }
        order.push((name, &module.bytes));
        Ok(())
    }
}

/// The names of the modules that a module needs.
fn needs(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module).context("this is no ELF file")?;
    let section = file.section_by_name(".modinfo").context("it has no section .modinfo")?;
    needs_of(section.data().context("its section .modinfo cannot be read")?)
}

/// The same from its section `.modinfo`, strings that end with a zero byte.
fn needs_of(information: &[u8]) -> Result<Vec<String>> {
    let mut strings = information.split(|byte| *byte == 0).filter_map(|string| std::str::from_utf8(string).ok());
    let names = strings.find_map(|string| string.strip_prefix("depends=")).context("it does not say what it needs")?;
    Ok(names.split(',').filter(|name| !name.is_empty()).map(plain).collect())
}

/// A module's name with the one kind of dash that the kernel uses inside.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::{Module, Modules, Set, needs_of};

    #[test]
    fn a_module_is_loaded_behind_what_it_needs() {
        let names = [("virtio_mmio", "virtio-ring"), ("virtio_blk", ""), ("virtio_net", "net_failover,virtio_ring")];
        let more = [("virtio_ring", ""), ("net_failover", "")];
        let modules = names.into_iter().chain(more).map(|(name, needs)| {
            let needs = needs_of(format!("license=GPL\0depends={needs}\0name={name}\0").as_bytes()).unwrap();
            (name.to_owned(), Module { bytes: Vec::new(), needs })
        });
        let modules = Modules(modules.collect());
        let order: Vec<&str> = modules.in_order(Set::Virtio).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["virtio_ring", "virtio_mmio", "virtio_blk", "net_failover", "virtio_net"]);
        let error = modules.in_order(Set::Xen).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("xen_blkfront is not unpacked"), "{error}");
        assert!(needs_of(b"license=GPL\0").is_err());
    }
}
