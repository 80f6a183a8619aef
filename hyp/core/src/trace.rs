//! Who ran when: a ring of context switches for each physical CPU.
//!
//! A record is one word, written by its own CPU alone, so that tracing costs a handful of instructions and needs no
//! lock. When the ring is full the oldest records go.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::time::Nanos;
use crate::vcpu::VcpuId;

/// What stands for the vCPU in a record while the CPU is idle.
pub const IDLE: u8 = 0xff;

/// One CPU's ring. A record is the time in ns shifted left by 8, with the global number of the vCPU that runs from then
/// on in the low byte, or [`IDLE`].
pub struct Trace {
    records: &'static [AtomicU64],
    /// Records written so far, including those that are gone again.
    written: AtomicU64,
}

impl Trace {
    /// An empty ring; one without room records nothing.
    pub const fn new(records: &'static [AtomicU64]) -> Self {
        Self { records, written: AtomicU64::new(0) }
    }

    /// Notes that `vcpu` runs from now on. Only the CPU that owns the ring calls this.
    pub fn record(&self, now: Nanos, vcpu: Option<VcpuId>) {
        let written = self.written.load(Ordering::Relaxed);
        let Some(slot) = self.slot(written) else { return };
        let who = vcpu.map_or(IDLE, VcpuId::number);
        slot.store(now << 8 | u64::from(who), Ordering::Relaxed);
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// Number of the oldest record that is still there, counted from 0 since power-on.
    pub fn first(&self) -> u64 {
        self.written.load(Ordering::Acquire).saturating_sub(self.records.len() as u64)
    }

    /// The records that are still there, oldest first. Not meaningful while the ring's CPU runs.
    pub fn records(&self) -> impl Iterator<Item = u64> + '_ {
        let written = self.written.load(Ordering::Acquire);
        (self.first()..written).filter_map(|at| self.slot(at)).map(|slot| slot.load(Ordering::Relaxed))
    }

    fn slot(&self, at: u64) -> Option<&AtomicU64> {
        let index = at.checked_rem(self.records.len() as u64)?;
        self.records.get(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;
    use crate::vcpu::VcpuId;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    #[test]
    fn keeps_the_newest() {
        static RING: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
        let trace = Trace::new(&RING);
        for time in 0..6 {
            trace.record(time, VcpuId::new(time as u8));
        }
        trace.record(6, None);
        assert_eq!(trace.first(), 3);
        assert_eq!(trace.records().collect::<Vec<_>>(), [0x303, 0x404, 0x505, 0x6ff]);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let trace = Trace::new(&[]);
        trace.record(1, None);
        assert_eq!(trace.records().count(), 0);
    }
}
