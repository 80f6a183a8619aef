//! Reservations that nobody had to write down: what a guest needs is seen in when its timer wakes it and how long it runs.
//!
//! A media guest sleeps by its timer and then works. From one timer to the next is a *step*; one vCPU often serves several
//! tasks, so that steps of much work (a frame) and of little (a period of sound) take turns. Only the *heavy* steps, with
//! half of the usual work or more, say what the period is: the usual time from the start of one to the start of the next.
//! The budget is the most that the vCPU has run in such a period lately, with the light steps in it, and an eighth on top.
//!
//! After [`KEPT`] periods the old ones are forgotten, and a new rate has won when it has more than half of those, so that
//! a change of the rate is followed in time. Meanwhile, who uses up its budget is given twice as much at once, up to four times what
//! was seen; each period that is seen halves that.
//!
//! Who needs more than its share would never sleep, and never show a pattern. So as long as none is known, a vCPU has half of
//! what could be promised, for [`LEARNING`] of its own time from each time that its timer wakes it. Who never sleeps by its
//! timer is promised nothing after that.

use crate::sched::{Reservation, SHORTEST_BUDGET, WHOLE};
use crate::time::{MILLISECOND, NEVER, Nanos, SECOND};
use crate::vcpu::VcpuId;

/// Periods that are remembered.
const KEPT: usize = 8;
/// Periods that must have been seen before anything is promised.
const FEWEST: usize = 4;
/// How long a vCPU of which no pattern is known may run by a reservation, ns of its own time.
const LEARNING: Nanos = SECOND;
/// The period of that reservation, ns.
const LEARNING_PERIOD: Nanos = 10 * MILLISECOND;
/// How much more than what was seen is promised at most.
const MOST_RAISED: u32 = 4;
/// The shortest and the longest period that is taken for one, ns.
const SHORTEST: Nanos = MILLISECOND;
const LONGEST: Nanos = SECOND;

/// What is seen of one vCPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observer {
    vcpu: VcpuId,
    /// When the step began; [`NEVER`] before the first.
    step: Nanos,
    /// What it has run in this step.
    used: Nanos,
    /// What a step usually needs.
    usual: Nanos,
    /// When the last heavy step began; [`NEVER`] before the first.
    heavy: Nanos,
    /// What was run from then to the start of this step.
    since: Nanos,
    /// Lengths of periods and what was run in each, the newest at `seen` - 1, around in a ring.
    periods: [(u32, u32); KEPT],
    seen: usize,
    /// By how much more than what was seen it is promised, because that was too little.
    raised: u32,
    /// How long it may run by a reservation without a pattern, ns.
    learning: Nanos,
}

impl Observer {
    /// Nothing is known yet.
    pub(super) const fn new(vcpu: VcpuId) -> Self {
        let (step, heavy) = (NEVER, NEVER);
        Self {
            vcpu,
            step,
            used: 0,
            usual: 0,
            heavy,
            since: 0,
            periods: [(0, 0); KEPT],
            seen: 0,
            raised: 1,
            learning: LEARNING,
        }
    }

    /// Who is looked at.
    pub(super) fn vcpu(&self) -> VcpuId {
        self.vcpu
    }

    /// It has run for so long.
    pub(super) fn ran(&mut self, time: Nanos) {
        self.used = self.used.saturating_add(time);
        self.learning = self.learning.saturating_sub(time);
    }

    /// Its timer wakes it. Returns whether one more period has been seen.
    pub(super) fn timer(&mut self, now: Nanos) -> bool {
        let (step, used) = (self.step, self.used);
        (self.step, self.used) = (now, 0);
        self.learning = LEARNING;
        if step == NEVER {
            return false;
        }
        self.usual = self.usual.saturating_mul(KEPT as u64 - 1).saturating_add(used) / KEPT as u64;
        if used.saturating_mul(2) < self.usual {
            self.since = self.since.saturating_add(used);
            return false;
        }
        let (heavy, since) = (self.heavy, self.since);
        (self.heavy, self.since) = (step, used);
        let period = step.saturating_sub(heavy);
        let is_one = heavy != NEVER && (SHORTEST..=LONGEST).contains(&period);
        if is_one && let Some(slot) = self.periods.get_mut(self.seen % KEPT) {
            *slot = (period as u32, since.min(period) as u32);
            self.seen = self.seen.wrapping_add(1);
            self.raised = (self.raised / 2).max(1);
        }
        is_one
    }

    /// What to promise while no pattern is known, of which it may have half; `None` when it has had that for long enough.
    pub(super) fn trial(&self, limit: u32) -> Option<Reservation> {
        let budget = LEARNING_PERIOD.saturating_mul(limit.into()) / Nanos::from(WHOLE) / 2;
        if self.learning == 0 { None } else { Reservation::new(budget, LEARNING_PERIOD, LEARNING_PERIOD) }
    }

