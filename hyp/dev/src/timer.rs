//! The generic timer at EL2: what time it is, and one alarm for each CPU.
//!
//! The hypervisor counts in nanoseconds, the hardware in ticks of a frequency that the board chose. Conversion happens
//! on every exit, so it must not divide; it must also be exact, because budgets and deadlines are compared across CPUs
//! and summed over hours. `Ratio` does both.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Nanoseconds in a second.
const NANOS: u64 = 1_000_000_000;

/// Multiplication by a fixed fraction n/d without division: the whole part of n/d, and the rest in units of 2^-64,
/// rounded up.
///
/// Rounding up makes the result too large by less than x * 2^-64; a floor shows the error only from x >= 2^64 / d on,
/// where d is the reduced denominator. For 24 MHz (125/3) that is 8 thousand years of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio {
    whole: u64,
    fraction: u64,
}

impl Ratio {
    /// `numerator / denominator`; both must be below 2^32 and the denominator not 0.
    const fn new(numerator: u64, denominator: u64) -> Self {
        let whole = numerator / denominator;
        let rest = numerator % denominator;
        // Long division of rest * 2^64 in two digits of 32 bits, so that no 128-bit division is linked in.
        let high = (rest << 32) / denominator;
        let rest = (rest << 32) % denominator;
        let low = (rest << 32).div_ceil(denominator);
        // A denominator below 2^32 keeps the rounded-up fraction below 1.
        Self { whole, fraction: (high << 32).wrapping_add(low) }
    }

    /// floor(x * n / d), modulo 2^64.
    const fn scale(self, x: u64) -> u64 {
        let fraction = ((x as u128 * self.fraction as u128) >> 64) as u64;
        x.wrapping_mul(self.whole).wrapping_add(fraction)
    }
}

/// Converts between ticks of the system counter and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    frequency: u32,
    nanos_per_tick: Ratio,
    ticks_per_nano: Ratio,
}

impl Clock {
    /// For a counter of `frequency` Hz (CNTFRQ_EL0, or the device tree's `clock-frequency`). `None` for 0, which is
    /// what CNTFRQ_EL0 holds where firmware forgot to set it.
    pub const fn new(frequency: u32) -> Option<Self> {
        if frequency == 0 {
            return None;
        }
        let hertz = frequency as u64;
        Some(Self { frequency, nanos_per_tick: Ratio::new(NANOS, hertz), ticks_per_nano: Ratio::new(hertz, NANOS) })
    }

    /// Ticks in a second.
    pub const fn frequency(&self) -> u32 {
        self.frequency
    }

    /// Nanoseconds that `ticks` take, rounded down.
    pub const fn to_ns(&self, ticks: u64) -> u64 {
        self.nanos_per_tick.scale(ticks)
    }

    /// The first tick at which at least `ns` nanoseconds have passed: an alarm must not come early.
    pub const fn to_ticks(&self, ns: u64) -> u64 {
        let ticks = self.ticks_per_nano.scale(ns);
        if self.to_ns(ticks) < ns { ticks.saturating_add(1) } else { ticks }
    }
}

/// A clock that is set while the machine starts and read ever after. Before it is set, time stands still.
#[derive(Debug, Default)]
pub struct SharedClock {
    frequency: AtomicU32,
    ratios: [AtomicU64; 4],
}

impl SharedClock {
    /// Not set yet.
    pub const fn new() -> Self {
        Self { frequency: AtomicU32::new(0), ratios: [const { AtomicU64::new(0) }; 4] }
    }

    /// Sets it, while nobody reads it.
    pub fn set(&self, clock: Clock) {
        let Clock { frequency, nanos_per_tick, ticks_per_nano } = clock;
        self.frequency.store(frequency, Ordering::Relaxed);
        let values = [nanos_per_tick.whole, nanos_per_tick.fraction, ticks_per_nano.whole, ticks_per_nano.fraction];
        self.ratios.iter().zip(values).for_each(|(ratio, value)| ratio.store(value, Ordering::Relaxed));
    }

    fn nanos_per_tick(&self) -> Ratio {
        let [whole, fraction, ..] = &self.ratios;
        Ratio { whole: whole.load(Ordering::Relaxed), fraction: fraction.load(Ordering::Relaxed) }
    }

