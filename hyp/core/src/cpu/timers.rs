//! Who wants to be woken when, among the vCPUs of one CPU that do not run.
//!
//! There are few of them, so a short unsorted list beats every clever structure.

use heapless::Vec;

use crate::limits::MAX_VCPUS;
use crate::time::Nanos;
use crate::vcpu::VcpuId;

/// At most one deadline for each vCPU.
pub struct Timers(Vec<(Nanos, VcpuId), MAX_VCPUS>);

impl Timers {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The earliest deadline.
    pub fn first(&self) -> Option<Nanos> {
        self.0.iter().map(|(at, _)| *at).min()
    }

    /// Replaces a vCPU's deadline.
    pub fn set(&mut self, vcpu: VcpuId, at: Option<Nanos>) {
        self.remove(vcpu);
        if let Some(at) = at {
            // There is room for every vCPU there can be, and each is there at most once.
            let _ = self.0.push((at, vcpu));
        }
    }

    /// Forgets a vCPU's deadline.
    pub fn remove(&mut self, vcpu: VcpuId) {
        if let Some(index) = self.0.iter().position(|(_, other)| *other == vcpu) {
            self.0.swap_remove(index);
        }
    }

    /// Takes one that is due.
    pub fn take_due(&mut self, now: Nanos) -> Option<VcpuId> {
        let index = self.0.iter().position(|(at, _)| *at <= now)?;
        Some(self.0.swap_remove(index).1)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use crate::vcpu::VcpuId;

    #[test]
    fn each_is_due_once() {
        let vcpu = |number| VcpuId::new(number).unwrap();
        let mut timers = Timers::new();
        timers.set(vcpu(1), Some(30));
        timers.set(vcpu(2), Some(10));
        timers.set(vcpu(1), Some(20));
        timers.set(vcpu(3), Some(5));
        timers.remove(vcpu(3));
        assert_eq!(timers.first(), Some(10));
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(10), Some(vcpu(2)));
        assert_eq!(timers.take_due(40), Some(vcpu(1)));
        assert_eq!(timers.take_due(40), None);
    }
}
