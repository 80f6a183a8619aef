//! The peer's domain 0 as far as a guest's disk and network card need it: Debian's kernel and its back ends, xenstore, and the
//! program that tells xenstore of a domain that Xen itself has made. All of it is from Debian's packages.

use std::path::PathBuf;

use anyhow::Result;

use super::modules::{Modules, Set};
use super::tree::Tree;
use super::{Flavour, busybox, libc, put, pv};
use crate::board::Board;
use crate::packages::Package;

const BOARD: Board = Board::QemuVirt;
/// What it does.
const INIT: &str = include_str!("../../../guests/linux/domain0/init.sh");
/// Names of busybox's that it needs.
const APPLETS: &str = "cat insmod ip mount printf sh sleep tr usleep";
const PROGRAMS: [(&str, &[&str], &[&str]); 2] = [
    ("xen-utils-4.17", &["usr/lib/xen-4.17/bin"], &["xenstored", "init-dom0less"]),
    ("xenstore-utils", &["usr/bin"], &["xenstore-write", "xenstore-chmod"]),
];
/// Packages of libraries that they are linked with, and the files.
const LIBRARIES: [(&str, &[&str]); 14] = [
    ("libfdt1", &["libfdt.so.1"]),
    ("libuuid1", &["libuuid.so.1"]),
    ("libxencall1", &["libxencall.so.1"]),
    ("libxendevicemodel1", &["libxendevicemodel.so.1"]),
    ("libxenevtchn1", &["libxenevtchn.so.1"]),
    ("libxenforeignmemory1", &["libxenforeignmemory.so.1"]),
    ("libxengnttab1", &["libxengnttab.so.1"]),
    ("libxenhypfs1", &["libxenhypfs.so.1"]),
    ("libxenmisc4.17", &["libxenctrl.so.4.17", "libxenguest.so.4.17", "libxenlight.so.4.17"]),
    ("libxenstore4", &["libxenstore.so.4"]),
    ("libxentoolcore1", &["libxentoolcore.so.1"]),
    ("libxentoollog1", &["libxentoollog.so.1"]),
    ("libyajl2", &["libyajl.so.2"]),
    ("zlib1g", &["libz.so.1"]),
];
/// Where Debian has libraries: some packages the one, some the other.
const FOLDERS: [&str; 2] = ["usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu"];

/// The archive for the full kernel, fetched if it is not there yet.
///
/// # Errors
/// As for [`Package::unpacked`].
pub(crate) fn initramfs() -> Result<PathBuf> {
    let modules = Modules::read(&Flavour::Full.package(BOARD).unpacked()?, BOARD)?;
    let mut tree = Tree::default();
    for folder in ["dev", "proc", "run", "sys", "tmp", "var/lib/xen", "var/lib/xenstored", "var/run/xenstored"] {
        tree.folder(folder);
    }
    tree.program("bin/busybox", busybox(BOARD)?);
    for name in APPLETS.split_whitespace() {
        tree.link(&format!("bin/{name}"), "busybox");
    }
    tree.program("init", INIT);
    pv::load(&mut tree, &modules, &[Set::Virtio, Set::Domain0])?;
    for (package, parts, programs) in PROGRAMS {
        let folder = fetched(package, parts)?.join(parts[0]);
        for program in programs {
            tree.copy(&format!("bin/{program}"), &folder.join(program))?;
        }
    }
    for (package, files) in LIBRARIES {
        let root = fetched(package, &["*lib/aarch64-linux-gnu"])?;
        for file in files {
            let places = FOLDERS.map(|folder| root.join(folder).join(file));
            let place = places.iter().find(|place| place.exists()).unwrap_or(&places[0]);
            tree.copy(&format!("lib/{file}"), place)?;
        }
    }
    let libc = libc(BOARD).unpacked()?.join(FOLDERS[1]);
    for file in ["ld-linux-aarch64.so.1", "libc.so.6"] {
        tree.copy(&format!("lib/{file}"), &libc.join(file))?;
    }
    put("domain0.cpio", BOARD, &tree.archive())
}

fn fetched(name: &'static str, parts: &'static [&'static str]) -> Result<PathBuf> {
    Package { name, board: BOARD, stands_for_another: false, parts }.unpacked()
}
