//! What only an ARM guest has to check: exception levels, firmware, what a manifest fixes, the interrupt controller, traps.

mod assigned;
mod end_beside;
mod firmware;
mod fixed;
mod hammer;
mod interrupts;
mod processor;
mod traps;

use rt::Machine;
use xen_abi::features;

use crate::check::Checks;

/// Modes of this architecture alone.
pub(crate) const MODES: &str = "assigned, end-beside, fixed, traps, vgic-random";

/// Features that a hypervisor must offer here.
pub(crate) const FEATURES: [(&str, u32); 1] = [("feature-smccc", features::XENFEAT_ARM_SMCCC_SUPPORTED)];

/// The checks before those of hypercalls.
pub(crate) fn first(checks: &mut Checks, machine: &Machine) {
    processor::run(checks, machine);
    firmware::run(checks, machine);
    interrupts::run(checks, machine);
}

/// The checks behind them: from here on there are several vCPUs.
pub(crate) fn last(checks: &mut Checks, machine: &'static Machine) {
    firmware::start_others(checks, machine);
}

/// Some of the random bytes that the loader gave; zeros where it gave none.
pub(crate) fn random(machine: &Machine) -> Option<u32> {
    let bytes = machine.property("/chosen", "rng-seed").unwrap_or_default();
    Some(bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
}

/// Runs a mode; false if it is none of ours.
pub(crate) fn mode(mode: &str, machine: &'static Machine) -> bool {
    let mut checks = Checks::default();
    match mode {
        "assigned" => assigned::run(&mut checks, machine),
        "end-beside" => {
            end_beside::run(machine);
            return true;
        }
        "fixed" => match fixed::Arguments::read(machine) {
            Some(arguments) => fixed::run(&mut checks, machine, &arguments),
            None => checks.that("arguments", false, "see-fixed.rs"),
        },
        "traps" => traps::run(&mut checks, machine),
        "vgic-random" => hammer::run(&mut checks, machine),
        _ => return false,
    }
    checks.print_sum();
    true
}
