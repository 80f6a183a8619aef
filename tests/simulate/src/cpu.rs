//! One CPU: whoever is picked runs until its work is done, somebody wakes, or the scheduler wants to be asked.

use std::collections::VecDeque;

use hyp_core::sched::{RunQueue, Scheduler, Share};
use hyp_core::time::{NEVER, Nanos};
use hyp_core::vcpu::VcpuId;

/// What a vCPU wants.
#[derive(Clone, Debug)]
pub enum Demand {
    /// All that it can get.
    Hog,
    /// `work` at the first release and after each gap, over and over; done `deadline` after its release. Gaps are taken from
    /// the list in turn.
    Jobs {
        /// When the first job comes.
        first: Nanos,
        /// From one release to the next.
        gaps: Vec<Nanos>,
        /// What each job needs.
        work: Nanos,
        /// By when it must be done, from its release.
        deadline: Nanos,
    },
    /// To be awake except from `asleep` before each multiple of `period` to as long after it.
    Dodge {
        /// What it hides from.
        period: Nanos,
        /// How long before and after.
        asleep: Nanos,
    },
    /// To let others go first after every so much work.
    Yields(Nanos),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Time that it has run.
    pub ran: Nanos,
    /// Jobs that were done, or should have been.
    pub jobs: u64,
    /// Those that were late.
    pub missed: u64,
    /// From a job's release to when it first ran, at worst.
    pub latency: Nanos,
    /// The longest time that it wanted the CPU and did not have it.
    pub starved: Nanos,
}

struct Guest {
    id: VcpuId,
    demand: Demand,
    outcome: Outcome,
    /// Jobs released and not done: when, and what is left.
    pending: VecDeque<(Nanos, Nanos)>,
    releases: usize,
    /// When something happens to it next without its running.
    next: Nanos,
    asleep: bool,
    /// Work left until it sleeps or gives way.
    left: Nanos,
    waits_since: Nanos,
}

/// A simulated CPU with its guests.
pub struct Cpu {
    queue: RunQueue,
    guests: Vec<Guest>,
    now: Nanos,
}

impl Cpu {
    /// These guests, all of them new, at time 0.
    pub fn new(scheduler: Scheduler, guests: &[(Share, Demand)]) -> Self {
        let mut queue = RunQueue::new(scheduler);
        let guests = (0..).zip(guests).map(|(number, (share, demand))| {
            let id = VcpuId::new(number).expect("no more than there can be");
            queue.add(0, id, share, id.bit(), i64::MAX);
            Guest::new(id, demand.clone())
        });
        let guests = guests.collect();
        Self { queue, guests, now: 0 }
    }

    /// Lets them run until this time.
    pub fn run(&mut self, until: Nanos) {
        while self.now < until {
            self.wake_due();
            let picked = self.queue.pick(self.now);
            let mut end = self.queue.slice_end().unwrap_or(NEVER).min(until);
            end = self.guests.iter().map(|guest| guest.next).fold(end, Nanos::min);
            let now = self.now;
            let Some(picked) = picked else {
                self.now = end;
                assert!(end > now, "an idle CPU that does not sleep, at {now} ns");
                continue;
            };
            let guest = &mut self.guests[picked.index()];
            assert!(!guest.asleep, "vCPU {} sleeps, and runs at {now} ns", picked.number());
            guest.starts(now);
            end = end.min(now.saturating_add(guest.left));
            assert!(end > now || guest.left == 0, "the scheduler does not go on at {now} ns");
            self.now = end;
            self.ran(picked, end - now);
        }
        self.guests.iter_mut().for_each(|guest| guest.close(until));
    }

    /// One of the guests gets something else from now on.
    pub fn change(&mut self, who: usize, share: &Share) {
        self.queue.change(self.now, self.guests[who].id, share);
    }

