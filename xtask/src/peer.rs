//! The peer: Debian's Xen for arm64, on the same emulator under the same guests. It shows what its figures are on the day
//! that ours are measured, and what a stock kernel says there.

use std::path::PathBuf;

use anyhow::Result;

use crate::board::Board;
use crate::packages::Package;
use crate::scenario::Scenario;

const XEN: Package =
    Package { name: "xen-hypervisor-4.17-arm64", board: Board::QemuVirt, stands_for_another: false, parts: &["boot"] };

/// Its command line for a machine: no scrubbing of memory at power-on and timers as exact as it has them; the rest only
/// where it is needed, because Xen talks more for the one and waits three seconds for the other.
pub(crate) fn options(scenario: &Scenario) -> String {
    let mut options = "bootscrub=0 timer_slop=0".to_owned();
    if scenario.guests.iter().any(|guest| guest.program.is_some()) {
        // They speak by hypercall.
        options += " guest_loglvl=all";
    }
    if scenario.guests.iter().any(|guest| guest.peers.is_some()) {
        // Any two guests may be joined.
        options += " xsm=dummy";
    }
    if scenario.io_domain().is_some() {
        // There is one for the devices.
        options += " dom0_mem=256M dom0_max_vcpus=1";
    }
    if let Some(more) = &scenario.hypervisor.peer {
        options += &format!(" {more}");
    }
    options
}

/// What a dom0less guest can have; only a dom0, which stands for an I/O domain, has a xenstore for it.
pub(crate) fn enhanced(scenario: &Scenario) -> &'static str {
    if scenario.io_domain().is_some() { "enabled" } else { "no-xenstore" }
}

/// Its image, fetched if it is not there yet.
///
/// # Errors
/// As for [`Package::unpacked`].
pub(crate) fn image() -> Result<PathBuf> {
    Ok(XEN.unpacked()?.join("boot/xen-4.17-arm64"))
}