    /// It has used up its budget. Returns whether it should have more.
    pub(super) fn spent(&mut self) -> bool {
        let more = self.raised < MOST_RAISED;
        self.raised = self.raised.saturating_mul(2).min(MOST_RAISED);
        more
    }

    /// What to promise, if a pattern has been seen: at most `limit` of a CPU, in parts of [`WHOLE`].
    pub(super) fn proposal(&self, limit: u32) -> Option<Reservation> {
        let kept = self.periods.get(..self.seen.min(KEPT)).filter(|kept| kept.len() >= FEWEST)?;
        let mut sorted: heapless::Vec<u32, KEPT> = kept.iter().map(|(period, _)| *period).collect();
        sorted.sort_unstable();
        let period = Nanos::from(*sorted.get(sorted.len() / 2)?);
        // Where a heavy step was taken for a light one, two periods count as one of twice the length.
        let need = |(length, run): &(u32, u32)| {
            Nanos::from(*run).saturating_mul(period) / Nanos::from(*length).max(period).max(1)
        };
        let most = kept.iter().map(need).max()?;
        let most_allowed = period.saturating_mul(limit.into()) / Nanos::from(WHOLE);
        let raised = most.saturating_add(most / 8).saturating_mul(self.raised.into());
        let budget = raised.min(period).max(SHORTEST_BUDGET).min(most_allowed);
        Reservation::new(budget, period, period)
    }
}

/// Whether what was promised still fits what is proposed, so that it can stay.
pub(super) fn fits(promised: &Reservation, proposed: &Reservation) -> bool {
    let near = promised.period().abs_diff(proposed.period()) <= proposed.period() / 32;
    let (has, needs) = (promised.budget(), proposed.budget());
    near && needs <= has && needs >= has - has / 4
}

#[cfg(test)]
mod tests {
    use super::Observer;
    use crate::sched::{BOUND, WHOLE};
    use crate::time::{MILLISECOND as MS, Nanos};
    use crate::vcpu::VcpuId;

    fn observer() -> Observer {
        Observer::new(VcpuId::new(3).unwrap())
    }

    /// Lets the timer come at these times, each with this work after it.
    fn steps(observer: &mut Observer, steps: impl Iterator<Item = (Nanos, Nanos)>) {
        for (at, work) in steps {
            observer.timer(at);
            observer.ran(work);
        }
    }

    #[test]
    fn one_task_is_its_own_pattern() {
        let mut seen = observer();
        steps(&mut seen, (1..4).map(|n| (n * 20 * MS, 4 * MS)));
        assert!(seen.proposal(BOUND).is_none(), "too early to say");
        steps(&mut seen, (4..9).map(|n| (n * 20 * MS, 4 * MS)));
        let terms = seen.proposal(BOUND).unwrap();
        assert_eq!((terms.budget(), terms.period(), terms.deadline()), (4 * MS + MS / 2, 20 * MS, 20 * MS));
    }

    #[test]
    fn sound_does_not_hide_the_picture() {
        let mut seen = observer();
        let frame = 16_666_667;
        let mut all: std::vec::Vec<(Nanos, Nanos)> =
            (3..60).map(|n| (n * frame, 4 * MS)).chain((5..100).map(|n| (n * 10 * MS, MS / 2))).collect();
        all.sort_unstable();
        steps(&mut seen, all.into_iter());
        let terms = seen.proposal(BOUND).unwrap();
        assert_eq!(terms.period(), frame);
        assert!((5 * MS..6 * MS).contains(&terms.budget()), "{}", terms.budget());
    }

    #[test]
    fn a_new_rate_wins_in_time() {
        let mut seen = observer();
        steps(&mut seen, (1..30).map(|n| (n * 40 * MS, 4 * MS)));
        assert_eq!(seen.proposal(BOUND).unwrap().period(), 40 * MS);
        let change = 29 * 40 * MS;
        steps(&mut seen, (1..=7).map(|n| (change + n * 10 * MS, 4 * MS)));
        assert_eq!(seen.proposal(BOUND).unwrap().period(), 10 * MS);
    }

    #[test]
    fn nobody_is_promised_more_than_is_left() {
        let mut seen = observer();
        steps(&mut seen, (1..30).map(|n| (n * 10 * MS, 9 * MS)));
        assert!(seen.proposal(WHOLE / 4).unwrap().density() <= WHOLE / 4 + 1);
        assert!(seen.proposal(0).is_none());
    }

    #[test]
    fn what_is_no_period_is_not_taken_for_one() {
        let mut seen = observer();
        steps(&mut seen, (1..100).map(|n| (n * 100_000, 50_000)));
        assert!(seen.proposal(BOUND).is_none());
    }
}
