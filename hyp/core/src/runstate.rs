//! Where a vCPU's time went, as the guest reads it: the record behind a stolen-time clock (`public/vcpu.h`).
//!
//! Only the vCPU's home CPU writes; whoever reads from another CPU may see a record that is one change old. A guest that
//! registers a place for the record finds it there at every change, without a call.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xen_abi::vcpu::{
    RUNSTATE_BLOCKED, RUNSTATE_OFFLINE, RUNSTATE_RUNNABLE, RUNSTATE_RUNNING, RunstateInfo, XEN_RUNSTATE_UPDATE,
};

use crate::arch::{Arch, Page};
use crate::domain::Domain;
use crate::time::Nanos;

/// No place is registered. No record can be there, because it would leave its frame.
const NOWHERE: u64 = u64::MAX;
/// 64-bit words of the record: state, time of entry, four times.
const WORDS: u64 = 6;
const PAGE: u64 = 4096;

/// One vCPU's record.
pub struct Runstate {
    state: AtomicU64,
    since: AtomicU64,
    time: [AtomicU64; 4],
    /// When the vCPU, while it is blocked, was woken; 0 as long as it was not.
    woken: AtomicU64,
    /// Guest-physical places of the copy's first word and of the first byte of the next frame.
    places: [AtomicU64; 2],
}

impl Runstate {
    /// Of a vCPU that is off, with no copy.
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU64::new(RUNSTATE_OFFLINE as u64),
            since: AtomicU64::new(0),
            time: [const { AtomicU64::new(0) }; 4],
            woken: AtomicU64::new(0),
            places: [AtomicU64::new(NOWHERE), AtomicU64::new(NOWHERE)],
        }
    }

    /// The record.
    pub(crate) fn info(&self) -> RunstateInfo {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let [running, runnable, blocked, offline] = &self.time;
        RunstateInfo {
            state: load(&self.state) as u32,
            pad0: 0,
            state_entry_time: load(&self.since),
            time: [load(running), load(runnable), load(blocked), load(offline)],
        }
    }

    /// Where the copy goes: the guest-physical address of its first word, and of the frame behind where it leaves its
    /// first one.
    pub(crate) fn register(&self, first: u64, next: u64) {
        let [at, rest] = &self.places;
        rest.store(next, Ordering::Relaxed);
        at.store(first, Ordering::Release);
    }

    /// No copy any more.
    pub(crate) fn forget(&self) {
        self.register(NOWHERE, NOWHERE);
    }

    /// The vCPU could run from now on.
    pub(crate) fn woken(&self, now: Nanos) {
        if self.woken.load(Ordering::Relaxed) == 0 {
            self.woken.store(now, Ordering::Relaxed);
        }
    }

    /// It changes into another `RUNSTATE_*`.
    fn enter(&self, state: u32, now: Nanos) {
        let mut since = self.since.load(Ordering::Relaxed);
        let mut before = self.state.load(Ordering::Relaxed) as u32;
        let woken = self.woken.load(Ordering::Relaxed);
        if woken != 0 {
            self.woken.store(0, Ordering::Relaxed);
            if before == RUNSTATE_BLOCKED {
                self.spend(RUNSTATE_BLOCKED, woken.saturating_sub(since));
                (before, since) = (RUNSTATE_RUNNABLE, woken);
            }
        }
        self.spend(before, now.saturating_sub(since));
        self.state.store(state.into(), Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    fn spend(&self, state: u32, time: Nanos) {
        if let Some(word) = self.time.get(state as usize) {
            word.store(word.load(Ordering::Relaxed).saturating_add(time), Ordering::Relaxed);
        }
    }

    /// The page and the word in it where the copy's word `number` goes.
    fn word<'d, A: Arch>(&self, arch: &A, domain: &'d Domain<A>, number: u64) -> Option<(&'d Page, usize)> {
        let [at, rest] = &self.places;
        let first = at.load(Ordering::Acquire);
        let wanted = first.checked_add(number.checked_mul(8)?)?;
        let place = if wanted / PAGE == first / PAGE {
            wanted
        } else {
            rest.load(Ordering::Relaxed).checked_add(wanted.checked_rem(PAGE)?)?
        };
        let page = arch.guest_page(domain.arch(), place / PAGE).ok()?;
        Some((page, (place % PAGE / 8) as usize))
    }

    /// Writes the copy, if there is one.
    #[inline(always)]
    pub(crate) fn publish<A: Arch>(&self, arch: &A, domain: &Domain<A>) {
        let [at, _] = &self.places;
        if at.load(Ordering::Relaxed) != NOWHERE {
            self.copy(arch, domain);
        }
    }

    #[inline(never)]
    fn copy<A: Arch>(&self, arch: &A, domain: &Domain<A>) {
        let store = |number: u64, value: u64| {
            if let Some((page, word)) = self.word(arch, domain, number)
                && let Some(word) = page.get(word)
            {
                word.store(value, Ordering::SeqCst);
            }
        };
        let info = self.info();
        // A reader that sees the mark, or another time of entry than before, reads again.
        let marked = domain.marks_runstate.load(Ordering::Relaxed);
        if marked {
            store(1, info.state_entry_time | XEN_RUNSTATE_UPDATE);
        }
        store(0, info.state.into());
        (2..WORDS).zip(info.time).for_each(|(number, time)| store(number, time));
        store(1, info.state_entry_time);
    }

    /// The vCPU gets a CPU.
    pub(crate) fn runs<A: Arch>(&self, arch: &A, domain: &Domain<A>, now: Nanos) {
        self.enter(RUNSTATE_RUNNING, now);
        self.publish(arch, domain);
    }

    /// The vCPU loses its CPU, and waits for an event or for another turn.
    pub(crate) fn stops<A: Arch>(&self, arch: &A, domain: &Domain<A>, now: Nanos, blocked: bool) {
        self.enter(if blocked { RUNSTATE_BLOCKED } else { RUNSTATE_RUNNABLE }, now);
        self.publish(arch, domain);
    }
}

/// Whether the copies of a domain are marked while they change (`vm_assist`).
pub(crate) type Marks = AtomicBool;

#[cfg(test)]
mod tests {
    use super::{RUNSTATE_BLOCKED, RUNSTATE_RUNNING, Runstate};

    #[test]
    fn time_between_wake_up_and_run_was_stolen() {
        let record = Runstate::new();
        record.enter(RUNSTATE_RUNNING, 10);
        record.enter(RUNSTATE_BLOCKED, 30);
        record.woken(50);
        record.woken(55);
        record.enter(RUNSTATE_RUNNING, 57);
        assert_eq!(record.info().time, [20, 7, 20, 10]);
        assert_eq!((record.info().state, record.info().state_entry_time), (RUNSTATE_RUNNING, 57));
    }
}
