//! The `credit` class in its `client` form: shares by weight, and no wait for whoever stays inside its share.
//!
//! A media guest needs its CPU at once when its timer says so, but not much of it; a batch guest takes whatever it can
//! get. Each vCPU has a bank of credit in nanoseconds. While it takes part it earns time in proportion to its weight, and
//! it pays exactly for what it runs. Nothing is sampled by a tick, so nobody can hide between ticks or be charged for
//! time that it did not use.
//!
//! - A vCPU to which an event comes while it has credit is *boosted*: it runs before all others until its credit is
//!   gone or it blocks. Several boosted ones take turns by short slices.
//! - The vCPUs of one domain take turns by short slices, whoever of them has most credit, and a boost ends with its
//!   first slice while one of them waits. For one of them may spin on a lock that another one holds, and a processor
//!   need not tell: on QEMU a WFE never traps. By credit the spinner would go first until it had spent what the holder,
//!   who has done the work so far, has spent long ago.
//! - Otherwise the one with most credit runs, for longer slices. So those who have more than they used go before those
//!   who used more than they had, and shares come out as the weights say. A slice is not cut short by whatever else
//!   makes the CPU look around, only by somebody boosted, or by a wake-up of somebody who has clearly more credit.
//! - A bank is full at [`BANK`], and at the start, so that a guest may set itself up without being late at once. Who goes
//!   and comes back finds what it left: neither does switching off pay debts, nor does it make rich. A blocked vCPU whose bank is full no longer takes part, so that its share goes to the
//!   others; nor does a debt grow beyond the same amount, because time that nobody else wanted is not held against
//!   anybody for long.
//!
//! # How earning is computed
//!
//! `clock` is the time that one unit of weight would have earned since the start. It moves on by elapsed time divided
//! by the sum of the weights that take part; each vCPU remembers its position when it was last paid. That costs the same
//! however many vCPUs there are.

use crate::limits::MAX_VCPUS;
use crate::sched::Class;
use crate::time::{MILLISECOND, Nanos};
use crate::vcpu::VcpuId;

/// Largest credit and largest debt, in ns.
pub const BANK: i64 = 30 * MILLISECOND as i64;
/// How long a vCPU runs before another of the same kind gets its turn.
pub const SLICE: Nanos = 10 * MILLISECOND;
/// The same while several boosted vCPUs wait, and after one gave way.
pub const SHORT_SLICE: Nanos = MILLISECOND;
/// A boosted vCPU runs at least this long before its credit is looked at, and no longer while one of its domain waits.
const LEAST_SLICE: Nanos = MILLISECOND / 5;
/// The clock moves at most this much at a time, which is far more than fills every bank.
const LONGEST_STEP: Nanos = 1000 * MILLISECOND;
/// Fraction bits of the clock.
const FRACTION: u32 = 16;

/// What the class knows of a vCPU.
#[derive(Clone, Copy)]
struct Account {
    weight: u64,
    /// The vCPUs of its domain.
    family: u32,
    /// Credit when it was last paid, in ns.
    credit: i64,
    /// Where the clock was then.
    paid: u64,
    /// When it joined the queue, as a running number.
    turn: u64,
    boosted: bool,
    /// It has not been woken since it joined. The start of a vCPU is no event that anybody waits for.
    starts: bool,
    /// It lets others go first, once.
    gives_way: bool,
}

/// All vCPUs of a physical CPU, under the `client` form of the credit class.
pub struct Credit {
    accounts: [Account; MAX_VCPUS],
    /// Known vCPUs.
    known: u32,
    /// Those that earn.
    earning: u32,
    /// Those that wait for the CPU.
    queued: u32,
    current: Option<VcpuId>,
    /// Sum of the weights of those that earn.
    weights: u64,
    clock: u64,
    now: Nanos,
    turns: u64,
    slice_start: Nanos,
    /// How long the current vCPU may run while others wait; 0 once it is somebody else's turn.
    slice: Nanos,
}

impl Default for Credit {
    fn default() -> Self {
        Self::new()
    }
}

/// The vCPUs of a set.
fn members(mut set: u32) -> impl Iterator<Item = VcpuId> {
    core::iter::from_fn(move || {
        let next = VcpuId::new(set.trailing_zeros() as u8)?;
        set &= !next.bit();
        Some(next)
    })
}

