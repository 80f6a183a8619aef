//! The `credit` class in its `stock` form, as Xen had it in 2008: shares by weight, accounted by a tick.
//!
//! It is here to be compared with, so it has the weaknesses that were published of it. Every 10 ms whoever runs at that
//! moment pays for the whole tick. Every 30 ms those that take part are given 300 credits by their weights, and who has
//! paid more than it was given has *overrun* and runs after those that have not. A slice has 30 ms. Who wakes without
//! having overrun is *boosted*: it runs before all others until a tick finds it running. Who has more credit than a slice
//! is worth takes no part until a tick finds it running again, and has none then.
//!
//! So who sleeps when the tick comes never pays; and a player that a tick happens to find at work waits for a slice of
//! each hog that has not overrun.
//!
//! Written from the published descriptions: Xen's wiki on the credit scheduler, and Cherkasova, Gupta and Vahdat,
//! "Comparison of the Three CPU Schedulers in Xen" (2007). Nobody has to interrupt a guest for the tick: it is looked for
//! whenever the CPU looks around, and who ran meanwhile is known.

#![cfg(feature = "comparison")]

use crate::limits::MAX_VCPUS;
use crate::sched::{Class, Share};
use crate::time::{MILLISECOND, Nanos};
use crate::vcpu::{VcpuId, members};

/// How often it is looked who runs.
pub const TICK: Nanos = 10 * MILLISECOND;
/// How long a vCPU runs before another of the same kind gets its turn.
pub const SLICE: Nanos = 30 * MILLISECOND;
/// What a tick costs.
pub const CREDITS_PER_TICK: i32 = 100;
/// What those that take part are given together, every [`TICKS_PER_ACCOUNT`]; the largest credit and the largest debt.
const CREDITS_PER_SLICE: i32 = 300;
/// Ticks from one giving to the next.
const TICKS_PER_ACCOUNT: u8 = 3;
/// Ticks that are made up for at most, when the CPU has not looked around for long; everybody has all credit by then.
const MOST_TICKS: u64 = 30;

#[derive(Clone, Copy)]
struct Account {
    weight: u16,
    credit: i32,
    /// When it joined the queue, as a running number.
    turn: u32,
}

/// All vCPUs of a physical CPU, under the `stock` form of the credit class.
pub struct Stock {
    accounts: [Account; MAX_VCPUS],
    known: u32,
    /// Those that are given credit.
    active: u32,
    /// Those that wait for the CPU.
    queued: u32,
    boosted: u32,
    /// Those that have used more than they were given.
    over: u32,
    current: Option<VcpuId>,
    turns: u32,
    ticks: u8,
    next_tick: Nanos,
    now: Nanos,
    slice_start: Nanos,
    /// It is somebody else's turn.
    slice_over: bool,
}

impl Default for Stock {
    fn default() -> Self {
        Self::new()
    }
}

impl Stock {
    /// Nobody there.
    pub const fn new() -> Self {
        Self {
            accounts: [Account { weight: 1, credit: 0, turn: 0 }; MAX_VCPUS],
            known: 0,
            active: 0,
            queued: 0,
            boosted: 0,
            over: 0,
            current: None,
            turns: 0,
            ticks: 0,
            next_tick: TICK,
            now: 0,
            slice_start: 0,
            slice_over: true,
        }
    }

    /// Credit of a vCPU; a debt is negative.
    pub fn credit(&self, vcpu: VcpuId) -> i32 {
        self.accounts.get(vcpu.index()).map_or(0, |account| account.credit)
    }

