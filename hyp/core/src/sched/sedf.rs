//! `sedf`, simple earliest deadline first, as Xen 3 had it beside credit: a slice in each period, and extra time.
//!
//! It is here to be compared with, so it does no more than was published of it. Among those that have some of their slice
//! left, whose period ends first runs. Who has used its slice waits for its next period. What nobody with a slice wants is
//! *extra time*, in short turns to those that may have it, and to whoever has had least of it for its weight. Who was not
//! promised a slice lives on extra time alone. Who wakes after the end of its period starts one now; who wakes before goes
//! on with what it has. Nobody checks that the slices fit.
//!
//! Written from the published descriptions: Xen 3's `docs/misc/sedf_scheduler_mini-HOWTO.txt`, and Cherkasova, Gupta and
//! Vahdat, "Comparison of the Three CPU Schedulers in Xen" (2007). The HOWTO's latency hints are left out.

#![cfg(feature = "comparison")]

use crate::limits::MAX_VCPUS;
use crate::sched::{Class, Promise, Share};
use crate::time::{MICROSECOND, NEVER, Nanos};
use crate::vcpu::{VcpuId, members};

/// A turn of extra time.
pub const TURN: Nanos = 500 * MICROSECOND;
/// The weight at which extra time counts as what it is.
const USUAL_WEIGHT: u64 = 256;

#[derive(Clone, Copy)]
struct Account {
    weight: u16,
    /// What it may run in each period, ns; 0 where nothing is promised.
    slice: u32,
    period: u32,
    /// What is left of the slice.
    left: u32,
    /// When the period ends.
    end: Nanos,
    /// Extra time that it has had, ns, by weight.
    extra: u64,
}

const NONE: Account = Account { weight: 1, slice: 0, period: 0, left: 0, end: 0, extra: 0 };

/// All vCPUs of a physical CPU, under `sedf`.
pub struct Sedf {
    accounts: [Account; MAX_VCPUS],
    known: u32,
    /// Those that may have extra time.
    greedy: u32,
    /// Those that want to run, the current one too.
    awake: u32,
    current: Option<VcpuId>,
    /// The current vCPU runs on extra time.
    on_extra: bool,
    turn_start: Nanos,
    /// It is somebody else's turn.
    turn_over: bool,
    now: Nanos,
}

impl Default for Sedf {
    fn default() -> Self {
        Self::new()
    }
}

impl Sedf {
    /// Nobody there.
    pub const fn new() -> Self {
        Self {
            accounts: [NONE; MAX_VCPUS],
            known: 0,
            greedy: 0,
            awake: 0,
            current: None,
            on_extra: false,
            turn_start: 0,
            turn_over: true,
            now: 0,
        }
    }

    fn account(&self, vcpu: VcpuId) -> &Account {
        self.accounts.get(vcpu.index()).unwrap_or(&NONE)
    }

    fn change(&mut self, vcpu: VcpuId, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(vcpu.index()) {
            change(account);
        }
    }

    /// Lets the current vCPU pay, and starts the periods that are due.
    #[inline(never)]
    fn advance(&mut self, now: Nanos) {
        let ran = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if let Some(current) = self.current {
            let on_extra = self.on_extra;
            self.change(current, |account| {
                if on_extra {
                    let weighed = ran.saturating_mul(USUAL_WEIGHT).checked_div(account.weight.into()).unwrap_or(0);
                    account.extra = account.extra.saturating_add(weighed);
                } else {
                    account.left = account.left.saturating_sub(ran.min(u32::MAX.into()) as u32);
                }
            });
        }
        for vcpu in members(self.awake) {
            self.begin(vcpu, false);
        }
    }

    /// Starts a new period of a vCPU if the old one is over: where that ended, or now.
    fn begin(&mut self, vcpu: VcpuId, at_once: bool) {
        let now = self.now;
        self.change(vcpu, |account| {
            let late = now.saturating_sub(account.end);
            if account.slice != 0 && now >= account.end {
                let missed = at_once || late >= account.period.into();
                let start = if missed { now } else { account.end };
                account.end = start.saturating_add(account.period.into());
                account.left = account.slice;
            }
        });
    }

