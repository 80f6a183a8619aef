//! The `reserve` class: earliest deadline first over constant bandwidth servers (Abeni and Buttazzo, 1998).
//!
//! A media guest knows what it needs: so much time in every period. Each vCPU of the class has a server with a budget that
//! it pays from while it runs, and a deadline by which the budget must have been given; among those with budget the one
//! with the earliest deadline runs. As long as the densities of all servers together are at most one CPU, everybody gets
//! its budget by its deadline, whatever the others do.
//!
//! - Who wakes goes on with the budget and the deadline that it has if that cannot hurt others: if what is left, divided
//!   by the time to the deadline, is no more than its density. Otherwise it starts a new period now. A server whose
//!   deadline comes before the end of its period has no more than one budget in a period, so it goes on with as much as
//!   its density allows, and past its deadline waits for the next period.
//! - A budget that is used up comes back at the end of the period. Until then the server is *spent*: a hard one does not
//!   run, a soft one is as if nothing were promised (see [`RunQueue`](super::RunQueue)). What it ran too much, because a
//!   timer came late, is taken from the next budget.
//! - A server that reclaims pays less than it runs: it pays at the rate at which time is not promised to servers that
//!   sleep (GRUB, Lipari and Baruah, 2000). So it can use what sleeping servers leave, and never what is nobody's; that is
//!   for those that nothing is promised. A server that blocks counts as awake until it has no claim any more: until what is
//!   left of its budget could not be run by its deadline at its density.
//! - Who gives way lets everybody else go first for a short while, and keeps its budget.
//! - A reservation that is changed is another from the server's next period on, which begins at the end of the one that is
//!   under way, or earlier where who wakes starts a new one. What was left of the old budget is gone then, so that at no time
//!   it has more than the larger of the two.

use super::share::{Reservation, WHOLE, scaled, stretched};
use crate::limits::MAX_VCPUS;
use crate::time::{MICROSECOND, NEVER, Nanos};
use crate::vcpu::{VcpuId, members};

/// For how long who gives way lets others go first, ns.
pub const ASIDE: Nanos = 200 * MICROSECOND;

/// A vCPU's budget and deadline.
#[derive(Clone, Copy)]
struct Server {
    budget: u32,
    period: u32,
    deadline: u32,
    density: u32,
    bandwidth: u32,
    /// Budget that is left, ns; a debt is negative.
    left: i64,
    /// By when it must have run it.
    due: Nanos,
    /// When the next period may begin.
    refill: Nanos,
    /// What it is promised from then on, where that is to change: see [`Reserve::changing`].
    next: Reservation,
}

impl Server {
    const NONE: Self = Self {
        budget: 0,
        period: 0,
        deadline: 0,
        density: 0,
        bandwidth: 0,
        left: 0,
        due: 0,
        refill: 0,
        next: Reservation::NONE,
    };

    /// A period starts; debts stay.
    fn begin(&mut self, at: Nanos) {
        self.left = self.left.min(0).saturating_add(self.budget.into());
        self.due = at.saturating_add(self.deadline.into());
        self.refill = at.saturating_add(self.period.into());
    }

    /// What may be left at this time without its taking more than its density by the deadline.
    fn fair(&self, now: Nanos) -> i64 {
        let time = self.due.saturating_sub(now).min(self.deadline.into());
        (time.wrapping_mul(self.density.into()) / u64::from(WHOLE)) as i64
    }
}

/// What has changed for servers by the passing of time, as sets of vCPUs that want to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Their budget is used up.
    pub spent: u32,
    /// They have a new one.
    pub refilled: u32,
}

/// The servers of a physical CPU.
pub struct Reserve {
    servers: [Server; MAX_VCPUS],
    known: u32,
    /// Those that want to run.
    awake: u32,
    /// Those whose budget is used up.
    spent: u32,
    /// Those that have a claim on the CPU, awake or not.
    claiming: u32,
    hard: u32,
    reclaiming: u32,
    /// Those that let others go first.
    aside: u32,
    /// Until when.
    aside_until: Nanos,
    /// Those whose reservation is to change.
    changing: u32,
    current: Option<VcpuId>,
    now: Nanos,
}

impl Default for Reserve {
    fn default() -> Self {
        Self::new()
    }
}

impl Reserve {
    /// Nobody there.
    pub const fn new() -> Self {
        Self {
            servers: [Server::NONE; MAX_VCPUS],
            known: 0,
            awake: 0,
            spent: 0,
            claiming: 0,
            hard: 0,
            reclaiming: 0,
            aside: 0,
            aside_until: 0,
            changing: 0,
            current: None,
            now: 0,
        }
    }

