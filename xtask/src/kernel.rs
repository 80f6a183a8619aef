//! Stock kernels for guests, and a user land around a stock busybox. Kernel and busybox are Debian's, unmodified; only the
//! initramfs that holds busybox, and its first programs, are ours.

mod cyclictest;
mod domain0;
mod first;
mod modules;
mod pv;
mod root;
mod tone;
mod tree;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::board::Board;
use crate::cpio::{Entry, archive};
use crate::packages::{self, Package};
pub(crate) use domain0::initramfs as domain0;
pub(crate) use pv::{bench as bench_io, initramfs as pv};
pub(crate) use root::folder as root;

/// The second program. It says when it is ready, then gives the console a shell for ever; with `mk.cmd=WORD` on the
/// kernel's command line it runs that command first, and says when that is done; with `mk.busy` it computes for ever.
const SCRIPT: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo '@linux state=ready'
for word in $(cat /proc/cmdline); do
    case $word in mk.cmd=*)
        ${word#mk.cmd=}
        echo '@linux state=done' ;;
    mk.busy)
        while md5sum /bin/busybox; do :; done ;;
    esac
done
# These signals are how busybox's poweroff and reboot ask. A trap waits for a command, but not for `wait`.
trap 'poweroff -f' USR2
trap 'reboot -f' TERM
while :; do
    setsid cttyhack sh -i &
    wait $!
done
";
/// Names under which busybox is called.
const APPLETS: &str = "cat cttyhack dmesg echo free grep head ls md5sum mount nproc poweroff ps reboot setsid sh sleep tail \
                       taskset uname wc";

/// Debian's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The small one for virtual machines, `linux-image-cloud-*`.
    Cloud,
    /// The one for every machine, `linux-image-*`.
    Full,
}

impl Flavour {
    /// The flavour that a scenario's word for an image means.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "linux-cloud" => Some(Self::Cloud),
            "linux-full" => Some(Self::Full),
            _ => None,
        }
    }

    /// The kernel, an arm64 Image or a bzImage, fetched if it is not there yet.
    ///
    /// # Errors
    /// As for [`Package::unpacked`].
    pub(crate) fn kernel(self, board: Board) -> Result<PathBuf> {
        packages::file(&self.package(board).unpacked()?.join("boot"), "vmlinuz-")
    }

    /// Its package: of the full kernel with modules, as the same package holds them.
    fn package(self, board: Board) -> Package {
        let name = match (self, board) {
            (Self::Cloud, Board::QemuVirt) => "linux-image-cloud-arm64",
            (Self::Full, Board::QemuVirt) => "linux-image-arm64",
            (Self::Cloud, Board::X86) => "linux-image-cloud-amd64",
            (Self::Full, Board::X86) => "linux-image-amd64",
        };
        let parts = match (self, board) {
            (Self::Cloud, _) => &["boot"],
            (Self::Full, _) => modules::PARTS,
        };
        Package { name, board, stands_for_another: true, parts }
    }
}

/// The initial RAM disk with busybox, fetched if it is not there yet.
///
/// # Errors
/// As for [`Package::unpacked`].
pub(crate) fn initramfs(board: Board) -> Result<PathBuf> {
    written("initramfs.cpio", board, &[])
}

/// The same with cyclictest, for arm64.
///
/// # Errors
/// As for [`Package::unpacked`].
pub(crate) fn cyclictest() -> Result<PathBuf> {
    written("cyclictest.cpio", Board::QemuVirt, &cyclictest::Files::read()?.entries())
}

/// Writes the initial RAM disk with busybox and `more`, if it is not there already; its path.
fn written(name: &str, board: Board, more: &[Entry<'_>]) -> Result<PathBuf> {
    put(name, board, &initramfs_of(&busybox(board)?, board, more))
}

/// The package's busybox.
fn busybox(board: Board) -> Result<Vec<u8>> {
    let package = Package { name: "busybox-static", board, stands_for_another: false, parts: &["bin"] };
    fs::read(package.unpacked()?.join("bin/busybox")).context("the package of busybox has no bin/busybox")
}

/// What programs link to, from Debian's package: the loader and the C library.
const fn libc(board: Board) -> Package {
    let parts: &[&str] = match board {
        Board::QemuVirt => &["lib/aarch64-linux-gnu"],
        Board::X86 => &["lib/x86_64-linux-gnu"],
    };
    Package { name: "libc6", board, stands_for_another: false, parts }
}

/// Writes a file for a board's guests, if it is not there already; its path.
fn put(name: &str, board: Board, bytes: &[u8]) -> Result<PathBuf> {
    let path = packages::home(board).join(name);
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        // Two tests may write it at once: aside, then rename.
        let aside = path.with_extension(format!("{:?}", std::thread::current().id()));
        fs::write(&aside, bytes).with_context(|| format!("cannot write {}", aside.display()))?;
        fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

fn initramfs_of(busybox: &[u8], board: Board, more: &[Entry<'_>]) -> Vec<u8> {
    let applets: Vec<String> = APPLETS.split_whitespace().map(|name| format!("bin/{name}")).collect();
    let mut entries: Vec<Entry<'_>> = ["bin", "dev", "proc", "sys"].map(Entry::folder).into();
    // The kernel opens it for the first program, before that has mounted anything.
    entries.push(Entry::device("dev/console", (5, 1)));
    entries.push(Entry::program("bin/busybox", busybox));
    entries.extend(applets.iter().map(|name| Entry::link(name, b"busybox")));
    let first = first::program(board);
    entries.push(Entry::program("init", &first));
    entries.push(Entry::program("init.sh", SCRIPT.as_bytes()));
    entries.extend_from_slice(more);
    archive(&entries)
}

#[cfg(test)]
mod tests {
    use super::initramfs_of;
    use crate::board::Board;

    #[test]
    fn the_initramfs_is_the_same_every_time_and_has_its_parts() {
        let bytes = initramfs_of(b"busybox's bytes", Board::X86, &[]);
        assert_eq!(bytes, initramfs_of(b"busybox's bytes", Board::X86, &[]));
        let others = initramfs_of(b"busybox's bytes", Board::QemuVirt, &[]);
        assert_ne!(bytes, others, "the first program is the processor's");
        for part in ["init\0", "bin/sh\0", "dev/console\0", "@linux state=ready", "TRAILER!!!"] {
            assert!(bytes.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
        }
    }
}
