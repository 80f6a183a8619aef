//! The classes of a CPU, asked in their order.
//!
//! Mostly there is only credit in its usual form, and then the other classes cost one look at a flag. Where there are
//! others, the class that shares out what is left stands still while a higher one has the CPU: its current vCPU stays
//! that, its clock stops, and no slice of it ends.
//!
//! A vCPU with a soft reservation is known to both. When its budget is used up it takes its turn among those that nothing
//! is promised, by its weight, until its next period begins. So a reservation that is too small for a moment costs its
//! owner the promise, and not the CPU.
//!
//! A vCPU whose reservation is to be found by itself is observed from the start, and has a soft one once a pattern has been
//! seen.

use heapless::Vec;

use super::Class;
use super::credit::Credit;
use super::observe::{Observer, fits};
use super::pinned::Pinned;
use super::reserve::{Changes, Reserve};
#[cfg(feature = "comparison")]
use super::sedf::Sedf;
use super::share::{BOUND, Promise, Reservation, Scheduler, Share};
#[cfg(feature = "comparison")]
use super::stock::Stock;
use crate::time::{NEVER, Nanos};
use crate::vcpu::{VcpuId, members};

/// Stands for the number of a vCPU where there is none.
const NOBODY: u8 = u8::MAX;

/// vCPUs of a CPU that are observed at most; others that want to be are promised nothing.
const MAX_OBSERVED: usize = 4;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Pinned,
    Reserve,
    /// The class that shares out what is left, or nobody.
    Rest,
}

/// Who shares out what is left, if that is not credit in its usual form.
#[allow(clippy::large_enum_variant, reason = "there is no heap to put one of them on")]
enum Other {
    None,
    #[cfg(feature = "comparison")]
    Stock(Stock),
    #[cfg(feature = "comparison")]
    Sedf(Sedf),
}

/// Whoever that is: where there is only one, it need not be asked which.
#[cfg(feature = "comparison")]
type Rest = dyn Class;
#[cfg(not(feature = "comparison"))]
type Rest = Credit;

/// All vCPUs of one physical CPU. In the order in which it is written: what is always there comes first.
#[repr(C)]
pub struct RunQueue {
    /// There is nothing but credit in its usual form.
    plain: bool,
    holder: Holder,
    /// Number of who has been picked last and has neither blocked nor left; or [`NOBODY`].
    running: u8,
    credit: Credit,
    other: Other,
    pinned: Pinned,
    reserve: Reserve,
    observers: Vec<Observer, MAX_OBSERVED>,
    observed: Nanos,
    /// How much of the CPU is promised to those that are not observed.
    promised: u32,
}

impl RunQueue {
    /// Nobody there. A scheduler that is not in this build is credit in its usual form.
    pub const fn new(scheduler: Scheduler) -> Self {
        let other = match scheduler {
            #[cfg(feature = "comparison")]
            Scheduler::Sedf => Other::Sedf(Sedf::new()),
            #[cfg(feature = "comparison")]
            Scheduler::Stock => Other::Stock(Stock::new()),
            _ => Other::None,
        };
        Self {
            plain: matches!(other, Other::None),
            holder: Holder::Rest,
            running: NOBODY,
            credit: Credit::new(),
            other,
            pinned: Pinned::new(),
            reserve: Reserve::new(),
            observers: Vec::new(),
            observed: 0,
            promised: 0,
        }
    }

    #[cfg_attr(feature = "comparison", inline(never))]
    fn rest(&mut self) -> &mut Rest {
        match &mut self.other {
            Other::None => &mut self.credit,
            #[cfg(feature = "comparison")]
            Other::Stock(stock) => stock,
            #[cfg(feature = "comparison")]
            Other::Sedf(sedf) => sedf,
        }
    }

    #[cfg_attr(feature = "comparison", inline(never))]
    fn shown_rest(&self) -> &Rest {
        match &self.other {
            Other::None => &self.credit,
            #[cfg(feature = "comparison")]
            Other::Stock(stock) => stock,
            #[cfg(feature = "comparison")]
            Other::Sedf(sedf) => sedf,
        }
    }

    /// A vCPU joins, blocked. `family` has the bits of all vCPUs of its domain, `credit` is what [`Self::remove`] gave it, or
    /// [`i64::MAX`].
    pub fn add(&mut self, now: Nanos, vcpu: VcpuId, share: &Share, family: u32, credit: i64) {
        self.remove(now, vcpu);
        match &share.promise {
            Promise::Pinned => self.pinned.add(vcpu),
            Promise::Reserve(terms) => self.reserve.add(vcpu, terms),
            Promise::Auto => self.begin_to_observe(vcpu),
            Promise::None | Promise::Sedf(_) => {}
        }
        self.look();
        self.rest_at(now).add(now, vcpu, share, family, credit);
    }

