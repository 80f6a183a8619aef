//! What the player does in a period, and what part of a CPU that is. On two CPUs the emulator's clock gives each half of the
//! instructions of a nanosecond, so that the work is halved there to ask for the same part of a CPU.

use super::cell::Load;

/// Releases of pictures and of sound periods a second.
pub(super) const RATES: [u64; 2] = [60, 100];
/// Instructions of each.
const INSNS: [u64; 2] = [4_000_000, 400_000];
const SECOND: u64 = 1_000_000_000;

/// The player's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Instructions of a picture.
    pub(super) picture_insns: u64,
    /// Instructions of a sound period.
    pub(super) sound_insns: u64,
    /// Nanoseconds of an instruction.
    insn_ns: u64,
}

impl Work {
    /// The work under a load on so many CPUs.
    pub(super) fn new(load: Load, cpus: u32) -> Self {
        let cpus = u64::from(cpus.max(1));
        let parts = cpus * if load == Load::Half { 2 } else { 1 };
        let [picture_insns, sound_insns] = INSNS.map(|insns| insns / parts);
        Self { picture_insns, sound_insns, insn_ns: cpus }
    }

    /// The part of one CPU that it needs, 0 to 1.
    pub(super) fn demand(&self) -> f64 {
        let insns = RATES[0] * self.picture_insns + RATES[1] * self.sound_insns;
        (insns * self.insn_ns) as f64 / SECOND as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Work};

    #[test]
    fn the_demand_is_the_same_on_one_cpu_and_on_two() {
        for cpus in [1, 2] {
            assert!((Work::new(Load::Hogs, cpus).demand() - 0.28).abs() < 1e-9);
            assert!((Work::new(Load::Half, cpus).demand() - 0.14).abs() < 1e-9);
        }
        assert_eq!(Work::new(Load::Idle, 2).picture_insns, 2_000_000);
    }
}