    /// Reads it.
    pub fn get(&self) -> Clock {
        let [.., whole, fraction] = &self.ratios;
        Clock {
            frequency: self.frequency.load(Ordering::Relaxed),
            nanos_per_tick: self.nanos_per_tick(),
            ticks_per_nano: Ratio { whole: whole.load(Ordering::Relaxed), fraction: fraction.load(Ordering::Relaxed) },
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod hardware {
    use super::{Clock, SharedClock};
    use crate::sysreg;

    /// CNTHP_CTL_EL2.ENABLE; IMASK (bit 1) stays 0.
    const ENABLE: u64 = 1;

    impl Clock {
        /// The clock of this machine by CNTFRQ_EL0. `None`: firmware left the register 0.
        pub fn of_machine() -> Option<Self> {
            // Bits 63:32 of CNTFRQ_EL0 are RES0.
            Self::new(sysreg::read_cntfrq_el0() as u32)
        }

        /// Arm this CPU's EL2 physical timer (CNTHP, PPI 10, INTID 26) for the time `at` in nanoseconds, or disarm it
        /// with `None`. A time in the past fires at once.
        pub fn set_alarm(&self, at: Option<u64>) {
            match at {
                Some(ns) => {
                    sysreg::write_cnthp_cval_el2(self.to_ticks(ns));
                    sysreg::write_cnthp_ctl_el2(ENABLE);
                }
                None => return stop_alarm(),
            }
            // The interrupt line must have its new level before the caller opens interrupts or enters a guest.
            sysreg::isb();
        }
    }

    impl SharedClock {
        /// Nanoseconds since the counter started.
        #[inline(always)]
        pub fn now(&self) -> u64 {
            self.nanos_per_tick().scale(counter())
        }
    }

    /// Disarm this CPU's EL2 physical timer.
    pub fn stop_alarm() {
        sysreg::write_cnthp_ctl_el2(0);
        sysreg::isb();
    }

    /// Ticks of the system counter now. The barrier keeps the read from moving before the instructions in front of it.
    pub fn counter() -> u64 {
        sysreg::isb();
        sysreg::read_cntpct_el0()
    }
}

#[cfg(target_arch = "aarch64")]
pub use hardware::{counter, stop_alarm};

#[cfg(test)]
mod tests {
    use super::{Clock, NANOS, SharedClock};

    /// Frequencies seen on boards: QEMU, phones, i.MX, Raspberry Pi 4, Juno, Graviton, an odd one.
    const FREQUENCIES: [u32; 8] =
        [62_500_000, 19_200_000, 24_000_000, 8_000_000, 54_000_000, 50_000_000, 1_000_000_000, 121_875_001];

    #[test]
    fn conversion_is_exact() {
        for frequency in FREQUENCIES {
            let clock = Clock::new(frequency).unwrap();
            let mut ticks = 1u64;
            for step in 0..2000u64 {
                let ns = (u128::from(ticks) * u128::from(NANOS) / u128::from(frequency)) as u64;
                assert_eq!(clock.to_ns(ticks), ns, "{frequency} Hz, {ticks} ticks");
                ticks = ticks.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step) >> 27;
            }
        }
    }

    #[test]
    fn an_alarm_is_never_early_and_at_most_a_tick_late() {
        for frequency in FREQUENCIES {
            let clock = Clock::new(frequency).unwrap();
            for ns in [0, 1, 15, 16, 17, 999_999_999, 86_400 * NANOS + 1, 1 << 50] {
                let ticks = clock.to_ticks(ns);
                assert!(clock.to_ns(ticks) >= ns, "{frequency} Hz, {ns} ns");
                assert!(ticks == 0 || clock.to_ns(ticks - 1) < ns, "{frequency} Hz, {ns} ns");
            }
        }
    }

    #[test]
    fn what_is_shared_is_the_same_clock() {
        let shared = SharedClock::new();
        assert_eq!(shared.get().to_ns(u64::MAX), 0);
        for frequency in FREQUENCIES {
            let clock = Clock::new(frequency).unwrap();
            shared.set(clock);
            assert_eq!(shared.get(), clock);
        }
    }

    #[test]
    fn qemu_ticks_are_16_ns() {
        let clock = Clock::new(62_500_000).unwrap();
        assert_eq!((clock.to_ns(3), clock.to_ticks(48), clock.to_ticks(49)), (48, 3, 4));
    }

    #[test]
    fn a_silent_counter_is_refused() {
        assert_eq!(Clock::new(0), None);
    }
}