    fn begin_to_observe(&mut self, vcpu: VcpuId) {
        let observer = Observer::new(vcpu);
        let trial = observer.trial(self.limit(vcpu));
        if let (Ok(()), Some(terms)) = (self.observers.push(observer), trial) {
            self.reserve.add(vcpu, &terms);
        }
    }

    /// A vCPU leaves, whatever it was doing. Returns what it takes along.
    pub fn remove(&mut self, now: Nanos, vcpu: VcpuId) -> i64 {
        if !self.plain {
            self.advance(now);
            self.pinned.remove(vcpu);
            self.reserve.remove(vcpu);
            self.observers.retain(|observer| observer.vcpu() != vcpu);
            if self.runs(vcpu) {
                self.hand_over(now, Holder::Rest);
            }
        }
        if self.runs(vcpu) {
            self.running = NOBODY;
        }
        let credit = self.rest_at(now).remove(now, vcpu);
        self.look();
        credit
    }

    /// What a vCPU gets is another: its weight from now on, its reservation, if it has one, from its next period on. Returns
    /// from when on nothing of the old one is in force.
    #[inline(never)]
    pub fn change(&mut self, now: Nanos, vcpu: VcpuId, share: &Share) -> Nanos {
        if !self.plain {
            self.advance(now);
        }
        self.rest_at(now).set_weight(now, vcpu, share.weight);
        match &share.promise {
            Promise::Reserve(terms) => self.reserve.change_terms(vcpu, terms),
            _ => now,
        }
    }

    /// Which classes are there?
    fn look(&mut self) {
        let nobody = self.pinned.is_empty() && self.reserve.is_empty() && self.observers.is_empty();
        self.plain = matches!(self.other, Other::None) && nobody;
    }

