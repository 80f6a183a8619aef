//! Who wants to be woken when, among the vCPUs of one CPU that do not run.
//!
//! There are few of them, so a table by vCPU and the set of those in it beat every clever structure.

use crate::limits::MAX_VCPUS;
use crate::time::{NEVER, Nanos};
use crate::vcpu::{VcpuId, members};

/// At most one deadline for each vCPU.
pub struct Timers {
    deadlines: [Nanos; MAX_VCPUS],
    /// The vCPUs that have one.
    set: u32,
}

impl Timers {
    /// None.
    pub const fn new() -> Self {
        Self { deadlines: [NEVER; MAX_VCPUS], set: 0 }
    }

    /// Deadlines with their vCPUs.
    fn all(&self) -> impl Iterator<Item = (Nanos, VcpuId)> + '_ {
        members(self.set).map(|vcpu| (self.deadlines.get(vcpu.index()).copied().unwrap_or(NEVER), vcpu))
    }

    /// The earliest deadline, or [`NEVER`].
    #[inline]
    pub fn first(&self) -> Nanos {
        self.all().map(|(at, _)| at).fold(NEVER, Nanos::min)
    }

    /// Replaces a vCPU's deadline; [`NEVER`] is none.
    #[inline]
    pub fn set(&mut self, vcpu: VcpuId, at: Nanos) {
        self.remove(vcpu);
        if at != NEVER
            && let Some(deadline) = self.deadlines.get_mut(vcpu.index())
        {
            *deadline = at;
            self.set |= vcpu.bit();
        }
    }

    /// Forgets a vCPU's deadline.
    #[inline]
    pub fn remove(&mut self, vcpu: VcpuId) {
        self.set &= !vcpu.bit();
    }

    /// Takes one that is due.
    #[inline]
    pub fn take_due(&mut self, now: Nanos) -> Option<VcpuId> {
        let (_, due) = self.all().find(|(at, _)| *at <= now)?;
        self.remove(due);
        Some(due)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{NEVER, Timers};
    use crate::vcpu::VcpuId;

    #[test]
    fn each_is_due_once() {
        let vcpu = |number| VcpuId::new(number).unwrap();
        let mut timers = Timers::new();
        timers.set(vcpu(1), 30);
        timers.set(vcpu(2), 10);
        timers.set(vcpu(1), 20);
        timers.set(vcpu(3), 5);
        timers.set(vcpu(3), NEVER);
        timers.set(vcpu(4), 5);
        timers.remove(vcpu(4));
        assert_eq!(timers.first(), 10);
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(10), Some(vcpu(2)));
        assert_eq!(timers.take_due(40), Some(vcpu(1)));
        assert_eq!(timers.take_due(40), None);
        assert_eq!(timers.first(), NEVER);
    }
}
