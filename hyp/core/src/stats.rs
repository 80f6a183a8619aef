//! What is counted while vCPUs run.
//!
//! A guest's cost is the sum of its exits; a report that names them by reason shows at once which trap is worth work.

/// Why a vCPU left its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitReason {
    /// A Xen hypercall.
    Hypercall,
    /// It waited for an interrupt.
    Idle,
    /// It spun and let others go first.
    Yield,
    /// A physical interrupt.
    Interrupt,
    /// It touched an emulated device.
    Mmio,
    /// It touched a trapped system register.
    Register,
    /// It called its firmware: PSCI, SMCCC.
    Firmware,
    /// It used the float unit for the first time since another vCPU did.
    Float,
}

/// Number of reasons.
pub const EXIT_REASONS: usize = 8;

impl ExitReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; EXIT_REASONS] = [
        Self::Hypercall,
        Self::Idle,
        Self::Yield,
        Self::Interrupt,
        Self::Mmio,
        Self::Register,
        Self::Firmware,
        Self::Float,
    ];

    /// The reason's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hypercall => "hypercall",
            Self::Idle => "idle",
            Self::Yield => "yield",
            Self::Interrupt => "interrupt",
            Self::Mmio => "mmio",
            Self::Register => "register",
            Self::Firmware => "firmware",
            Self::Float => "float",
        }
    }
}

/// How often a vCPU left its guest, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCounts([u64; EXIT_REASONS]);

impl ExitCounts {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self([0; EXIT_REASONS])
    }

    /// Counts one exit.
    #[inline(always)]
    pub fn count(&mut self, reason: ExitReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.wrapping_add(1);
        }
    }

    /// How many exits there were for this reason.
    pub fn of(&self, reason: ExitReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// How many exits there were in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{ExitCounts, ExitReason};

    #[test]
    fn each_reason_has_its_own_count() {
        let mut counts = ExitCounts::new();
        for (times, reason) in ExitReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, times);
            (0..times).for_each(|_| counts.count(reason));
        }
        for (times, reason) in ExitReason::ALL.into_iter().enumerate() {
            assert_eq!(counts.of(reason), times as u64, "{}", reason.name());
        }
        assert_eq!(counts.total(), 28);
    }
}
