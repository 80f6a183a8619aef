//! The longest stretches that a CPU stays in the hypervisor, by what they began with.
//!
//! No interrupt reaches anybody in the meantime, so the longest of all bounds what the hypervisor adds to every latency.
//! Measured only where the option `measure=stretches` asks for it; else it costs a load each time the core enters a guest.
//! A stretch begins with an exit, or when an idle CPU wakes, and ends where a guest goes on or the CPU waits.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use hyp_core::arch::Arch;
use hyp_core::time::Nanos;
use xen_abi::hypercall::TAG;

use crate::init::HYPERVISOR;
use crate::{percpu, syndrome};

/// Causes by number: hypercalls from 0, exceptions by their class (ESR_EL2.EC) from here on.
const EXCEPTIONS: u8 = 64;
/// Interrupts and asynchronous aborts, in the place of a class that there is not.
const INTERRUPT: u8 = EXCEPTIONS + 0x3f;
/// An idle CPU wakes, in the place of another.
const IDLE: u8 = EXCEPTIONS + 0x3e;
const CAUSES: usize = 128;

static ON: AtomicBool = AtomicBool::new(false);
/// The longest by cause, in ns.
static LONGEST: [AtomicU32; CAUSES] = [const { AtomicU32::new(0) }; CAUSES];

/// A CPU's stretch.
pub(crate) struct Stretch {
    /// When it began, in ns since power-on; 0 where there is none.
    since: AtomicU64,
    cause: AtomicU8,
}

impl Stretch {
    pub(crate) const fn none() -> Self {
        Self { since: AtomicU64::new(0), cause: AtomicU8::new(0) }
    }
}

/// Measures from now on.
pub(crate) fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Stretches are measured.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// An exit with this syndrome. `number` is what the guest would call the hypervisor with.
#[inline(never)]
pub(crate) fn begin_exit(esr: u64, number: u64) {
    begin(match syndrome::is_hypercall(esr, TAG) {
        true => number as u8 % EXCEPTIONS,
        false => EXCEPTIONS + syndrome::class(esr) % EXCEPTIONS,
    });
}

/// This CPU, which waited for an interrupt, wakes.
pub(crate) fn begin_idle() {
    if is_on() {
        begin(IDLE);
    }
}

fn now() -> Nanos {
    HYPERVISOR.arch().now()
}

fn begin(cause: u8) {
    let stretch = &percpu::this().stretch;
    stretch.cause.store(cause, Ordering::Relaxed);
    stretch.since.store(now(), Ordering::Relaxed);
}

/// This CPU's stretch ends, if it is in one.
#[inline(always)]
pub(crate) fn end() {
    if is_on() {
        end_measured();
    }
}

#[inline(never)]
fn end_measured() {
    let stretch = &percpu::this().stretch;
    let since = stretch.since.swap(0, Ordering::Relaxed);
    if since != 0
        && let Some(longest) = LONGEST.get(usize::from(stretch.cause.load(Ordering::Relaxed)))
    {
        let ns = now().saturating_sub(since).min(u32::MAX.into());
        longest.fetch_max(ns as u32, Ordering::Relaxed);
    }
}

/// Says what was measured, a line for each cause.
pub(crate) fn report() {
    for (cause, longest) in (0..).zip(&LONGEST) {
        let ns = longest.load(Ordering::Relaxed);
        if ns != 0 {
            let (kind, number) = match cause {
                IDLE => ("idle", 0),
                INTERRUPT => ("interrupt", 0),
                EXCEPTIONS.. => ("exception", cause - EXCEPTIONS),
                _ => ("hypercall", cause),
            };
            hyp_log::event!("@stretch cause={} number={} ns={}", kind, number, ns);
        }
    }
}