impl Credit {
    /// Nobody there.
    pub const fn new() -> Self {
        let nobody = Account {
            weight: 1,
            family: 0,
            credit: BANK,
            paid: 0,
            turn: 0,
            boosted: false,
            starts: false,
            gives_way: false,
        };
        Self {
            accounts: [nobody; MAX_VCPUS],
            known: 0,
            earning: 0,
            queued: 0,
            current: None,
            weights: 0,
            clock: 0,
            now: 0,
            turns: 0,
            slice_start: 0,
            slice: SLICE,
        }
    }

    /// Credit of a vCPU when the class last looked at it, in ns; a debt is negative.
    pub fn credit(&self, vcpu: VcpuId) -> i64 {
        self.accounts.get(vcpu.index()).map_or(0, |account| account.credit)
    }

    /// The vCPU runs before all that are not boosted.
    pub fn is_boosted(&self, vcpu: VcpuId) -> bool {
        self.accounts.get(vcpu.index()).is_some_and(|account| account.boosted)
    }

    /// Moves the clock on and lets the current vCPU pay.
    fn advance(&mut self, now: Nanos) {
        let elapsed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        let step = elapsed.min(LONGEST_STEP) << FRACTION;
        self.clock = self.clock.wrapping_add(step.checked_div(self.weights).unwrap_or(0));
        if let Some(current) = self.current {
            self.pay(current, elapsed);
        }
        for vcpu in members(self.earning & !self.queued & !self.current.map_or(0, VcpuId::bit)) {
            if self.pay(vcpu, 0) >= BANK {
                self.leave(vcpu);
            }
        }
    }

    /// Pays a vCPU what it has earned, takes what it has run, and tells what it has now.
    fn pay(&mut self, vcpu: VcpuId, ran: Nanos) -> i64 {
        let earns = self.earning & vcpu.bit() != 0;
        let clock = self.clock;
        let Some(account) = self.accounts.get_mut(vcpu.index()) else { return 0 };
        let units = if earns { clock.wrapping_sub(account.paid) } else { 0 };
        let earned = units.saturating_mul(account.weight) >> FRACTION;
        let change = (earned as i64).saturating_sub(i64::try_from(ran).unwrap_or(i64::MAX));
        account.credit = account.credit.saturating_add(change).clamp(-BANK, BANK);
        account.paid = clock;
        account.credit
    }

    fn join(&mut self, vcpu: VcpuId) {
        if self.earning & vcpu.bit() == 0 {
            self.earning |= vcpu.bit();
            let clock = self.clock;
            if let Some(account) = self.accounts.get_mut(vcpu.index()) {
                account.paid = clock;
                self.weights = self.weights.saturating_add(account.weight);
            }
        }
    }

    fn leave(&mut self, vcpu: VcpuId) {
        if self.earning & vcpu.bit() != 0 {
            self.earning &= !vcpu.bit();
            let weight = self.accounts.get(vcpu.index()).map_or(0, |account| account.weight);
            self.weights = self.weights.saturating_sub(weight);
        }
    }

    fn enqueue(&mut self, vcpu: VcpuId) {
        self.turns = self.turns.wrapping_add(1);
        self.queued |= vcpu.bit();
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            account.turn = self.turns;
        }
    }

    fn any_boosted(&self, set: u32) -> bool {
        members(set).any(|vcpu| self.is_boosted(vcpu))
    }

    /// Those of a vCPU's domain that wait for the CPU.
    fn waiting_family(&self, vcpu: VcpuId) -> u32 {
        self.accounts.get(vcpu.index()).map_or(0, |account| account.family) & self.queued
    }

    /// Who of the domain of a queued vCPU has its turn: itself when it is boosted, else who has waited longest. Who gives
    /// way does so to its own domain too.
    fn whose_turn(&self, vcpu: VcpuId) -> VcpuId {
        if self.is_boosted(vcpu) {
            return vcpu;
        }
        let account = |vcpu: &VcpuId| self.accounts.get(vcpu.index());
        let waits = |vcpu: &VcpuId| account(vcpu).is_some_and(|account| !account.gives_way);
        let family = members(self.waiting_family(vcpu)).filter(waits);
        family.min_by_key(|vcpu| account(vcpu).map_or(u64::MAX, |account| account.turn)).unwrap_or(vcpu)
    }

    /// How a queued vCPU compares with others; the greatest runs.
    fn rank(&self, vcpu: VcpuId) -> (u8, i64, u64) {
        let Some(account) = self.accounts.get(vcpu.index()) else { return (0, 0, 0) };
        let earlier = u64::MAX.wrapping_sub(account.turn);
        match account {
            Account { gives_way: true, .. } => (1, 0, earlier),
            Account { boosted: true, .. } => (3, 0, earlier),
            _ => (2, account.credit, earlier),
        }
    }
}

