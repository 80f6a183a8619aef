//! Debian's cyclictest in our initramfs: the program that the real-time world measures wake-ups with, and the libraries that
//! it is linked with.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::board::Board;
use crate::cpio::Entry;
use crate::packages::Package;

const TESTS: Package = package("rt-tests", &["usr/bin/cyclictest"]);
const NUMA: Package = package("libnuma1", &["usr/lib/aarch64-linux-gnu"]);
const LIBC: Package = super::libc(Board::QemuVirt);
/// Packages, and what of them is where in the archive.
const PARTS: [(Package, &str, &str); 6] = [
    (TESTS, "usr/bin/cyclictest", "bin/cyclictest"),
    (NUMA, "usr/lib/aarch64-linux-gnu/libnuma.so.1", "lib/libnuma.so.1"),
    (LIBC, "lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "lib/ld-linux-aarch64.so.1"),
    (LIBC, "lib/aarch64-linux-gnu/libc.so.6", "lib/libc.so.6"),
    (LIBC, "lib/aarch64-linux-gnu/libpthread.so.0", "lib/libpthread.so.0"),
    (LIBC, "lib/aarch64-linux-gnu/librt.so.1", "lib/librt.so.1"),
];
/// The command that a scenario names by `mk.cmd=cyclic`. One thread of the highest priority wakes up each millisecond, for
/// `mk.seconds=` seconds; the histogram goes up to 20 ms, without its empty lines.
const SCRIPT: &str = "#!/bin/sh
for word in $(cat /proc/cmdline); do
    case $word in mk.seconds=*) seconds=${word#mk.seconds=} ;; esac
done
cyclictest -m -q -p 99 -i 1000 -h 20000 -D $seconds | grep -v ' 000000$'
";

const fn package(name: &'static str, parts: &'static [&'static str]) -> Package {
    Package { name, board: Board::QemuVirt, stands_for_another: false, parts }
}

/// Files with their contents.
pub(super) struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    /// Reads them, fetched if they are not there yet.
    ///
    /// # Errors
    /// As for [`Package::unpacked`].
    pub(super) fn read() -> Result<Self> {
        let part = |(package, file, name): &(Package, &str, &'static str)| {
            let path: PathBuf = package.unpacked()?.join(file);
            Ok((*name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
        };
        Ok(Self(PARTS.iter().map(part).collect::<Result<_>>()?))
    }

    /// What the archive has of them.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        let files = self.0.iter().map(|(name, bytes)| Entry::program(name, bytes));
        [Entry::folder("lib"), Entry::program("bin/cyclic", SCRIPT.as_bytes())].into_iter().chain(files).collect()
    }
}
