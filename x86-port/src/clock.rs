//! The machine's clock: the time stamp counter, and what a guest needs to read it as we do.
//!
//! Time is nanoseconds since the counter was 0, which is when the machine was switched on. The rate is measured against the
//! one clock that every PC has and whose rate is known, channel 2 of the interval timer. Guests get the same factors, so
//! that their time and ours are one.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::processor::{read_port, tsc, write_port};
use crate::scale::{Scale, rounded};

const NS: u64 = 1_000_000_000;
/// The interval timer's rate in Hz, and how long it is watched, in counts: 2 ms.
const PIT_HZ: u64 = 1_193_182;
const WATCHED: u16 = 2386;
/// Its ports: channel 2, command, and the gate and output of channel 2.
const CHANNEL2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;
/// All of the timer's.
pub(crate) const PORTS: &[(u16, u64)] = &[(CHANNEL2 - 2, 4), (GATE, 1)];
/// Command: channel 2, both bytes, interrupt on terminal count, binary.
const ONE_SHOT: u8 = 0b1011_0000;
/// Gate: counting, loudspeaker off; output.
const COUNTING: u8 = 1;
const OUTPUT: u8 = 1 << 5;

static SCALE: AtomicU64 = AtomicU64::new(0);
/// Rate of the local APIC's timer, Hz.
static APIC_HZ: AtomicU64 = AtomicU64::new(NS);
/// Rate of the counter, Hz.
static TSC_HZ: AtomicU64 = AtomicU64::new(NS);

/// The factors; before [`init`] nobody asks.
pub(crate) fn scale() -> Scale {
    let packed = SCALE.load(Ordering::Relaxed);
    Scale { factor: packed as u32, shift: (packed >> 32) as i8 }
}

/// Nanoseconds since the machine was switched on.
#[inline(always)]
pub(crate) fn now() -> u64 {
    scale().ns(tsc())
}

/// The time at which the counter has this value.
pub(crate) fn ns_at(counts: u64) -> u64 {
    scale().ns(counts)
}

/// About what the counter has at this time.
pub(crate) fn counts_at(ns: u64) -> u64 {
    (u128::from(ns) * u128::from(TSC_HZ.load(Ordering::Relaxed)) / u128::from(NS)) as u64
}

/// The counter's rate, kHz.
pub(crate) fn tsc_khz() -> u32 {
    (TSC_HZ.load(Ordering::Relaxed) / 1000) as u32
}

/// Counts of the local APIC's timer in so many nanoseconds.
pub(crate) fn apic_counts(ns: u64) -> u32 {
    let counts = u128::from(ns) * u128::from(APIC_HZ.load(Ordering::Relaxed)) / u128::from(NS);
    counts.clamp(1, u32::MAX.into()) as u32
}

/// Measures the rates. `apic` starts the local APIC's timer and then says how far it has counted.
pub(crate) fn init(apic: impl Fn(bool) -> u32) {
    // SAFETY: nobody but this function uses the interval timer.
    unsafe { write_port(GATE, 0) };
    // SAFETY: as above.
    unsafe { write_port(COMMAND, ONE_SHOT) };
    for byte in WATCHED.to_le_bytes() {
        // SAFETY: as above.
        unsafe { write_port(CHANNEL2, byte) };
    }
    apic(true);
    let start = tsc();
    // SAFETY: as above.
    unsafe { write_port(GATE, COUNTING) };
    // SAFETY: as above.
    while unsafe { read_port(GATE) } & OUTPUT == 0 {}
    let (counts, ticks) = (apic(false), tsc().wrapping_sub(start));
    let rate = |count: u64| {
        rounded(u64::try_from(u128::from(count) * u128::from(PIT_HZ) / u128::from(WATCHED)).unwrap_or(NS)).max(1)
    };
    let scale = Scale::of(rate(ticks));
    SCALE.store(u64::from(scale.factor) | u64::from(scale.shift as u8) << 32, Ordering::Relaxed);
    TSC_HZ.store(rate(ticks), Ordering::Relaxed);
    APIC_HZ.store(rate(counts.into()), Ordering::Relaxed);
}
