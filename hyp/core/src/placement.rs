//! Which CPU each vCPU is put on, and what a CPU has promised already.
//!
//! A promise that is made must be kept, so it is refused here if it does not fit: beside what other vCPUs on the CPU are
//! promised, or because a vCPU has the CPU to itself. Nothing is taken back; a domain that has ended may start again.

use core::fmt::{self, Display, Formatter};

use crate::arch::CpuId;
use crate::hypervisor::cpu_bit;
use crate::limits::MAX_CPUS;
use crate::sched::{BOUND, Promise, WHOLE};

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

/// What each CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Placement {
    /// vCPUs by home CPU.
    homed: [u8; MAX_CPUS],
    /// How much of each CPU is promised; [`WHOLE`] where it is somebody's own.
    promised: [u32; MAX_CPUS],
}

impl Placement {
    /// Nobody anywhere.
    pub(crate) const fn new() -> Self {
        Self { homed: [0; MAX_CPUS], promised: [0; MAX_CPUS] }
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

    /// Finds a CPU among these for one more vCPU: the one that has promised least where something is promised, else the one
    /// that has fewest vCPUs.
    ///
    /// # Errors
    /// The promise cannot be kept on any of them.
    pub(crate) fn place(&mut self, allowed: u32, promise: &Promise) -> Result<CpuId, Refusal> {
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
        Ok(cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::{Placement, Refusal};
    use crate::sched::{Promise, Reservation};
    use std::string::ToString;

    fn percent(part: u64) -> Promise {
        Promise::Reserve(Reservation::new(part * 100_000, 10_000_000, 10_000_000).unwrap())
    }

    #[test]
    fn promises_are_spread_and_then_refused() {
        let mut placement = Placement::new();
        assert_eq!(placement.place(0b11, &percent(60)), Ok(0));
        assert_eq!(placement.place(0b11, &percent(50)), Ok(1));
        assert_eq!(placement.place(0b11, &percent(30)), Ok(1));
        let refusal = placement.place(0b11, &percent(40)).unwrap_err();
        assert!(matches!(refusal, Refusal::Full { cpu: 0, .. }), "{refusal:?}");
        let text = refusal.to_string();
        assert!(text.contains("asks for 40.00 %") && text.contains("promised 60.00 %"), "{text}");
        assert!(text.contains("100.00 % together; the bound is 95.00 %"), "{text}");
        assert_eq!(placement.place(0b11, &percent(35)), Ok(0));
    }

    #[test]
    fn who_has_a_cpu_to_itself_shares_it_with_nobody() {
        let mut placement = Placement::new();
        assert_eq!(placement.place(0b11, &Promise::None), Ok(0));
        assert_eq!(placement.place(0b01, &Promise::Pinned), Err(Refusal::Taken));
        assert_eq!(placement.place(0b11, &Promise::Pinned), Ok(1));
        assert_eq!(placement.place(0b10, &Promise::None), Err(Refusal::Owned));
        assert_eq!(placement.place(0b10, &percent(1)), Err(Refusal::Owned));
        assert_eq!(placement.place(0b11, &Promise::None), Ok(0));
    }
}
