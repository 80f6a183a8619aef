//! The root file system of a stock guest with a disk: busybox as its user land, a login on its console, the network, and
//! what tests need of tools. Its own few files are in `guests/linux/root`.

use std::path::PathBuf;

use anyhow::Result;

use super::busybox;
use super::tree::Tree;
use crate::board::Board;
use crate::{packages, paths};

/// Where busybox's names are, one a line.
const APPLETS: &str = include_str!("../../../guests/linux/applets");
/// What the kernel and programs mount, or write in.
const FOLDERS: [&str; 9] = ["dev", "mnt", "proc", "root", "run", "sys", "tmp", "var/log", "var/run"];

/// The folder to make a file system of, fetched and written if it is not there yet. All of it is root's; who runs this is its
/// owner here.
///
/// # Errors
/// As for [`Package::unpacked`](crate::packages::Package::unpacked).
pub(crate) fn folder(board: Board) -> Result<PathBuf> {
    let mut tree = base(&busybox(board)?);
    tree.copy_all("", &paths::root().join("guests/linux/root"))?;
    tree.written(&packages::home(board).join("root"))
}

fn base(busybox: &[u8]) -> Tree {
    let mut tree = Tree::default();
    for folder in FOLDERS {
        tree.folder(folder);
    }
    tree.program("bin/busybox", busybox);
    for name in APPLETS.lines() {
        tree.link(name, "/bin/busybox");
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::{APPLETS, base};
    use crate::paths;

    #[test]
    fn what_the_files_call_is_there() {
        let mut tree = base(b"");
        tree.copy_all("", &paths::root().join("guests/linux/root")).unwrap();
        let archive = tree.archive();
        for name in ["sbin/init\0", "bin/login\0", "etc/inittab\0", "sbin/getty\0", "usr/bin/wget\0", "root\0"] {
            assert!(archive.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
        }
        assert!(APPLETS.lines().all(|name| name.split('/').count() >= 2), "full paths");
    }
}
