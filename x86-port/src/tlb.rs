//! Forgetting guests' translations.
//!
//! A processor tags what it remembers by address space number; each vCPU has its own. When a domain's second stage changes,
//! its *generation* goes up, and a vCPU that last ran in an older one forgets everything before it runs again. Whoever
//! runs at that moment is called out of its guest and waited for. That is what [`Generations`] decides, away from the
//! processor.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use hyp_core::arch::CpuId;
use hyp_core::limits::{MAX_CPUS, MAX_DOMAINS};

/// Where a CPU is: in which domain's guest, and how often it entered one.
struct Place {
    /// The domain's index plus 1; 0 in the hypervisor.
    inside: AtomicU64,
    entries: AtomicU64,
}

/// Which generation each domain is in, and which CPU is in which guest.
pub struct Generations {
    domains: [AtomicU64; MAX_DOMAINS],
    cpus: [Place; MAX_CPUS],
}

impl Generations {
    /// Everybody is in the first one, and no CPU in a guest.
    pub const fn new() -> Self {
        Self {
            domains: [const { AtomicU64::new(1) }; MAX_DOMAINS],
            cpus: [const { Place { inside: AtomicU64::new(0), entries: AtomicU64::new(0) } }; MAX_CPUS],
        }
    }

    /// The generation that a domain is in.
    #[inline(always)]
    pub fn of(&self, domain: usize) -> u64 {
        self.domains.get(domain).map_or(0, |generation| generation.load(Ordering::Acquire))
    }

    /// A CPU is about to enter a guest. Returns the generation that it has to know: one that is older must be forgotten now.
    #[inline(always)]
    pub fn enter(&self, cpu: CpuId, domain: usize) -> u64 {
        if let Some(place) = self.cpus.get(usize::from(cpu)) {
            place.entries.store(place.entries.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            // Said before the generation is read: whoever changes it afterwards sees us, and whoever changed it before is
            // seen by us.
            place.inside.store(domain as u64 + 1, Ordering::SeqCst);
        }
        self.domains.get(domain).map_or(0, |generation| generation.load(Ordering::SeqCst))
    }

    /// It has left the guest.
    #[inline(always)]
    pub fn leave(&self, cpu: CpuId) {
        if let Some(place) = self.cpus.get(usize::from(cpu)) {
            place.inside.store(0, Ordering::Release);
        }
    }

    /// A domain's translations are void. Calls `kick` for each other CPU that may still use them, and waits by `relax` until
    /// it does not.
    pub fn advance(&self, domain: usize, own: CpuId, kick: impl Fn(CpuId), relax: impl Fn()) {
        if let Some(generation) = self.domains.get(domain) {
            generation.fetch_add(1, Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        for (cpu, place) in (0..).zip(&self.cpus) {
            let entries = place.entries.load(Ordering::Acquire);
            let is_inside = || place.inside.load(Ordering::SeqCst) == domain as u64 + 1;
            if cpu == own || !is_inside() {
                continue;
            }
            kick(cpu);
            // Once it has come out and gone in again it has forgotten.
            while is_inside() && place.entries.load(Ordering::Acquire) == entries {
                relax();
            }
        }
    }
}

impl Default for Generations {
    fn default() -> Self {
        Self::new()
    }
}

/// Address space numbers: 0 is the hypervisor's. A vCPU whose number has to be shared forgets at each turn.
pub fn address_space(vcpu: u64, count: u32) -> (u32, bool) {
    let others = u64::from(count.max(2) - 1);
    (1 + (vcpu % others) as u32, vcpu >= others || vcpu + others < hyp_core::limits::MAX_VCPUS as u64)
}

#[cfg(target_os = "none")]
pub(crate) static GENERATIONS: Generations = Generations::new();

/// Makes every CPU forget what it knows of a domain's second stage. Done when it returns.
#[cfg(target_os = "none")]
pub(crate) fn invalidate(domain: usize) {
    use crate::{interrupts, percpu};
    let kick = |cpu| interrupts::kick(percpu::of(cpu).apic.load(Ordering::Relaxed));
    GENERATIONS.advance(domain, percpu::number(), kick, core::hint::spin_loop);
}

#[cfg(test)]
mod tests {
    use super::{Generations, address_space};
    use std::cell::{Cell, RefCell};

    #[test]
    fn a_change_is_seen_by_who_enters_later() {
        let generations = Generations::new();
        let before = generations.enter(0, 3);
        generations.leave(0);
        generations.advance(3, 1, |_| panic!("nobody is inside"), || panic!("nobody is waited for"));
        assert_ne!(generations.enter(0, 3), before);
        generations.leave(0);
        assert_eq!(generations.enter(0, 2), before, "other domains do not care");
    }

    #[test]
    fn who_is_inside_is_called_and_waited_for() {
        let generations = Generations::new();
        generations.enter(0, 1);
        generations.enter(1, 1);
        generations.enter(2, 2);
        let (called, waits) = (RefCell::new(Vec::new()), Cell::new(0));
        let relax = || {
            waits.set(waits.get() + 1);
            // It needs a moment; then it comes out and goes in again at once.
            if waits.get() == 3 {
                generations.leave(1);
                generations.enter(1, 1);
            }
        };
        generations.advance(1, 0, |cpu| called.borrow_mut().push(cpu), relax);
        assert_eq!(
            (called.into_inner(), waits.get()),
            (vec![1], 3),
            "not the caller, and not who is in another domain"
        );
    }

    #[test]
    fn numbers_are_shared_only_where_there_are_too_few() {
        assert!((0..32).all(|vcpu| address_space(vcpu, 64) == (vcpu as u32 + 1, false)));
        let few: Vec<_> = (0..32).map(|vcpu| address_space(vcpu, 16)).collect();
        assert!(few.iter().all(|(number, _)| (1..16).contains(number)));
        for (vcpu, (number, shared)) in few.iter().enumerate() {
            let others = few.iter().enumerate().any(|(other, (same, _))| other != vcpu && same == number);
            assert_eq!(*shared, others, "{vcpu}");
        }
        assert_eq!(address_space(5, 1), (1, true), "a processor that says nonsense");
    }
}
