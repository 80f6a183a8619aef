//! What the port keeps for each physical CPU beside the core's `Cpu`.
//!
//! TPIDR_EL2 holds the CPU's number from its first instruction of Rust on.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{Readable, TPIDR_EL2, Writeable};
use hyp_core::limits::MAX_CPUS;
use hyp_dev::private_interrupts::PrivateInterrupts;
use spin::Once;

use crate::stretch::Stretch;

/// One CPU's share.
pub(crate) struct PerCpu {
    /// Affinity (MPIDR) of the CPU.
    pub affinity: AtomicU64,
    /// Which vCPU's float state the registers hold, as [`crate::float::FloatUnit`] numbers them; 0 is nobody's.
    pub float_owner: AtomicU64,
    /// Its private interrupts; there from [`crate::interrupts::init_cpu`] on.
    pub private_interrupts: Once<PrivateInterrupts>,
    /// How long it has been in the hypervisor.
    pub stretch: Stretch,
}

static PER_CPU: [PerCpu; MAX_CPUS] = [const {
    PerCpu {
        affinity: AtomicU64::new(0),
        float_owner: AtomicU64::new(0),
        private_interrupts: Once::new(),
        stretch: Stretch::none(),
    }
}; MAX_CPUS];

/// Tells this CPU its number.
pub(crate) fn init(cpu: u8, affinity: u64) {
    TPIDR_EL2.set(u64::from(cpu));
    of(cpu).affinity.store(affinity, Ordering::Relaxed);
}

/// This CPU's number.
pub(crate) fn number() -> u8 {
    TPIDR_EL2.get() as u8
}

/// A CPU's share; the first CPU's for a number that does not exist.
pub(crate) fn of(cpu: u8) -> &'static PerCpu {
    PER_CPU.get(usize::from(cpu)).unwrap_or(&PER_CPU[0])
}

/// This CPU's share.
pub(crate) fn this() -> &'static PerCpu {
    of(number())
}