    /// What came of each guest's wishes.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.guests.iter().map(|guest| &guest.outcome)
    }

    /// The scheduler, to look into.
    pub fn queue(&self) -> &RunQueue {
        &self.queue
    }

    fn wake_due(&mut self) {
        for guest in &mut self.guests {
            while guest.next <= self.now {
                if guest.happens() {
                    guest.waits_since = self.now;
                    self.queue.wake_by_timer(self.now, guest.id);
                }
            }
        }
    }

    fn ran(&mut self, who: VcpuId, time: Nanos) {
        let now = self.now;
        for guest in self.guests.iter_mut().filter(|guest| guest.id != who && !guest.asleep) {
            guest.outcome.starved = guest.outcome.starved.max(now - guest.waits_since);
        }
        let guest = &mut self.guests[who.index()];
        guest.outcome.ran += time;
        guest.waits_since = now;
        if guest.left != Nanos::MAX {
            guest.left -= time;
        }
        if guest.left != 0 {
            return;
        }
        if let Demand::Yields(work) = guest.demand {
            guest.left = work;
            return self.queue.give_way(now);
        }
        guest.finish(now);
        if guest.asleep {
            self.queue.block(now);
        }
    }
}

impl Guest {
    fn new(id: VcpuId, demand: Demand) -> Self {
        let (next, left) = match &demand {
            Demand::Hog => (0, Nanos::MAX),
            Demand::Jobs { first, .. } => (*first, 0),
            Demand::Dodge { asleep, .. } => (*asleep, 0),
            Demand::Yields(work) => (0, *work),
        };
        let (outcome, pending) = (Outcome::default(), VecDeque::new());
        Self { id, demand, outcome, pending, releases: 0, next, asleep: true, left, waits_since: 0 }
    }

    /// What was to happen at `next` happens. Returns whether it wakes.
    fn happens(&mut self) -> bool {
        match &self.demand {
            Demand::Hog | Demand::Yields(_) => self.next = NEVER,
            Demand::Jobs { gaps, work, .. } => {
                self.pending.push_back((self.next, *work));
                if self.pending.len() == 1 {
                    self.left = *work;
                }
                self.next += gaps[self.releases % gaps.len()];
                self.releases += 1;
            }
            Demand::Dodge { period, asleep } => {
                // It computes up to its next sleep, unless others have the CPU: then it sleeps late.
                let hide = (self.next / period + 1) * period - asleep;
                self.left = hide.saturating_sub(self.next);
                self.next = NEVER;
            }
        }
        std::mem::take(&mut self.asleep)
    }

    /// It gets the CPU.
    fn starts(&mut self, now: Nanos) {
        self.outcome.starved = self.outcome.starved.max(now - self.waits_since);
        self.waits_since = now;
        match &self.demand {
            Demand::Jobs { work, .. } => {
                if let Some((release, _)) = self.pending.front().filter(|_| self.left == *work) {
                    self.outcome.latency = self.outcome.latency.max(now - release);
                }
            }
            Demand::Dodge { period, asleep } => {
                // It looks at the clock.
                self.left = ((now / period + 1) * period - asleep).saturating_sub(now);
            }
            Demand::Hog | Demand::Yields(_) => {}
        }
    }

    /// Its work is done.
    fn finish(&mut self, now: Nanos) {
        match &self.demand {
            Demand::Jobs { work, deadline, .. } => {
                if let Some((release, _)) = self.pending.pop_front() {
                    self.outcome.jobs += 1;
                    self.outcome.missed += u64::from(now - release > *deadline);
                }
                self.left = *work;
                self.asleep = self.pending.is_empty();
            }
            Demand::Dodge { period, asleep } => {
                self.next = (now / period + 1) * period + asleep;
                self.asleep = true;
            }
            Demand::Hog | Demand::Yields(_) => {}
        }
    }

    /// What was never done is late too.
    fn close(&mut self, now: Nanos) {
        if let Demand::Jobs { deadline, .. } = self.demand {
            let late = self.pending.iter().filter(|(release, _)| now - release > deadline).count() as u64;
            self.outcome.jobs += late;
            self.outcome.missed += late;
        }
    }
}