    /// There is nobody.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// This one is of the class.
    pub fn has(&self, vcpu: VcpuId) -> bool {
        self.known & vcpu.bit() != 0
    }

    /// It wants to run, but may not by its reservation, and may by other means.
    pub fn falls(&self, vcpu: VcpuId) -> bool {
        self.awake & self.spent & !self.hard & vcpu.bit() != 0
    }

    /// Its budget is used up.
    pub fn is_spent(&self, vcpu: VcpuId) -> bool {
        self.spent & vcpu.bit() != 0
    }

    /// The vCPU that runs by its reservation.
    pub fn current(&self) -> Option<VcpuId> {
        self.current
    }

    /// What a vCPU is promised.
    pub fn terms(&self, vcpu: VcpuId) -> Option<Reservation> {
        let server = self.server(vcpu);
        let terms = Reservation::new(server.budget.into(), server.period.into(), server.deadline.into());
        terms.filter(|_| self.has(vcpu))
    }

    /// Budget that a vCPU has left, ns; a debt is negative.
    pub fn left(&self, vcpu: VcpuId) -> i64 {
        self.server(vcpu).left
    }

    fn server(&self, vcpu: VcpuId) -> &Server {
        static NONE: Server = Server::NONE;
        self.servers.get(vcpu.index()).unwrap_or(&NONE)
    }

    fn change(&mut self, vcpu: VcpuId, change: impl FnOnce(&mut Server)) {
        if let Some(server) = self.servers.get_mut(vcpu.index()) {
            change(server);
        }
    }

    /// It wants to run.
    pub fn is_awake(&self, vcpu: VcpuId) -> bool {
        self.awake & vcpu.bit() != 0
    }

    /// The reservation of a vCPU is to be another from its next period on. Returns when that begins at the latest; call
    /// [`Self::advance`] first.
    pub fn change_terms(&mut self, vcpu: VcpuId, terms: &Reservation) -> Nanos {
        if !self.has(vcpu) {
            return self.now;
        }
        self.changing |= vcpu.bit();
        self.change(vcpu, |server| server.next = *terms);
        self.server(vcpu).refill.max(self.now)
    }

    /// A period of a vCPU starts.
    fn begin(&mut self, vcpu: VcpuId, at: Nanos) {
        if self.changing & vcpu.bit() != 0 {
            self.changing &= !vcpu.bit();
            let terms = self.server(vcpu).next;
            self.add(vcpu, &terms);
        }
        self.change(vcpu, |server| server.begin(at));
    }

    /// A vCPU joins, blocked, with a whole budget; or its reservation is another from now on, and its budget is from its next
    /// period on.
    pub fn add(&mut self, vcpu: VcpuId, terms: &Reservation) {
        let bit = vcpu.bit();
        let set = |set: u32, on: bool| if on { set | bit } else { set & !bit };
        (self.hard, self.reclaiming) = (set(self.hard, terms.hard), set(self.reclaiming, terms.reclaim));
        let new = self.known & bit == 0;
        self.known |= bit;
        self.change(vcpu, |server| {
            let kept = if new { Server::NONE } else { *server };
            *server = Server {
                budget: terms.budget() as u32,
                period: terms.period() as u32,
                deadline: terms.deadline() as u32,
                density: terms.density(),
                bandwidth: terms.bandwidth(),
                ..kept
            };
        });
    }

    /// A vCPU leaves, whatever it was doing.
    pub fn remove(&mut self, vcpu: VcpuId) {
        let others = !vcpu.bit();
        let Self { known, awake, spent, claiming, aside, changing, .. } = self;
        for set in [known, awake, spent, claiming, aside, changing] {
            *set &= others;
        }
        self.current = self.current.filter(|current| *current != vcpu);
    }

    /// How fast a server that reclaims pays.
    fn rate(&self, vcpu: VcpuId) -> u32 {
        if self.reclaiming & vcpu.bit() == 0 {
            return WHOLE;
        }
        let asleep = members(self.known & !self.claiming).map(|other| self.server(other).bandwidth);
        WHOLE.saturating_sub(asleep.fold(0, u32::saturating_add)).max(1)
    }

