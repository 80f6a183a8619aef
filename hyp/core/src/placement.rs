//! Which CPU each vCPU is put on, and what a CPU has promised already.
//!
//! A promise that is made must be kept, so it is refused here if it does not fit: beside what other vCPUs on the CPU are
//! promised, or because a vCPU has the CPU to itself. A domain that has ended may start again, so it keeps what it has.
//!
//! A promise may be changed. Until the old one is no longer in force, the larger of the two counts, so that what is given up is
//! not promised to another too early.

use core::fmt::{self, Display, Formatter};

use crate::arch::CpuId;
use crate::hypervisor::cpu_bit;
use crate::limits::{MAX_CPUS, MAX_VCPUS};
use crate::sched::{BOUND, Promise, Reservation, WHOLE};
use crate::time::{NEVER, Nanos};
use crate::vcpu::VcpuId;

/// Why a vCPU cannot be promised what it is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The CPU among those allowed that has promised least has still promised too much.
    Full {
        /// That CPU.
        cpu: CpuId,
        /// What it has promised, of [`WHOLE`].
        promised: u32,
        /// What is asked for.
        asked: u32,
    },
    /// A whole CPU is asked for, and there are vCPUs on all.
    Taken,
    /// Each CPU is some other vCPU's.
    Owned,
}

/// A part of a CPU in percent.
struct Percent(u32);

impl Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scaled = u64::from(self.0).saturating_mul(10_000).saturating_add(u64::from(WHOLE / 2));
        let hundredths = scaled / u64::from(WHOLE);
        write!(f, "{}.{:02} %", hundredths / 100, hundredths % 100)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { cpu, promised, asked } => write!(
                f,
                "it asks for {} of a CPU, and CPU {cpu} has promised {}: {} together; the bound is {}",
                Percent(asked),
                Percent(promised),
                Percent(promised.saturating_add(asked)),
                Percent(BOUND)
            ),
            Self::Taken => f.write_str("pinned, and no CPU that it may have is free: name it first"),
            Self::Owned => f.write_str("each CPU that it may have is another's own (pinned)"),
        }
    }
}

/// A vCPU's reservation.
#[derive(Clone, Copy)]
struct Terms {
    newest: Reservation,
    cpu: CpuId,
    /// What the CPU counts for it; 0 where there is none.
    counted: u32,
    /// From when on only the newest is in force; [`NEVER`] as long as the CPU does not know of it.
    settled: Nanos,
}

impl Terms {
    const NONE: Self = Self { newest: Reservation::NONE, cpu: 0, counted: 0, settled: 0 };
}

/// What each CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Placement {
    /// vCPUs by home CPU.
    homed: [u8; MAX_CPUS],
    /// How much of each CPU is promised; [`WHOLE`] where it is somebody's own.
    promised: [u32; MAX_CPUS],
    terms: [Terms; MAX_VCPUS],
}

impl Placement {
    /// Nobody anywhere.
    pub(crate) const fn new() -> Self {
        Self { homed: [0; MAX_CPUS], promised: [0; MAX_CPUS], terms: [Terms::NONE; MAX_VCPUS] }
    }

    /// The CPUs that are somebody's own.
    pub(crate) fn owned(&self) -> u32 {
        let owned = self.promised.iter().zip(0u8..).filter(|(promised, _)| **promised >= WHOLE);
        owned.fold(0, |set, (_, cpu)| set | cpu_bit(cpu))
    }

    /// How much of a CPU is promised.
    pub(crate) fn promised(&self, cpu: CpuId) -> u32 {
        self.promised.get(usize::from(cpu)).copied().unwrap_or(WHOLE)
    }

