//! What only x86 has: an instruction that always traps.

use rt::{Machine, measure};

use crate::{TIMES, failed};

/// Rows of one guest alone; `each` prints one, of the ticks that [`TIMES`] rounds took.
pub(crate) fn run(_: &Machine, each: &dyn Fn(&str, u64)) {
    each("cpuid", measure::identifications(TIMES));
}

/// Two vCPUs, which a guest here cannot have yet.
pub(crate) fn pair(_: &Machine) {
    failed("pair", "no second vCPU is started on x86 yet");
}
