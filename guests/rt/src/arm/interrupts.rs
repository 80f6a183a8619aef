//! Interrupts of devices, by INTID. Those of virtio's in memory come by edges.

use crate::gic;

/// Let one come.
pub fn enable(interrupt: u32) {
    gic::enable_shared(interrupt, true);
}

/// Has it come since this was last asked?
pub fn take(interrupt: u32) -> bool {
    gic::take_shared(interrupt)
}

/// Has any come that nobody has asked for?
pub fn any() -> bool {
    gic::any_shared()
}