    /// Who has some of its slice left, and whose period ends first.
    fn urgent(&self) -> Option<VcpuId> {
        let entitled = members(self.awake).filter(|vcpu| self.account(*vcpu).left != 0);
        entitled.min_by_key(|vcpu| (self.account(*vcpu).end, self.current != Some(*vcpu)))
    }

    /// Who has had least extra time.
    fn poorest(&self) -> Option<VcpuId> {
        let keep = |vcpu| self.current == Some(vcpu) && self.on_extra && !self.turn_over;
        let mut greedy = members(self.awake & self.greedy);
        if let Some(current) = self.current.filter(|current| keep(*current) && self.awake & current.bit() != 0) {
            return Some(current);
        }
        let first = greedy.next()?;
        Some(greedy.fold(first, |a, b| {
            let rank = |vcpu| (self.account(vcpu).extra, self.current == Some(vcpu));
            if rank(b) < rank(a) { b } else { a }
        }))
    }
}

impl Class for Sedf {
    fn add(&mut self, now: Nanos, vcpu: VcpuId, share: &Share, _: u32, _: i64) {
        self.remove(now, vcpu);
        let (slice, period, greedy) = match share.promise {
            Promise::Sedf(terms) => (terms.budget() as u32, terms.period() as u32, terms.reclaim),
            _ => (0, 0, true),
        };
        self.known |= vcpu.bit();
        self.greedy = if greedy { self.greedy | vcpu.bit() } else { self.greedy & !vcpu.bit() };
        let weight = share.weight.max(1);
        self.change(vcpu, |account| *account = Account { weight, slice, period, ..NONE });
    }

    /// Slices and extra time are counted anew on another CPU.
    fn remove(&mut self, now: Nanos, vcpu: VcpuId) -> i64 {
        self.advance(now);
        self.known &= !vcpu.bit();
        self.awake &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
        i64::MAX
    }

    fn set_weight(&mut self, now: Nanos, vcpu: VcpuId, weight: u16) {
        self.advance(now);
        self.change(vcpu, |account| account.weight = weight.max(1));
    }

    fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        self.advance(now);
        if self.known & vcpu.bit() == 0 || self.awake & vcpu.bit() != 0 {
            return false;
        }
        // Who slept has not saved extra time.
        let least = members(self.awake & self.greedy).map(|other| self.account(other).extra).min().unwrap_or(0);
        self.change(vcpu, |account| account.extra = account.extra.max(least));
        self.awake |= vcpu.bit();
        self.begin(vcpu, true);
        let Some(current) = self.current else { return true };
        let (new, old) = (self.account(vcpu), self.account(current));
        new.left != 0 && (self.on_extra || new.end < old.end)
    }

    fn block(&mut self, now: Nanos) {
        self.advance(now);
        if let Some(current) = self.current.take() {
            self.awake &= !current.bit();
        }
    }

    fn withdraw(&mut self, now: Nanos, vcpu: VcpuId) {
        self.advance(now);
        self.awake &= !vcpu.bit();
        self.current = self.current.filter(|current| *current != vcpu);
    }

    /// Who gives way gives up its slice of this period.
    fn give_way(&mut self, now: Nanos) {
        self.advance(now);
        self.turn_over = true;
        if let Some(current) = self.current {
            self.change(current, |account| account.left = 0);
        }
    }

    fn pick(&mut self, now: Nanos) -> Option<VcpuId> {
        self.advance(now);
        self.turn_over |= self.now >= self.turn_start.saturating_add(TURN);
        let urgent = self.urgent();
        let next = urgent.or_else(|| self.poorest());
        let on_extra = next.is_some() && urgent.is_none();
        if on_extra && (self.turn_over || next != self.current || !self.on_extra) {
            self.turn_start = self.now;
            self.turn_over = false;
        }
        self.on_extra = on_extra;
        self.current = next;
        next
    }

    fn slice_end(&self) -> Option<Nanos> {
        let waiting = members(self.awake).map(|vcpu| self.account(vcpu)).filter(|account| account.slice != 0);
        let periods = waiting.filter(|account| account.left == 0).map(|account| account.end);
        let own = self.current.map(|current| match self.on_extra {
            true if self.waiting() != 0 => self.turn_start.saturating_add(TURN),
            true => NEVER,
            false => self.now.saturating_add(self.account(current).left.into()),
        });
        let first = periods.chain(own).fold(NEVER, Nanos::min);
        (first != NEVER).then_some(first)
    }

    fn current(&self) -> Option<VcpuId> {
        self.current
    }

    fn waiting(&self) -> u32 {
        self.awake & !self.current.map_or(0, VcpuId::bit)
    }

    fn boosted(&self) -> u32 {
        members(self.awake).filter(|vcpu| self.account(*vcpu).left != 0).fold(0, |set, vcpu| set | vcpu.bit())
    }

    fn next_of(&self, among: u32) -> Option<VcpuId> {
        members(among & self.waiting()).min_by_key(|vcpu| self.account(*vcpu).extra)
    }

    fn is_urgent(&self) -> bool {
        self.current.is_some() && !self.on_extra
    }

    fn settle(&mut self, now: Nanos) {
        self.advance(now);
    }

    fn skip(&mut self, now: Nanos) {
        let away = now.saturating_sub(self.now);
        self.now = self.now.saturating_add(away);
        self.turn_start = self.turn_start.saturating_add(away);
    }
}

