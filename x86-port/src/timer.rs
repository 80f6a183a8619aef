//! One timer for two: the core's alarm, and the timer of the guest that runs.

use core::sync::atomic::Ordering;

use hyp_core::time::Nanos;

use crate::{clock, local_apic, percpu};

/// Nobody wants to be woken.
const NEVER: u64 = u64::MAX;

fn program(share: &percpu::PerCpu) {
    let first = share.alarm.load(Ordering::Relaxed).min(share.guest_alarm.load(Ordering::Relaxed));
    if share.armed.swap(first, Ordering::Relaxed) != first {
        local_apic::set_timer((first != NEVER).then_some(first));
    }
}

/// The core's alarm.
pub(crate) fn set_core(at: Option<Nanos>) {
    let share = percpu::this();
    share.alarm.store(at.unwrap_or(NEVER), Ordering::Relaxed);
    program(share);
}

/// The timer of the guest that runs on this CPU.
pub(crate) fn set_guest(at: Option<Nanos>) {
    let share = percpu::this();
    share.guest_alarm.store(at.unwrap_or(NEVER), Ordering::Relaxed);
    program(share);
}

/// The timer rang. Returns whether that was for the core; if not, it is armed again.
pub(crate) fn rang() -> bool {
    let share = percpu::this();
    share.armed.store(NEVER, Ordering::Relaxed);
    let core = share.alarm.load(Ordering::Relaxed) <= clock::now();
    if core {
        share.alarm.store(NEVER, Ordering::Relaxed);
    }
    program(share);
    core
}
