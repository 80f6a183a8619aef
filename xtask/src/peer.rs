//! The peer: Debian's Xen for arm64, on the same emulator under the same guests. It shows what its figures are on the day
//! that ours are measured, and what a stock kernel says there.

use std::path::PathBuf;

use anyhow::Result;

use crate::packages::Package;

const XEN: Package = Package { name: "xen-hypervisor-4.17-arm64", stands_for_another: false, folder: "boot" };

/// Its command line, by what is measured: no scrubbing of memory at power-on, timers as exact as it has them, any two
/// guests joined as they are with us, and guests that may speak.
pub(crate) const OPTIONS: &str = "bootscrub=0 timer_slop=0 xsm=dummy guest_loglvl=all";

/// What a dom0less guest can have without a dom0.
pub(crate) const ENHANCED: &str = "no-xenstore";

/// Its image, fetched if it is not there yet.
///
/// # Errors
/// As for [`Package::unpacked`].
pub(crate) fn image() -> Result<PathBuf> {
    Ok(XEN.unpacked()?.join("xen-4.17-arm64"))
}
