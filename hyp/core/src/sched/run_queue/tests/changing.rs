//! Reservations that change while they are used, as admission lets them: everybody has exactly its budget in each of its
//! periods, and the terms of a period are the newest that were admitted when it began.

use proptest::prelude::*;
use std::vec::Vec;

use super::{PLAIN, vcpu};
use crate::placement::Placement;
use crate::sched::{BOUND, Promise, Reservation, RunQueue, Scheduler, Share};
use crate::time::{MICROSECOND as US, Nanos};
use crate::vcpu::VcpuId;

/// A server that always wants to run and may not pass its budget, as it must be treated.
#[derive(Clone, Copy, Debug)]
struct Model {
    terms: Reservation,
    newest: Reservation,
    start: Nanos,
    ran: Nanos,
}

impl Model {
    fn end(&self) -> Nanos {
        self.start + self.terms.period()
    }

    /// The larger of what is in force and what will be, of a CPU.
    fn part(&self) -> u64 {
        self.terms.density().max(self.newest.density()).into()
    }
}

/// One CPU, with who takes what is left.
struct Cpu {
    placement: Placement,
    queue: RunQueue,
    models: Vec<Model>,
    now: Nanos,
}

fn share(terms: Reservation) -> Share {
    Share { promise: Promise::Reserve(terms), ..PLAIN }
}

impl Cpu {
    fn new(first: Vec<Reservation>) -> Self {
        let (placement, queue) = (Placement::new(), RunQueue::new(Scheduler::Client));
        let mut cpu = Self { placement, queue, models: Vec::new(), now: 0 };
        for terms in first {
            let id = vcpu(cpu.models.len() as u8);
            if cpu.placement.place(id, 1, &Promise::Reserve(terms)).is_ok() {
                cpu.join(id, &share(terms));
                cpu.models.push(Model { terms, newest: terms, start: 0, ran: 0 });
            }
        }
        cpu.join(vcpu(9), &PLAIN);
        cpu
    }

    fn join(&mut self, id: VcpuId, share: &Share) {
        self.queue.add(0, id, share, id.bit(), i64::MAX);
        self.queue.wake(0, id);
    }

    /// Lets all run for so long.
    fn run(&mut self, time: Nanos) -> Result<(), TestCaseError> {
        let until = self.now + time;
        while self.now < until {
            let picked = self.queue.pick(self.now);
            let end = self.models.iter().map(Model::end).fold(until, Nanos::min);
            let end = self.queue.slice_end().map_or(end, |slice| slice.min(end));
            prop_assert!(end > self.now, "it does not go on at {}", self.now);
            if let Some(model) = picked.and_then(|picked| self.models.get_mut(picked.index())) {
                model.ran += end - self.now;
            }
            self.now = end;
            self.close_periods()?;
        }
        Ok(())
    }

    /// Holds each period that ends now against the model.
    fn close_periods(&mut self) -> Result<(), TestCaseError> {
        for (number, model) in self.models.iter_mut().enumerate().filter(|(_, model)| model.end() == self.now) {
            prop_assert_eq!(model.ran, model.terms.budget(), "vCPU {} in the period from {}", number, model.start);
            *model = Model { terms: model.newest, start: self.now, ran: 0, ..*model };
        }
        Ok(())
    }

    /// Changes a reservation, if admission lets it.
    fn change(&mut self, who: usize, terms: Reservation) -> Result<(), TestCaseError> {
        let who = who % self.models.len();
        let id = vcpu(who as u8);
        if self.placement.change(self.now, &[(id, terms)]).is_ok() {
            let settled = self.queue.change(self.now, id, &share(terms));
            self.placement.settle(id, settled);
            self.models[who].newest = terms;
            prop_assert_eq!(settled, self.models[who].end());
        }
        let promised: u64 = self.models.iter().map(Model::part).sum();
        prop_assert!(promised <= u64::from(BOUND), "{} promised", promised);
        Ok(())
    }
}

fn any_terms() -> impl Strategy<Value = Reservation> {
    (1u64..60, 100u64..5_000).prop_map(|(percent, period)| {
        let period = period * US;
        let mut terms = Reservation::new((period * percent / 100).max(10 * US), period, period).unwrap();
        terms.hard = true;
        terms
    })
}

proptest! {
    #[test]
    fn everybody_has_its_budget_in_each_period_and_no_more(
        first in prop::collection::vec(any_terms(), 1..5),
        changes in prop::collection::vec((0u64..8_000, 0usize..4, any_terms()), 1..40),
    ) {
        let mut cpu = Cpu::new(first);
        for (gap, who, terms) in changes {
            cpu.run(gap * US)?;
            cpu.change(who, terms)?;
        }
        cpu.run(20_000 * US)?;
    }
}