    /// Lets the current vCPU pay, and gives new budgets to whom they are due.
    pub fn advance(&mut self, now: Nanos) -> Changes {
        let elapsed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        let before = self.spent;
        if let Some(current) = self.current {
            let paid = scaled(elapsed, self.rate(current)) as i64;
            let mut spent = false;
            self.change(current, |server| {
                server.left = server.left.saturating_sub(paid).max(-i64::from(server.budget));
                spent = server.left <= 0;
            });
            if spent {
                self.spent |= current.bit();
                self.current = None;
            }
        }
        for vcpu in members(self.spent | self.changing) {
            self.refill(vcpu);
        }
        if self.reclaiming != 0 {
            for vcpu in members(self.claiming & !self.awake) {
                let server = self.server(vcpu);
                if self.now >= server.due || server.left >= server.fair(self.now) {
                    self.claiming &= !vcpu.bit();
                }
            }
        }
        if self.now >= self.aside_until {
            self.aside = 0;
        }
        Changes { spent: self.spent & !before & self.awake, refilled: before & !self.spent & self.awake }
    }

    /// A vCPU that is spent starts a new period at once, because its reservation has become a larger one.
    pub fn renew(&mut self, vcpu: VcpuId) {
        self.begin(vcpu, self.now);
        if self.left(vcpu) > 0 {
            self.spent &= !vcpu.bit();
        }
    }

    /// A server that is spent, or is to change, gets a new budget when its period is over; one that sleeps, when it wakes.
    fn refill(&mut self, vcpu: VcpuId) {
        let (now, Server { refill, period, .. }) = (self.now, *self.server(vcpu));
        if refill > now {
            return;
        }
        if self.is_awake(vcpu) {
            // Periods that nobody has asked for do not add up.
            let late = now.saturating_sub(refill) >= period.into();
            self.begin(vcpu, if late { now } else { refill });
        }
        if !self.is_awake(vcpu) || self.left(vcpu) > 0 {
            self.spent &= !vcpu.bit();
        }
    }

    /// An event came for a vCPU, which wants to run if it did not already. Call [`Self::advance`] first.
    pub fn wake(&mut self, vcpu: VcpuId) {
        let bit = vcpu.bit();
        self.aside &= !bit;
        if self.known & bit == 0 || self.awake & bit != 0 {
            return;
        }
        self.awake |= bit;
        self.claiming |= bit;
        if self.spent & bit != 0 {
            return;
        }
        let server = *self.server(vcpu);
        let fair = server.fair(self.now);
        if server.refill <= self.now || server.deadline == server.period && server.left > fair {
            self.begin(vcpu, self.now);
        } else {
            self.change(vcpu, |server| server.left = server.left.min(fair));
        }
        if self.left(vcpu) <= 0 {
            self.spent |= bit;
        }
    }

    /// A vCPU waits for an event. Call [`Self::advance`] first.
    pub fn block(&mut self, vcpu: VcpuId) {
        self.awake &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
    }

    /// The current vCPU lets others go first.
    pub fn give_way(&mut self) {
        if let Some(current) = self.current {
            self.aside |= current.bit();
            self.aside_until = self.now.saturating_add(ASIDE);
        }
    }

    /// Those that let others go first run after all if there are no others.
    pub fn come_back(&mut self) {
        self.aside = 0;
    }

    /// Those that could run by their reservations.
    pub fn ready(&self) -> u32 {
        self.awake & !self.spent & !self.aside
    }

    /// Who has the earliest deadline; of several the one that runs.
    #[inline(never)]
    fn first(&self) -> Option<VcpuId> {
        members(self.ready()).min_by_key(|vcpu| (self.server(*vcpu).due, self.current != Some(*vcpu)))
    }

    /// Whether this one should run before the current one.
    pub fn preempts(&self, vcpu: VcpuId) -> bool {
        self.ready() & vcpu.bit() != 0 && self.first() == Some(vcpu) && self.current != Some(vcpu)
    }

    /// Makes who has the earliest deadline current. Call [`Self::advance`] first.
    pub fn pick(&mut self) -> Option<VcpuId> {
        self.current = self.first();
        self.current
    }

    /// When the class wants to be asked again at the latest: when the current vCPU's budget is used up, when a new one is
    /// due for somebody who waits for it or is to get another, or when who gave way wants to go on.
    pub fn next(&self) -> Nanos {
        let waiting = members(self.awake & (self.spent | self.changing)).map(|vcpu| self.server(vcpu).refill);
        let aside = if self.awake & self.aside == 0 { NEVER } else { self.aside_until };
        let end = self.current.map(|vcpu| {
            let left = self.server(vcpu).left.max(0) as Nanos;
            self.now.saturating_add(stretched(left, self.rate(vcpu)).max(1))
        });
        waiting.chain(end).fold(aside, Nanos::min)
    }
}

#[cfg(test)]
mod tests;
