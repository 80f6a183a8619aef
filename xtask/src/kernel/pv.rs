//! The initial RAM disk for a stock kernel whose root file system is on a disk: the modules of its devices, in the order of
//! loading, and a script that loads them, waits for the disk, and starts what is on it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::modules::{Modules, Set};
use super::tree::Tree;
use super::{APPLETS, Flavour, SCRIPT, busybox, first, put};
use crate::board::Board;
use crate::{build, image};

/// What it does.
const INIT: &str = include_str!("../../../guests/linux/pv/init.sh");
/// What is measured, of disks and of networks.
const BENCH: &str = include_str!("../../../guests/linux/bench/io.sh");
const BENCH_NETWORK: &str = include_str!("../../../guests/linux/bench/net.sh");
/// Names of busybox's that it needs besides those of every initial RAM disk of ours.
const MORE_APPLETS: &str = "insmod ip switch_root umount usleep";

/// The archive for the full kernel, fetched if it is not there yet.
///
/// # Errors
/// As for [`Package::unpacked`](crate::packages::Package::unpacked).
pub(crate) fn initramfs(board: Board) -> Result<PathBuf> {
    let modules = Modules::read(&Flavour::Full.package(board).unpacked()?, board)?;
    put("pv.cpio", board, &tree(&busybox(board)?, &modules, board)?.archive())
}

/// The same with the program that measures requests, and the commands `bench-io` and `bench-net`.
///
/// # Errors
/// The same, or the program does not compile.
pub(crate) fn bench(board: Board) -> Result<PathBuf> {
    let modules = Modules::read(&Flavour::Full.package(board).unpacked()?, board)?;
    let mut tree = tree(&busybox(board)?, &modules, board)?;
    let program = build::linux_programs(board)?.join("io");
    let program = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    tree.program("bin/io", image::only_loaded(&program));
    tree.program("bin/bench-io", BENCH);
    tree.program("bin/bench-net", BENCH_NETWORK);
    put("bench-io.cpio", board, &tree.archive())
}

fn tree(busybox: &[u8], modules: &Modules, board: Board) -> Result<Tree> {
    let mut tree = Tree::default();
    for folder in ["disk", "dev", "proc", "sys"] {
        tree.folder(folder);
    }
    tree.program("bin/busybox", busybox);
    for name in APPLETS.split_whitespace().chain(MORE_APPLETS.split_whitespace()) {
        tree.link(&format!("bin/{name}"), "busybox");
    }
    tree.program("init", first::program(board));
    tree.program("init.sh", INIT);
    tree.program("shell.sh", SCRIPT);
    load(&mut tree, modules, &[Set::Ext4, Set::Xen, Set::Virtio])?;
    Ok(tree)
}

/// Adds modules, and a list of each set in the order of loading.
///
/// # Errors
/// One is missing.
pub(super) fn load(tree: &mut Tree, modules: &Modules, sets: &[Set]) -> Result<()> {
    for set in sets {
        let mut list = String::new();
        for (name, bytes) in modules.in_order(*set)? {
            tree.file(&format!("modules/{name}.ko"), bytes);
            list += &format!("{name}\n");
        }
        tree.file(&format!("modules/{}", set.name()), list);
    }
    Ok(())
}