    /// An event arrived for a vCPU; it becomes runnable when it was blocked. Returns whether it should run at once in
    /// place of the current vCPU.
    #[inline(never)]
    pub fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        if self.plain { self.credit.wake(now, vcpu) } else { self.wake_any(now, vcpu) }
    }

    /// The same for a vCPU that does not run: when to ask again at the latest, or [`NEVER`]; `None` where at once.
    #[inline(always)]
    pub fn wake_and_ask(&mut self, now: Nanos, vcpu: VcpuId) -> Option<Nanos> {
        if !self.plain {
            return if self.wake_any(now, vcpu) { None } else { Some(self.alarm_any()) };
        }
        if self.credit.wake_other(now, vcpu) { None } else { Some(self.credit.slice_end().unwrap_or(NEVER)) }
    }

    /// The same as [`Self::wake`], and the event is that the vCPU's own timer rings.
    pub fn wake_by_timer(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        if !self.plain {
            self.observe(now, vcpu);
        }
        self.wake(now, vcpu)
    }

    #[inline(never)]
    fn observe(&mut self, now: Nanos, vcpu: VcpuId) {
        self.advance(now);
        let (limit, old) = (self.limit(vcpu), self.reservation(vcpu));
        let Some(observer) = self.observers.iter_mut().find(|observer| observer.vcpu() == vcpu) else { return };
        let seen = observer.timer(now);
        let terms = match (observer.proposal(limit), old) {
            (Some(terms), Some(old)) if !seen || fits(&old, &terms) => return,
            (Some(terms), _) => Some(terms),
            (None, Some(_)) => return,
            (None, None) => observer.trial(limit),
        };
        let Some(terms) = terms else { return };
        if old.is_none() {
            self.rest_at(now).withdraw(now, vcpu);
        }
        self.reserve.add(vcpu, &terms);
    }

    /// What may be promised to an observed vCPU.
    fn limit(&self, vcpu: VcpuId) -> u32 {
        let others = self.observers.iter().filter(|observer| observer.vcpu() != vcpu);
        let theirs = others.filter_map(|other| self.reservation(other.vcpu())).map(|terms| terms.density());
        BOUND.saturating_sub(theirs.fold(self.promised, u32::saturating_add))
    }

    /// What else happens when an observed vCPU has used up its budget: it is given more, or no longer has a reservation.
    /// Returns whether it is not spent after all.
    fn raise(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        let limit = self.limit(vcpu);
        let Some(observer) = self.observers.iter_mut().find(|observer| observer.vcpu() == vcpu) else { return false };
        if observer.proposal(limit).is_none() {
            if observer.trial(limit).is_none() {
                self.reserve.remove(vcpu);
                self.rest_at(now).wake(now, vcpu);
            }
            return false;
        }
        let more = observer.spent();
        let Some(terms) = observer.proposal(limit).filter(|_| more) else { return false };
        self.reserve.add(vcpu, &terms);
        self.reserve.renew(vcpu);
        !self.reserve.is_spent(vcpu)
    }

    /// Says how much of the CPU is promised to those that are not observed. A reservation that was found and no longer fits
    /// beside that is gone at once.
    pub fn set_promised(&mut self, now: Nanos, part: u32) {
        self.promised = part;
        for at in 0..self.observers.len() {
            let Some(vcpu) = self.observers.get(at).map(Observer::vcpu) else { return };
            if self.reservation(vcpu).is_some_and(|terms| terms.density() > self.limit(vcpu)) {
                self.advance(now);
                let awake = self.reserve.is_awake(vcpu);
                self.reserve.remove(vcpu);
                if awake {
                    self.rest_at(now).wake(now, vcpu);
                }
            }
        }
    }

    /// The reservation that a vCPU has at this moment.
    pub fn reservation(&self, vcpu: VcpuId) -> Option<Reservation> {
        self.reserve.terms(vcpu)
    }

    #[inline(never)]
    fn wake_any(&mut self, now: Nanos, vcpu: VcpuId) -> bool {
        self.advance(now);
        let preempts = if self.pinned.has(vcpu) {
            self.pinned.wake(vcpu);
            true
        } else {
            self.reserve.wake(vcpu);
            if self.reserve.has(vcpu) && !self.reserve.falls(vcpu) {
                self.reserve.preempts(vcpu)
            } else {
                self.rest_at(now).wake(now, vcpu) && self.holder == Holder::Rest
            }
        };
        self.holder != Holder::Pinned && (preempts || self.has_lost())
    }

    /// The vCPU that runs has lost its right to, because its budget has come or gone.
    fn has_lost(&self) -> bool {
        let chosen = match self.holder {
            Holder::Pinned => return false,
            Holder::Reserve => self.reserve.current(),
            Holder::Rest => self.shown_rest().current(),
        };
        chosen != self.current()
    }

    /// The current vCPU waits for an event.
    #[inline(always)]
    pub fn block(&mut self, now: Nanos) {
        if self.plain {
            self.credit.block(now)
        } else {
            self.block_any(now)
        }
        self.running = NOBODY;
    }

    #[inline(never)]
    fn block_any(&mut self, now: Nanos) {
        let Some(vcpu) = self.current() else { return };
        self.advance(now);
        self.running = NOBODY;
        self.pinned.block(vcpu);
        self.reserve.block(vcpu);
        if self.shown_rest().current() == Some(vcpu) && self.holder == Holder::Rest {
            self.rest().block(now);
        } else {
            // Its budget has ended in this moment.
            self.rest_at(now).withdraw(now, vcpu);
        }
    }

    /// The current vCPU lets others go first.
    #[inline(always)]
    pub fn give_way(&mut self, now: Nanos) {
        if self.plain { self.credit.give_way(now) } else { self.give_way_any(now) }
    }

    #[inline(never)]
    fn give_way_any(&mut self, now: Nanos) {
        self.advance(now);
        match self.holder {
            Holder::Pinned => {}
            Holder::Reserve => self.reserve.give_way(),
            Holder::Rest => self.rest().give_way(now),
        }
    }

    /// The vCPU to run from now on, which becomes current; `None` where there is nobody to run.
    #[inline(always)]
    pub fn pick(&mut self, now: Nanos) -> Option<VcpuId> {
        let next = if self.plain { self.credit.pick(now) } else { self.pick_any(now) };
        self.running = next.map_or(NOBODY, VcpuId::number);
        next
    }

    #[inline(never)]
    fn pick_any(&mut self, now: Nanos) -> Option<VcpuId> {
        self.advance(now);
        self.choose(now)
    }

    fn choose(&mut self, now: Nanos) -> Option<VcpuId> {
        if let Some(owner) = self.pinned.pick() {
            self.hand_over(now, Holder::Pinned);
            return Some(owner);
        }
        if let Some(first) = self.reserve.pick() {
            self.hand_over(now, Holder::Reserve);
            return Some(first);
        }
        self.hand_over(now, Holder::Rest);
        if let Some(next) = self.rest().pick(now) {
            return Some(next);
        }
        self.reserve.come_back();
        let first = self.reserve.pick()?;
        self.hand_over(now, Holder::Reserve);
        Some(first)
    }

    /// Lets time pass for the class that has the CPU and for all servers, and moves those whose budget has come or gone.
    #[inline(never)]
    fn advance(&mut self, now: Nanos) {
        let ran = now.saturating_sub(self.observed);
        self.observed = self.observed.max(now);
        if let Some(running) = self.current() {
            let observers = self.observers.iter_mut().filter(|observer| observer.vcpu() == running);
            observers.for_each(|observer| observer.ran(ran));
        }
        let Changes { spent, refilled } = self.reserve.advance(now);
        for vcpu in members(spent) {
            if !self.raise(now, vcpu) && self.reserve.falls(vcpu) {
                self.rest_at(now).wake(now, vcpu);
            }
        }
        members(refilled).for_each(|vcpu| self.rest_at(now).withdraw(now, vcpu));
    }

    /// The class that shares out what is left, at this time on its clock.
    #[inline(never)]
    fn rest_at(&mut self, now: Nanos) -> &mut Rest {
        if self.holder != Holder::Rest {
            self.rest().skip(now);
        }
        self.rest()
    }

    /// Another class, or another vCPU, has the CPU.
    #[inline(never)]
    fn hand_over(&mut self, now: Nanos, holder: Holder) {
        match (self.holder == Holder::Rest, holder == Holder::Rest) {
            (true, false) => self.rest().settle(now),
            (false, true) => self.rest().skip(now),
            _ => {}
        }
        self.holder = holder;
    }

    /// When to ask again at the latest; `None` where the current vCPU may run on for ever.
    pub fn slice_end(&self) -> Option<Nanos> {
        let end = self.alarm();
        (end != NEVER).then_some(end)
    }

    /// The same as a time, [`NEVER`] for none.
    #[inline(always)]
    pub fn alarm(&self) -> Nanos {
        if !self.plain {
            return self.alarm_any();
        }
        if self.credit.waiting() != 0 { self.credit.slice_end().unwrap_or(NEVER) } else { NEVER }
    }

    #[inline(never)]
    fn alarm_any(&self) -> Nanos {
        let rest = match self.holder {
            Holder::Pinned => return NEVER,
            Holder::Reserve => NEVER,
            Holder::Rest => self.shown_rest().slice_end().unwrap_or(NEVER),
        };
        rest.min(self.reserve.next())
    }

    /// The vCPU that runs.
    pub fn current(&self) -> Option<VcpuId> {
        VcpuId::new(self.running)
    }

    /// This one runs.
    #[inline(always)]
    pub fn runs(&self, vcpu: VcpuId) -> bool {
        self.running == vcpu.number()
    }

    /// There may be somebody besides the current vCPU.
    #[inline(always)]
    pub fn has_others(&self) -> bool {
        !self.plain || self.credit.waiting() != 0
    }

    /// Those that wait for the CPU.
    #[inline]
    pub fn waiting(&self) -> u32 {
        if self.plain {
            return self.credit.waiting();
        }
        let rest = self.shown_rest();
        let all = rest.waiting() | rest.current().map_or(0, VcpuId::bit) | self.reserve.ready();
        all & !self.current().map_or(0, VcpuId::bit)
    }

    /// Those of them that go before others that nothing is promised.
    pub fn boosted(&self) -> u32 {
        self.shown_rest().boosted()
    }

    /// Who of those that wait and are promised nothing, among these, has its turn next: whom another CPU should run instead.
    pub fn next_of(&self, among: u32) -> Option<VcpuId> {
        self.shown_rest().next_of(among)
    }

    /// The current vCPU must not wait for work of the hypervisor that can wait.
    #[inline(always)]
    pub fn is_urgent(&self) -> bool {
        if self.plain { self.credit.is_urgent() } else { self.is_urgent_any() }
    }

    /// Who owns a CPU might never sleep; so that one has to wait.
    #[inline(never)]
    fn is_urgent_any(&self) -> bool {
        match self.holder {
            Holder::Pinned => false,
            Holder::Reserve => self.running != NOBODY,
            Holder::Rest => self.shown_rest().is_urgent(),
        }
    }
}

#[cfg(test)]
mod tests;
