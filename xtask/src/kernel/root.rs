//! The root file system of a stock guest with a disk: busybox as its user land, a login on its console, the network, and
//! what tests need of tools. Its own few files are in `guests/linux/root`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{busybox, libc, tone};
use crate::board::Board;
use crate::packages::{self, Package};
use crate::{build, image, paths};

/// Where busybox's names are, one a line.
const APPLETS: &str = include_str!("../../../guests/linux/applets");
/// Our own programs.
const PROGRAMS: [&str; 2] = ["verify", "io"];
/// What aplay is given in tests.
const TONE: &str = "usr/share/sounds/tone.wav";
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
    sound(&mut tree, board)?;
    let programs = build::linux_programs(board)?;
    for name in PROGRAMS {
        let path = programs.join(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        tree.program(&format!("usr/bin/{name}"), image::only_loaded(&bytes));
    }
    tree.written(&packages::home(board).join("root"))
}

/// Debian's aplay with what it is linked with, and something to play.
fn sound(tree: &mut Tree, board: Board) -> Result<()> {
    let (libraries, player, library, loader): (_, &[&str], &[&str], _) = match board {
        Board::QemuVirt => (
            "aarch64-linux-gnu",
            &["usr/bin/aplay"],
            &["usr/lib/aarch64-linux-gnu/libasound.so.2*"],
            "ld-linux-aarch64.so.1",
        ),
        Board::X86 => (
            "x86_64-linux-gnu",
            &["usr/bin/aplay"],
            &["usr/lib/x86_64-linux-gnu/libasound.so.2*"],
            "ld-linux-x86-64.so.2",
        ),
    };
    let package = |name, parts| Package { name, board, stands_for_another: false, parts }.unpacked();
    tree.copy("usr/bin/aplay", &package("alsa-utils", player)?.join("usr/bin/aplay"))?;
    let name = format!("usr/lib/{libraries}/libasound.so.2");
    tree.copy(&name, &package("libasound2", library)?.join(&name))?;
    let libc = libc(board).unpacked()?;
    for file in ["libc.so.6", "libm.so.6", loader] {
        let name = format!("lib/{libraries}/{file}");
        tree.copy(&name, &libc.join(&name))?;
    }
    // Where the processor's ABI has it.
    let folder = if board == Board::X86 { "lib64" } else { "lib" };
    tree.link(&format!("{folder}/{loader}"), &format!("/lib/{libraries}/{loader}"));
    tree.copy_all("usr/share/alsa", &package("libasound2-data", &["usr/share/alsa"])?.join("usr/share/alsa"))?;
    tree.file(TONE, tone::wav());
    Ok(())
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