    /// Finds a CPU among these for a vCPU that has none: the one that has promised least where something is promised, else the one
    /// that has fewest vCPUs.
    ///
    /// # Errors
    /// The promise cannot be kept on any of them.
    pub(crate) fn place(&mut self, vcpu: VcpuId, allowed: u32, promise: &Promise) -> Result<CpuId, Refusal> {
        let asked = promise.part();
        let all = self.homed.iter_mut().zip(&mut self.promised).zip(0u8..);
        let cpus = all.filter(|(_, cpu)| allowed & cpu_bit(*cpu) != 0);
        let free = cpus.filter(|((_, promised), _)| **promised < WHOLE);
        let counts = matches!(promise, Promise::Reserve(_) | Promise::Sedf(_));
        let best = free.min_by_key(|((count, promised), _)| (if counts { **promised } else { 0 }, **count));
        let ((count, promised), cpu) = best.ok_or(Refusal::Owned)?;
        if *promise == Promise::Pinned && *count != 0 {
            return Err(Refusal::Taken);
        }
        let sum = promised.saturating_add(asked);
        if counts && sum > BOUND {
            return Err(Refusal::Full { cpu, promised: *promised, asked });
        }
        *count = count.saturating_add(1);
        *promised = sum;
        if let (Promise::Reserve(newest), Some(terms)) = (promise, self.terms.get_mut(vcpu.index())) {
            *terms = Terms { newest: *newest, cpu, counted: asked, settled: 0 };
        }
        Ok(cpu)
    }

    fn of(&self, vcpu: VcpuId) -> Option<Terms> {
        self.terms.get(vcpu.index()).copied().filter(|terms| terms.counted != 0)
    }

    fn of_mut(&mut self, vcpu: VcpuId) -> Option<&mut Terms> {
        self.terms.get_mut(vcpu.index()).filter(|terms| terms.counted != 0)
    }

    /// What a vCPU with a reservation is promised.
    pub(crate) fn reservation(&self, vcpu: VcpuId) -> Option<Reservation> {
        Some(self.of(vcpu)?.newest)
    }

    /// Changes the reservations of vCPUs that have some: of all these, each named once, or, if one does not fit, of none.
    ///
    /// # Errors
    /// The first that does not fit where it is.
    pub(crate) fn change(&mut self, now: Nanos, wanted: &[(VcpuId, Reservation)]) -> Result<(), Refusal> {
        self.release(now);
        let mut after = self.promised;
        for (vcpu, newest) in wanted {
            let Some(Terms { cpu, counted, .. }) = self.of(*vcpu) else { continue };
            let (asked, Some(promised)) = (newest.density(), after.get_mut(usize::from(cpu))) else { continue };
            let others = promised.saturating_sub(counted);
            let sum = others.saturating_add(counted.max(asked));
            if sum > BOUND {
                return Err(Refusal::Full { cpu, promised: others, asked });
            }
            *promised = sum;
        }
        self.promised = after;
        for (vcpu, newest) in wanted {
            if let Some(terms) = self.of_mut(*vcpu) {
                let counted = terms.counted.max(newest.density());
                *terms = Terms { newest: *newest, counted, settled: NEVER, ..*terms };
            }
        }
        Ok(())
    }

    /// Only the newest promise to a vCPU will be in force from then on.
    pub(crate) fn settle(&mut self, vcpu: VcpuId, at: Nanos) {
        if let Some(terms) = self.of_mut(vcpu) {
            terms.settled = at;
        }
    }

