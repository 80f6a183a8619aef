//! What only an x86 guest has to check.

mod processor;

use rt::Machine;
use xen_abi::features;

use crate::check::Checks;

/// Modes of this architecture alone.
pub(crate) const MODES: &str = "none of its own";

/// Features that a hypervisor must offer here.
pub(crate) const FEATURES: [(&str, u32); 1] = [("feature-callback-vector", features::XENFEAT_HVM_CALLBACK_VECTOR)];

/// The checks before those of hypercalls.
pub(crate) fn first(checks: &mut Checks, machine: &Machine) {
    processor::run(checks, machine);
}

/// The checks behind them: none, since a guest here starts no further vCPUs yet.
pub(crate) fn last(_: &mut Checks, _: &'static Machine) {}

/// Random bytes: a PC's loader has no place for them.
pub(crate) fn random(_: &Machine) -> Option<u32> {
    None
}

/// Runs a mode; false if it is none of ours.
pub(crate) fn mode(_: &str, _: &'static Machine) -> bool {
    false
}
