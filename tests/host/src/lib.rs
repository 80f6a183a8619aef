//! Scenarios on the in-memory machine: what several of them need. The scenarios are in `tests/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scenario may fail loudly")]

pub mod grants;
pub mod puppet;

use fake::{Act, Guest};
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::time::Nanos;
use xen_abi::hypercall::SCHED_OP;
use xen_abi::sched::{SCHEDOP_SHUTDOWN, Shutdown};
use zerocopy::IntoBytes;

/// One millisecond.
pub const MS: Nanos = 1_000_000;

/// The guest ends its domain by a hypercall, as `public/sched.h` numbers the reasons.
pub fn shutdown(guest: &Guest<'_>, reason: u32) -> Act {
    guest.call_with(SCHED_OP, [SCHEDOP_SHUTDOWN.into(), 0, 0], 1, Shutdown { reason }.as_bytes())
}

/// The guest ends its domain through its firmware.
pub fn power_off() -> Act {
    Act::Exit(Exit::Shutdown(ShutdownReason::PowerOff))
}

/// The guest waits until `at` by its timer; returns `None` when that is over.
pub fn sleep_until(guest: &mut Guest<'_>, at: Nanos) -> Option<Act> {
    if guest.now >= at {
        *guest.timer_fired = false;
        return None;
    }
    *guest.timer = Some(at);
    Some(Act::Exit(Exit::Idle))
}
