//! How events interrupt: by a vector of our choice (public/hvm/params.h).

use xen_abi::errno::Errno;
use xen_abi::hvm::{HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_SHIFT, HVM_PARAM_CALLBACK_TYPE_VECTOR};

use crate::{events, hypercall};

/// Above all exceptions, and the number that Linux takes.
pub(crate) const VECTOR: u8 = 0xf3;

/// Tell the hypervisor the vector. This way needs no local APIC, and so no end of interrupt either.
pub(crate) fn enable() -> Result<(), Errno> {
    let value = HVM_PARAM_CALLBACK_TYPE_VECTOR << HVM_PARAM_CALLBACK_TYPE_SHIFT | u64::from(VECTOR);
    hypercall::set_param(HVM_PARAM_CALLBACK_IRQ, value)
}

/// Called by `entry.s` for every event interrupt, with the counter as it was on entry.
#[unsafe(no_mangle)]
extern "C" fn rt_interrupt(counter: u64) {
    events::upcall(counter);
}