impl Class for Credit {
    fn add(&mut self, now: Nanos, vcpu: VcpuId, weight: u16, family: u32) {
        self.remove(now, vcpu);
        self.known |= vcpu.bit();
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            let weight = u64::from(weight.max(1));
            *account = Account { weight, family, boosted: false, starts: true, gives_way: false, ..*account };
        }
    }

    fn remove(&mut self, now: Nanos, vcpu: VcpuId) {
        self.advance(now);
        self.leave(vcpu);
        self.known &= !vcpu.bit();
        self.queued &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
    }

    fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        if self.known & vcpu.bit() == 0 || self.current == Some(vcpu) {
            return false;
        }
        self.advance(now);
        self.join(vcpu);
        let credit = self.pay(vcpu, 0);
        let mut boosted = credit > 0;
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            boosted &= !account.starts;
            account.boosted = boosted;
            account.starts = false;
            account.gives_way = false;
        }
        if self.queued & vcpu.bit() == 0 {
            self.enqueue(vcpu);
        }
        let Some(current) = self.current else { return true };
        let richer = credit > self.credit(current).saturating_add(SHORT_SLICE as i64);
        let preempts = !self.is_boosted(current) && (boosted || richer);
        if preempts {
            self.slice = 0;
        }
        preempts
    }

    fn block(&mut self, now: Nanos) {
        self.advance(now);
        if let Some(account) = self.current.take().and_then(|current| self.accounts.get_mut(current.index())) {
            account.boosted = false;
        }
    }

    fn give_way(&mut self, now: Nanos) {
        self.advance(now);
        if let Some(account) = self.current.and_then(|current| self.accounts.get_mut(current.index())) {
            account.boosted = false;
            account.gives_way = true;
        }
        self.slice = 0;
    }

    fn pick(&mut self, now: Nanos) -> Option<VcpuId> {
        self.advance(now);
        if self.slice != 0 && self.slice_end().is_some_and(|end| self.now < end) {
            return self.current;
        }
        if let Some(current) = self.current.take() {
            let alone = self.waiting_family(current) == 0;
            if let Some(account) = self.accounts.get_mut(current.index()) {
                account.boosted &= alone;
            }
            self.enqueue(current);
        }
        let mut gave_way = false;
        for vcpu in members(self.queued) {
            let credit = self.pay(vcpu, 0);
            if let Some(account) = self.accounts.get_mut(vcpu.index()) {
                account.boosted &= credit > 0;
                gave_way |= account.gives_way;
            }
        }
        let next = self.whose_turn(members(self.queued).max_by_key(|vcpu| self.rank(*vcpu))?);
        for vcpu in members(if gave_way { self.queued } else { 0 }) {
            if let Some(account) = self.accounts.get_mut(vcpu.index()) {
                account.gives_way = false;
            }
        }
        self.queued &= !next.bit();
        self.current = Some(next);
        self.slice_start = self.now;
        self.slice = match self.accounts.get(next.index()) {
            Some(account) if account.boosted => (account.credit.max(0) as u64).max(LEAST_SLICE),
            _ if gave_way => SHORT_SLICE,
            _ => SLICE,
        };
        Some(next)
    }

    fn slice_end(&self) -> Option<Nanos> {
        let current = self.current?;
        if self.queued == 0 {
            return None;
        }
        let slice = match (self.is_boosted(current), self.any_boosted(self.queued)) {
            (true, true) => self.slice.min(SHORT_SLICE),
            (false, true) => 0,
            _ => self.slice,
        };
        let slice = match (self.waiting_family(current), self.is_boosted(current)) {
            (0, _) => slice,
            (_, true) => slice.min(LEAST_SLICE),
            (_, false) => slice.min(SHORT_SLICE),
        };
        Some(self.slice_start.saturating_add(slice))
    }

    fn current(&self) -> Option<VcpuId> {
        self.current
    }

    fn has_others(&self) -> bool {
        self.queued != 0
    }

    fn is_urgent(&self) -> bool {
        self.current.is_some_and(|current| self.is_boosted(current))
    }
}

#[cfg(test)]
mod tests;
