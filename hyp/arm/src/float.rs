//! Float and vector registers, switched when they are used and not before.
//!
//! A vCPU starts its turn with CPTR_EL2.TFP set. Its first float instruction traps here and gets the registers; they are
//! saved when its turn ends. If nobody else used the unit in between, the next trap finds them still in place.

use core::sync::atomic::Ordering;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CPTR_EL2, Writeable};

use crate::percpu;
use crate::registers::Float;

/// CPTR_EL2 without traps of float. SVE, trace and activity monitors trap, as nobody saves them; the rest is RES1 (Arm
/// ARM D19.2.30).
const FLOAT_ALLOWED: u64 = 0x33ff | 1 << 20 | 1 << 30;
/// TFP.
const FLOAT_TRAPS: u64 = FLOAT_ALLOWED | 1 << 10;

/// One vCPU's view of the float unit.
pub struct FloatUnit {
    saved: Float,
    /// The vCPU's number in the machine plus 1.
    owner: u64,
    /// The registers hold this vCPU's state now.
    live: bool,
    /// The CPU whose registers may still hold what was saved last.
    last_cpu: Option<u8>,
}

impl FloatUnit {
    /// The state at reset, for the vCPU with this number in the machine.
    pub const fn new(vcpu: u64) -> Self {
        Self { saved: Float::reset(), owner: vcpu + 1, live: false, last_cpu: None }
    }

    /// Forgets everything, as a reset does. The vCPU must not be loaded.
    pub fn reset(&mut self) {
        *self = Self { saved: Float::reset(), live: false, last_cpu: None, ..*self };
    }

    /// The loaded vCPU wants to use the unit.
    pub fn acquire(&mut self) {
        CPTR_EL2.set(FLOAT_ALLOWED);
        barrier::isb(barrier::SY);
        let cpu = percpu::this();
        let here = self.last_cpu == Some(percpu::number());
        if !here || cpu.float_owner.load(Ordering::Relaxed) != self.owner {
            self.saved.load();
            cpu.float_owner.store(self.owner, Ordering::Relaxed);
        }
        self.live = true;
    }

    /// The vCPU's turn ends.
    pub fn release(&mut self) {
        if self.live {
            self.saved.save();
            self.last_cpu = Some(percpu::number());
            self.live = false;
            trap();
        }
    }
}

/// Makes the next float instruction trap.
pub(crate) fn trap() {
    CPTR_EL2.set(FLOAT_TRAPS);
}