#[cfg(test)]
mod tests {
    use super::{Sedf, TURN};
    use crate::sched::{Class, Promise, Reservation, Share};
    use crate::time::{MILLISECOND as MS, Nanos};
    use crate::vcpu::VcpuId;

    fn vcpu(number: u8) -> VcpuId {
        VcpuId::new(number).unwrap()
    }

    fn slice(slice: Nanos, period: Nanos, extra: bool) -> Share {
        let mut terms = Reservation::new(slice * MS, period * MS, period * MS).unwrap();
        terms.reclaim = extra;
        Share { weight: 256, promise: Promise::Sedf(terms) }
    }

    /// What each has run when all want to run for so long.
    fn run(shares: &[Share], until: Nanos) -> std::vec::Vec<Nanos> {
        let mut sedf = Sedf::new();
        for (number, share) in (0..).zip(shares) {
            sedf.add(0, vcpu(number), share, 0, i64::MAX);
            sedf.wake(0, vcpu(number));
        }
        let (mut now, mut ran) = (0, std::vec![0; shares.len()]);
        while now < until {
            let picked = sedf.pick(now);
            let end = sedf.slice_end().unwrap_or(until).min(until);
            assert!(end > now, "it does not go on at {now}");
            if let Some(picked) = picked {
                ran[picked.index()] += end - now;
            }
            now = end;
        }
        ran
    }

    #[test]
    fn slices_come_first_and_the_rest_goes_by_weight() {
        let light = Share::of_weight(256);
        let ran = run(&[slice(2, 10, false), slice(5, 20, true), light, Share::of_weight(512)], 1000 * MS);
        assert_eq!(ran[0], 200 * MS);
        // 55 % are left, and three share them as 1 : 1 : 2.
        for (number, wanted) in [(1, 250.0 + 137.5), (2, 137.5), (3, 275.0)] {
            let share = ran[number] as f64 / MS as f64;
            assert!((share - wanted).abs() < 5.0, "vCPU {number} has run {share} ms, not {wanted}");
        }
    }

    #[test]
    fn who_wakes_with_a_slice_runs_at_once() {
        let mut sedf = Sedf::new();
        sedf.add(0, vcpu(0), &slice(2, 10, false), 0, i64::MAX);
        sedf.add(0, vcpu(1), &Share::of_weight(256), 0, i64::MAX);
        sedf.wake(0, vcpu(1));
        assert_eq!(sedf.pick(0), Some(vcpu(1)));
        assert_eq!(sedf.slice_end(), None, "nobody else wants the CPU");
        assert!(sedf.wake(3 * TURN, vcpu(0)));
        assert_eq!(sedf.pick(3 * TURN), Some(vcpu(0)));
        assert_eq!(sedf.slice_end(), Some(3 * TURN + 2 * MS));
        assert_eq!(sedf.pick(3 * TURN + 2 * MS), Some(vcpu(1)), "its slice is over");
        sedf.give_way(4 * TURN);
        sedf.block(4 * TURN);
        assert_eq!(sedf.pick(4 * TURN), None, "no extra time for it");
        assert_eq!(sedf.pick(3 * TURN + 10 * MS), Some(vcpu(0)));
    }
}
