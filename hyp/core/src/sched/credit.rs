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
use crate::sched::{Class, Share};
use crate::time::{MILLISECOND, Nanos};
use crate::vcpu::{VcpuId, members};

/// Largest credit and largest debt, in ns.
pub const BANK: i64 = 30 * MILLISECOND as i64;
/// How long a vCPU runs before another of the same kind gets its turn.
pub const SLICE: Nanos = 10 * MILLISECOND;
/// The same while several boosted vCPUs wait, and after one gave way.
pub const SHORT_SLICE: Nanos = MILLISECOND;
/// A boosted vCPU runs at least this long before its credit is looked at, and no longer while one of its domain waits.
const LEAST_SLICE: Nanos = MILLISECOND / 5;
/// The clock moves at most this much at a time, which is far more than fills or empties every bank.
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
    /// Those that run before others.
    boosted: u32,
    /// Those that have not been woken since they joined. The start of a vCPU is no event that anybody waits for.
    starting: u32,
    /// Those that let others go first, once.
    giving_way: u32,
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

impl Credit {
    /// Nobody there.
    pub const fn new() -> Self {
        let nobody = Account { weight: 1, family: 0, credit: BANK, paid: 0, turn: 0 };
        Self {
            accounts: [nobody; MAX_VCPUS],
            known: 0,
            earning: 0,
            queued: 0,
            boosted: 0,
            starting: 0,
            giving_way: 0,
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
        self.boosted & vcpu.bit() != 0
    }

    /// Moves the clock on and lets the current vCPU pay.
    #[inline(always)]
    fn advance(&mut self, now: Nanos) {
        if now > self.now {
            self.move_on(now);
        }
    }

    #[inline(never)]
    fn move_on(&mut self, now: Nanos) {
        let elapsed = now.wrapping_sub(self.now).min(LONGEST_STEP);
        self.now = now;
        let step = (elapsed << FRACTION).checked_div(self.weights).unwrap_or(0);
        self.clock = self.clock.wrapping_add(step);
        let mut asleep = self.earning & !self.queued;
        if let Some(current) = self.current {
            asleep &= !current.bit();
            self.pay(current, elapsed);
        }
        for vcpu in members(asleep) {
            self.pay(vcpu, 0);
            self.rest(vcpu);
        }
    }

    /// Pays a vCPU what it has earned, takes what it has run, and tells what it has now.
    fn pay(&mut self, vcpu: VcpuId, ran: Nanos) -> i64 {
        let earns = self.earning & vcpu.bit() != 0;
        let clock = self.clock;
        let Some(account) = self.accounts.get_mut(vcpu.index()) else { return 0 };
        let units = if earns { clock.wrapping_sub(account.paid) } else { 0 };
        // Everybody is paid at every step of the clock or, while it waits, at every choice: nothing here overflows.
        let earned = units.wrapping_mul(account.weight) >> FRACTION;
        let change = earned.wrapping_sub(ran) as i64;
        account.credit = account.credit.wrapping_add(change).clamp(-BANK, BANK);
        account.paid = clock;
        account.credit
    }

    /// A vCPU that is blocked no longer takes part if its bank is full.
    fn rest(&mut self, vcpu: VcpuId) {
        if self.credit(vcpu) >= BANK {
            self.leave(vcpu);
        }
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

    /// Those of a vCPU's domain that wait for the CPU.
    fn waiting_family(&self, vcpu: VcpuId) -> u32 {
        self.accounts.get(vcpu.index()).map_or(0, |account| account.family) & self.queued
    }

    /// Who of a set joined the queue first.
    fn earliest(&self, set: u32) -> Option<VcpuId> {
        members(set).min_by_key(|vcpu| self.accounts.get(vcpu.index()).map_or(u64::MAX, |account| account.turn))
    }

    /// Who of those that wait has its turn: the boosted before the others, among these who has most credit, and last who
    /// gives way. In place of one that is not boosted goes who of its domain has waited longest; who gives way does so to
    /// its own domain too.
    #[inline(always)]
    fn whose_turn(&self) -> Option<VcpuId> {
        let queued = self.queued;
        if queued & queued.wrapping_sub(1) == 0 { members(queued).next() } else { self.choose(queued) }
    }

    /// The same among some of those that wait.
    #[inline(never)]
    fn choose(&self, queued: u32) -> Option<VcpuId> {
        let boosted = queued & self.boosted;
        let waiting = queued & !self.giving_way;
        if boosted != 0 || waiting == 0 {
            return self.earliest(if boosted != 0 { boosted } else { queued });
        }
        let rank = |vcpu: &VcpuId| {
            let account = self.accounts.get(vcpu.index());
            account.map_or((0, 0), |account| (account.credit, u64::MAX.wrapping_sub(account.turn)))
        };
        let richest = members(waiting).max_by_key(rank)?;
        self.earliest(self.waiting_family(richest) & waiting).or(Some(richest))
    }
}

impl Credit {
    /// [`Class::wake`] for a vCPU that does not run, for whoever does it often.
    #[inline(always)]
    pub(super) fn wake_other(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        let bit = vcpu.bit();
        if self.known & bit == 0 {
            return false;
        }
        // Nobody who waits or sleeps loses credit: who had some when it was last paid is boosted without a look at what
        // it has by now.
        if self.earning & !self.starting & bit != 0 && self.credit(vcpu) > 0 {
            return self.enter(vcpu, true, false);
        }
        self.wake_poor(now, vcpu)
    }

    /// The same for one that may have no credit, or has just started.
    #[inline(never)]
    fn wake_poor(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        self.advance(now);
        self.join(vcpu);
        let credit = self.pay(vcpu, 0);
        let rest = self.current.map_or(0, |current| self.credit(current));
        let richer = credit > rest.saturating_add(SHORT_SLICE as i64);
        self.enter(vcpu, credit > 0 && self.starting & vcpu.bit() == 0, richer)
    }

    /// A vCPU wants to run. Returns whether it should at once.
    #[inline(always)]
    fn enter(&mut self, vcpu: VcpuId, boosted: bool, richer: bool) -> bool {
        let bit = vcpu.bit();
        self.boosted = if boosted { self.boosted | bit } else { self.boosted & !bit };
        self.starting &= !bit;
        self.giving_way &= !bit;
        if self.queued & bit == 0 {
            self.enqueue(vcpu);
        }
        let Some(current) = self.current else { return true };
        let preempts = !self.is_boosted(current) && (boosted || richer);
        if preempts {
            self.slice = 0;
        }
        preempts
    }
}

impl Class for Credit {
    fn add(&mut self, now: Nanos, vcpu: VcpuId, share: &Share, family: u32, credit: i64) {
        self.remove(now, vcpu);
        self.known |= vcpu.bit();
        self.boosted &= !vcpu.bit();
        self.starting |= vcpu.bit();
        self.giving_way &= !vcpu.bit();
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            let credit = credit.clamp(-BANK, BANK);
            *account = Account { weight: share.weight.max(1).into(), family, credit, ..*account };
        }
    }

    fn remove(&mut self, now: Nanos, vcpu: VcpuId) -> i64 {
        self.advance(now);
        let credit = self.pay(vcpu, 0);
        self.leave(vcpu);
        self.known &= !vcpu.bit();
        self.queued &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
        credit
    }

    fn set_weight(&mut self, now: Nanos, vcpu: VcpuId, weight: u16) {
        self.advance(now);
        self.pay(vcpu, 0);
        let earns = self.earning & vcpu.bit() != 0;
        self.leave(vcpu);
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            account.weight = weight.max(1).into();
        }
        if earns {
            self.join(vcpu);
        }
    }

    fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        self.current != Some(vcpu) && self.wake_other(now, vcpu)
    }

    #[inline(always)]
    fn block(&mut self, now: Nanos) {
        self.advance(now);
        if let Some(current) = self.current.take() {
            self.boosted &= !current.bit();
            self.rest(current);
        }
    }

    fn withdraw(&mut self, now: Nanos, vcpu: VcpuId) {
        if self.current == Some(vcpu) {
            return self.block(now);
        }
        self.advance(now);
        self.queued &= !vcpu.bit();
        self.boosted &= !vcpu.bit();
        self.rest(vcpu);
    }

    fn give_way(&mut self, now: Nanos) {
        self.advance(now);
        if let Some(current) = self.current {
            self.boosted &= !current.bit();
            self.giving_way |= current.bit();
        }
        self.slice = 0;
    }

    #[inline(always)]
    fn pick(&mut self, now: Nanos) -> Option<VcpuId> {
        self.advance(now);
        if self.slice != 0 && self.current.is_some() && self.slice_end().is_some_and(|end| self.now < end) {
            return self.current;
        }
        if let Some(current) = self.current.take() {
            if self.waiting_family(current) != 0 {
                self.boosted &= !current.bit();
            }
            self.enqueue(current);
        }
        for vcpu in members(self.queued) {
            if self.pay(vcpu, 0) <= 0 {
                self.boosted &= !vcpu.bit();
            }
        }
        let next = self.whose_turn()?;
        let gave_way = self.giving_way & self.queued != 0;
        self.giving_way &= !self.queued;
        self.queued &= !next.bit();
        self.current = Some(next);
        self.slice_start = self.now;
        self.slice = match (self.is_boosted(next), gave_way) {
            (true, _) => (self.credit(next).max(0) as u64).max(LEAST_SLICE),
            (false, true) => SHORT_SLICE,
            (false, false) => SLICE,
        };
        Some(next)
    }

    fn slice_end(&self) -> Option<Nanos> {
        let current = self.current?;
        if self.queued == 0 {
            return None;
        }
        let (boosted, family) = (self.is_boosted(current), self.waiting_family(current) != 0);
        let longest = match (boosted, self.boosted & self.queued != 0, family) {
            (false, true, _) => 0,
            (true, _, true) => LEAST_SLICE,
            (true, true, false) | (false, false, true) => SHORT_SLICE,
            (_, false, false) => Nanos::MAX,
        };
        Some(self.slice_start.saturating_add(self.slice.min(longest)))
    }

    fn current(&self) -> Option<VcpuId> {
        self.current
    }

    fn waiting(&self) -> u32 {
        self.queued
    }

    fn boosted(&self) -> u32 {
        self.boosted
    }

    fn next_of(&self, among: u32) -> Option<VcpuId> {
        self.choose(among & self.queued)
    }

    fn is_urgent(&self) -> bool {
        self.current.is_some_and(|current| self.is_boosted(current))
    }

    fn settle(&mut self, now: Nanos) {
        self.advance(now);
    }

    fn skip(&mut self, now: Nanos) {
        let away = now.saturating_sub(self.now);
        self.now = self.now.saturating_add(away);
        self.slice_start = self.slice_start.saturating_add(away);
    }
}

#[cfg(test)]
mod tests;
