//! A vCPU's own timers, which raise `VIRQ_TIMER` (`public/vcpu.h`).
//!
//! They go on whether the vCPU runs or not, and wherever it runs: when they are due is kept with the vCPU, and a CPU that
//! was told of them looks there before it rings.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::time::{NEVER, Nanos};

/// The timers of one vCPU.
pub(crate) struct Alarm {
    single: AtomicU64,
    /// 0 while there are no periods.
    period: AtomicU64,
    next: AtomicU64,
}

impl Alarm {
    /// Both off.
    pub(crate) const fn new() -> Self {
        Self { single: AtomicU64::new(NEVER), period: AtomicU64::new(0), next: AtomicU64::new(NEVER) }
    }

    /// Sets or, without a time, stops the one that rings once.
    pub(crate) fn set_single(&self, at: Option<Nanos>) {
        self.single.store(at.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Starts the one that rings again and again; a period of 0 stops it.
    pub(crate) fn set_period(&self, now: Nanos, period: Nanos) {
        self.period.store(period, Ordering::Relaxed);
        self.next.store(if period == 0 { NEVER } else { now.saturating_add(period) }, Ordering::Relaxed);
    }

    /// Both off.
    pub(crate) fn stop(&self) {
        self.set_single(None);
        self.set_period(0, 0);
    }

    /// When it rings next.
    pub(crate) fn due(&self) -> Option<Nanos> {
        let first = self.single.load(Ordering::Relaxed).min(self.next.load(Ordering::Relaxed));
        (first != NEVER).then_some(first)
    }

    /// Does it ring now? What has rung is off, or due a period later; periods that nobody has seen do not add up.
    pub(crate) fn ring(&self, now: Nanos) -> bool {
        let single = self.single.load(Ordering::Relaxed) <= now;
        if single {
            self.set_single(None);
        }
        let next = self.next.load(Ordering::Relaxed);
        if next > now {
            return single;
        }
        let period = self.period.load(Ordering::Relaxed);
        let on_time = next.saturating_add(period);
        self.next.store(if on_time > now { on_time } else { now.saturating_add(period.max(1)) }, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Alarm;

    #[test]
    fn periods_keep_their_pace_and_what_was_missed_is_gone() {
        let alarm = Alarm::new();
        assert_eq!(alarm.due(), None);
        alarm.set_period(5, 10);
        assert!(!alarm.ring(14));
        assert!(alarm.ring(17));
        assert_eq!(alarm.due(), Some(25));
        assert!(alarm.ring(47));
        assert_eq!(alarm.due(), Some(57));
        alarm.set_single(Some(50));
        assert!(alarm.ring(50) && !alarm.ring(50));
        assert_eq!(alarm.due(), Some(57));
        alarm.stop();
        assert_eq!(alarm.due(), None);
    }
}