    fn set_credit(&mut self, vcpu: VcpuId, credit: i32) {
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            account.credit = credit;
        }
    }

    /// The ticks up to now.
    #[inline(never)]
    fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        let Some(late) = self.now.checked_sub(self.next_tick) else { return };
        let missed = late / TICK;
        for _ in 0..=missed.min(MOST_TICKS) {
            self.tick();
        }
        self.next_tick = self.next_tick.saturating_add(missed.saturating_add(1).saturating_mul(TICK));
    }

    fn tick(&mut self) {
        if let Some(current) = self.current {
            self.boosted &= !current.bit();
            self.active |= current.bit();
            self.set_credit(current, self.credit(current).saturating_sub(CREDITS_PER_TICK));
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks >= TICKS_PER_ACCOUNT {
            self.ticks = 0;
            self.account();
        }
    }

    /// Those that take part are given what their weights say.
    fn account(&mut self) {
        let weight = |vcpu: VcpuId| self.accounts.get(vcpu.index()).map_or(1, |account| i32::from(account.weight));
        let weights = members(self.active).map(weight).fold(0, i32::saturating_add);
        for vcpu in members(self.active) {
            let weight = self.accounts.get(vcpu.index()).map_or(1, |account| i32::from(account.weight));
            let fair = CREDITS_PER_SLICE.saturating_mul(weight).checked_div(weights).unwrap_or(0);
            let credit = self.credit(vcpu).saturating_add(fair).max(-CREDITS_PER_SLICE);
            self.set_credit(vcpu, credit);
            if credit < 0 {
                self.over |= vcpu.bit();
                continue;
            }
            self.over &= !vcpu.bit();
            if credit > CREDITS_PER_SLICE {
                self.active &= !vcpu.bit();
                self.set_credit(vcpu, 0);
            }
        }
    }

    /// 0 for the boosted, 1 for those that have not overrun, 2 for the others.
    fn rank(&self, vcpu: VcpuId) -> u8 {
        match (self.boosted & vcpu.bit() != 0, self.over & vcpu.bit() != 0) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    }

    fn enqueue(&mut self, vcpu: VcpuId) {
        self.turns = self.turns.wrapping_add(1);
        let turn = self.turns;
        self.queued |= vcpu.bit();
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            account.turn = turn;
        }
    }

    /// Who of a set goes next: the best rank, and in it who has waited longest.
    fn first(&self, set: u32) -> Option<VcpuId> {
        let waited = |vcpu: VcpuId| {
            let turn = self.accounts.get(vcpu.index()).map_or(0, |account| account.turn);
            self.turns.wrapping_sub(turn)
        };
        members(set).min_by_key(|vcpu| (self.rank(*vcpu), u32::MAX - waited(*vcpu)))
    }
}

impl Class for Stock {
    fn add(&mut self, now: Nanos, vcpu: VcpuId, share: &Share, _: u32, credit: i64) {
        self.remove(now, vcpu);
        self.known |= vcpu.bit();
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            let slice = i64::from(CREDITS_PER_SLICE);
            let credit = if credit == i64::MAX { 0 } else { credit.clamp(-slice, slice) as i32 };
            *account = Account { weight: share.weight.max(1), credit, turn: 0 };
        }
    }

    fn remove(&mut self, now: Nanos, vcpu: VcpuId) -> i64 {
        self.advance(now);
        let others = !vcpu.bit();
        for set in [&mut self.known, &mut self.active, &mut self.queued, &mut self.boosted, &mut self.over] {
            *set &= others;
        }
        self.current = self.current.filter(|current| *current != vcpu);
        self.credit(vcpu).into()
    }

    fn set_weight(&mut self, now: Nanos, vcpu: VcpuId, weight: u16) {
        self.advance(now);
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            account.weight = weight.max(1);
        }
    }

    fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        let bit = vcpu.bit();
        self.advance(now);
        if self.known & bit == 0 || self.current == Some(vcpu) || self.queued & bit != 0 {
            return false;
        }
        self.boosted = if self.over & bit == 0 { self.boosted | bit } else { self.boosted & !bit };
        self.enqueue(vcpu);
        let preempts = self.current.is_none_or(|current| self.rank(vcpu) < self.rank(current));
        self.slice_over |= preempts;
        preempts
    }

    fn block(&mut self, now: Nanos) {
        self.advance(now);
        self.current = None;
    }

    fn withdraw(&mut self, now: Nanos, vcpu: VcpuId) {
        self.advance(now);
        self.queued &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
    }

    fn give_way(&mut self, now: Nanos) {
        self.advance(now);
        self.slice_over = true;
    }

    fn pick(&mut self, now: Nanos) -> Option<VcpuId> {
        self.advance(now);
        if !self.slice_over && self.slice_end().is_none_or(|end| self.now < end) && self.current.is_some() {
            return self.current;
        }
        if let Some(current) = self.current.take() {
            self.enqueue(current);
        }
        let next = self.first(self.queued)?;
        self.queued &= !next.bit();
        self.current = Some(next);
        self.slice_start = self.now;
        self.slice_over = false;
        Some(next)
    }

    fn slice_end(&self) -> Option<Nanos> {
        (self.current.is_some() && self.queued != 0).then(|| self.slice_start.saturating_add(SLICE))
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
        self.first(among & self.queued)
    }

    fn is_urgent(&self) -> bool {
        self.current.is_some_and(|current| self.boosted & current.bit() != 0)
    }

    fn settle(&mut self, now: Nanos) {
        self.advance(now);
    }

    fn skip(&mut self, now: Nanos) {
        let away = now.saturating_sub(self.now);
        self.now = self.now.saturating_add(away);
        self.next_tick = self.next_tick.saturating_add(away);
        self.slice_start = self.slice_start.saturating_add(away);
    }
}

#[cfg(test)]
mod tests;