    /// Stops to count what is no longer in force.
    fn release(&mut self, now: Nanos) {
        for terms in self.terms.iter_mut().filter(|terms| terms.counted != 0 && terms.settled <= now) {
            let asked = terms.newest.density();
            if let Some(promised) = self.promised.get_mut(usize::from(terms.cpu)) {
                *promised = promised.saturating_sub(terms.counted.saturating_sub(asked));
            }
            terms.counted = asked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Placement, Refusal};
    use crate::sched::{BOUND, Promise, Reservation, WHOLE};
    use crate::vcpu::VcpuId;
    use std::string::ToString;

    fn vcpu(number: u8) -> VcpuId {
        VcpuId::new(number).unwrap()
    }

    fn terms(percent: u64) -> Reservation {
        Reservation::new(percent * 100_000, 10_000_000, 10_000_000).unwrap()
    }

    fn percent(part: u64) -> Promise {
        Promise::Reserve(terms(part))
    }

    #[test]
    fn promises_are_spread_and_then_refused() {
        let mut placement = Placement::new();
        assert_eq!(placement.place(vcpu(0), 0b11, &percent(60)), Ok(0));
        assert_eq!(placement.place(vcpu(1), 0b11, &percent(50)), Ok(1));
        assert_eq!(placement.place(vcpu(2), 0b11, &percent(30)), Ok(1));
        let refusal = placement.place(vcpu(3), 0b11, &percent(40)).unwrap_err();
        assert!(matches!(refusal, Refusal::Full { cpu: 0, .. }), "{refusal:?}");
        let text = refusal.to_string();
        assert!(text.contains("asks for 40.00 %") && text.contains("promised 60.00 %"), "{text}");
        assert!(text.contains("100.00 % together; the bound is 95.00 %"), "{text}");
        assert_eq!(placement.place(vcpu(4), 0b11, &percent(35)), Ok(0));
    }

    #[test]
    fn who_has_a_cpu_to_itself_shares_it_with_nobody() {
        let mut placement = Placement::new();
        assert_eq!(placement.place(vcpu(0), 0b11, &Promise::None), Ok(0));
        assert_eq!(placement.place(vcpu(1), 0b01, &Promise::Pinned), Err(Refusal::Taken));
        assert_eq!(placement.place(vcpu(2), 0b11, &Promise::Pinned), Ok(1));
        assert_eq!(placement.place(vcpu(3), 0b10, &Promise::None), Err(Refusal::Owned));
        assert_eq!(placement.place(vcpu(4), 0b10, &percent(1)), Err(Refusal::Owned));
        assert_eq!(placement.place(vcpu(5), 0b11, &Promise::None), Ok(0));
    }

    #[test]
    fn what_is_given_up_is_free_only_when_it_is_no_longer_in_force() {
        let mut placement = Placement::new();
        assert_eq!(placement.place(vcpu(0), 1, &percent(60)), Ok(0));
        assert_eq!(placement.place(vcpu(1), 1, &percent(30)), Ok(0));
        placement.change(5, &[(vcpu(0), terms(20))]).unwrap();
        assert_eq!(placement.reservation(vcpu(0)), Some(terms(20)));
        let grown = [(vcpu(1), terms(70))];
        assert!(placement.change(u64::MAX - 1, &grown).is_err(), "its CPU does not know of it");
        placement.settle(vcpu(0), 100);
        assert!(placement.change(99, &grown).is_err());
        assert_eq!(placement.reservation(vcpu(1)), Some(terms(30)), "nothing has changed");
        placement.change(100, &grown).unwrap();
        let text = placement.change(100, &[(vcpu(0), terms(26))]).unwrap_err().to_string();
        assert!(text.contains("asks for 26.00 %") && text.contains("promised 70.00 %: 96.00 % together"), "{text}");
        // A change that never came into force counts as one that did.
        placement.settle(vcpu(1), 150);
        placement.change(100, &[(vcpu(1), terms(10))]).unwrap();
        assert!(placement.change(200, &[(vcpu(0), terms(40))]).is_err());
        placement.settle(vcpu(1), 160);
        placement.change(160, &[(vcpu(0), terms(85))]).unwrap();
    }

    #[test]
    fn of_several_changes_all_are_made_or_none() {
        let mut placement = Placement::new();
        for (number, cpus) in [(0, 0b01), (1, 0b01), (2, 0b10)] {
            placement.place(vcpu(number), cpus, &percent(30)).unwrap();
        }
        let before = placement.promised;
        let wanted = [(vcpu(2), terms(90)), (vcpu(0), terms(50)), (vcpu(1), terms(50))];
        assert!(matches!(placement.change(0, &wanted), Err(Refusal::Full { cpu: 0, .. })));
        assert_eq!((placement.promised, placement.reservation(vcpu(2))), (before, Some(terms(30))));
        placement.change(0, &wanted[..2]).unwrap();
        assert_eq!(placement.reservation(vcpu(2)), Some(terms(90)));
        assert!(placement.promised(0) < WHOLE && placement.promised(0) <= BOUND);
    }
}
