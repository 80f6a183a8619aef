//! How events interrupt: by a PPI that the device tree names.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use xen_abi::errno::Errno;

use crate::{Machine, gic};

static INTID: AtomicU32 = AtomicU32::new(31);

pub(crate) fn init(machine: &Machine) {
    INTID.store(machine.event_intid, Relaxed);
}

/// INTID of the event-channel interrupt.
pub(crate) fn intid() -> u32 {
    INTID.load(Relaxed)
}

/// Let it in.
pub(crate) fn enable() -> Result<(), Errno> {
    gic::enable(intid());
    Ok(())
}
