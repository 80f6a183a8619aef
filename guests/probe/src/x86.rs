//! What only an x86 guest has to check.

mod assigned;
mod processor;

use rt::{Machine, misbehave};
use xen_abi::features;

use crate::UNMAPPED;
use crate::check::Checks;

/// Modes of this architecture alone.
pub(crate) const MODES: &str = "assigned, not-given, reads";

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
pub(crate) fn mode(mode: &str, machine: &'static Machine) -> bool {
    let mut checks = Checks::default();
    match mode {
        "assigned" => assigned::run(&mut checks, machine),
        "not-given" => assigned::not_given(&mut checks),
        "reads" => return reads(machine),
        _ => return false,
    }
    checks.print_sum();
    true
}

/// Reads where the boot argument says, which should end it.
fn reads(machine: &Machine) -> bool {
    let address = machine.argument("address").and_then(|address| u64::from_str_radix(address, 16).ok());
    rt::println!("probe: read {:#x} and survived", misbehave::read(address.unwrap_or(UNMAPPED)));
    true
}
