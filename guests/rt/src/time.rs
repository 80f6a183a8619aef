//! Time as guests count it: nanoseconds on the counter that [`timer`] reads.
//!
//! Guests live by deadlines. [`wait_until`] sleeps to one and says how late the handler ran: the wake-up latency that the
//! reports show.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{cpu, timer};

/// 2^32 × nanoseconds per tick, and its inverse; set once at start.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// Say how fast the counter is, in Hz.
pub(crate) fn set_frequency(frequency: u64) {
    let frequency = u128::from(frequency.max(1));
    NS_PER_TICK.store(((1_000_000_000u128 << 32) / frequency) as u64, Relaxed);
    TICKS_PER_NS.store(((frequency << 32) / 1_000_000_000) as u64, Relaxed);
}

/// The same by 2^32 × nanoseconds for each tick.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set_factor(ns_per_tick: u64) {
    NS_PER_TICK.store(ns_per_tick, Relaxed);
    TICKS_PER_NS.store(((1u128 << 64) / u128::from(ns_per_tick.max(1))) as u64, Relaxed);
}

/// Ticks to nanoseconds, rounded down.
pub fn to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(NS_PER_TICK.load(Relaxed))) >> 32) as u64
}

/// Nanoseconds to ticks, rounded up: a timer set to the result never fires early.
pub fn to_ticks(ns: u64) -> u64 {
    ((u128::from(ns) * u128::from(TICKS_PER_NS.load(Relaxed)) + u128::from(u32::MAX)) >> 32) as u64
}

/// Nanoseconds on the virtual counter.
pub fn now() -> u64 {
    to_ns(timer::counter())
}

/// Sleep until `deadline` (nanoseconds on the virtual counter). Returns how many nanoseconds after it the interrupt's
/// handler began, or `None` where the deadline had passed already and nobody slept. Where no timer interrupts, it spins.
pub fn wait_until(deadline: u64) -> Option<u64> {
    let at = to_ticks(deadline);
    if timer::counter() >= at {
        return None;
    }
    if !timer::interrupts() {
        spin_until(deadline);
        return None;
    }
    let before = timer::count();
    timer::set(at);
    cpu::mask_interrupts();
    while timer::count() == before {
        // A masked pending interrupt ends the wait too: nothing is lost between the look and the sleep.
        cpu::wait_for_interrupt();
        cpu::unmask_interrupts();
        cpu::mask_interrupts();
    }
    cpu::unmask_interrupts();
    Some(to_ns(timer::last()).saturating_sub(deadline))
}

/// Spin until `deadline`, without giving the CPU away.
pub fn spin_until(deadline: u64) {
    let at = to_ticks(deadline);
    while timer::counter() < at {
        cpu::relax();
    }
}
