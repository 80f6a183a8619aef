//! Keys of pointer authentication, switched for the vCPUs that use them.
//!
//! A vCPU starts with HCR_EL2.API and APK off. Its first use of a key traps here; from then on the keys travel with it.
//! Processors without pointer authentication never trap.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{HCR_EL2, Readable, Writeable};

/// HCR_EL2.APK and API: keys and instructions do not trap.
const ALLOWED: u64 = 1 << 40 | 1 << 41;

/// One vCPU's keys.
pub(crate) struct Keys {
    values: [u64; 10],
    /// The bits of HCR_EL2 for this vCPU: none until a key is used.
    control: u64,
}

/// Instructions, data, generic: APIA, APIB, APDA, APDB, APGA, each low then high, by number, because the assembler knows
/// the names only where they are promised to exist.
macro_rules! keys {
    ($action:ident, $values:expr) => {{
        let [a, b, c, d, e, f, g, h, i, j] = $values;
        $action!("S3_0_C2_C1_0", a);
        $action!("S3_0_C2_C1_1", b);
        $action!("S3_0_C2_C1_2", c);
        $action!("S3_0_C2_C1_3", d);
        $action!("S3_0_C2_C2_0", e);
        $action!("S3_0_C2_C2_1", f);
        $action!("S3_0_C2_C2_2", g);
        $action!("S3_0_C2_C2_3", h);
        $action!("S3_0_C2_C3_0", i);
        $action!("S3_0_C2_C3_1", j);
    }};
}

macro_rules! put {
    ($name:literal, $value:expr) => {
        // SAFETY: a key was used, so the processor has them; EL2 is built without pointer authentication.
        unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) *$value, options(nomem, nostack, preserves_flags)) }
    };
}

macro_rules! take {
    ($name:literal, $value:expr) => {
        // SAFETY: a key was used, so the processor has them, and reading changes nothing.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) * $value, options(nomem, nostack, preserves_flags)) }
    };
}

impl Keys {
    /// Unused, all zero.
    pub(crate) const fn reset() -> Self {
        Self { values: [0; 10], control: 0 }
    }

    /// The loaded vCPU used a key for the first time: it may do so again.
    #[inline(never)]
    pub(crate) fn acquire(&mut self) {
        self.control = ALLOWED;
        HCR_EL2.set(HCR_EL2.get() | ALLOWED);
        barrier::isb(barrier::SY);
        self.put();
    }

    /// The bits of HCR_EL2 for this vCPU.
    #[inline(always)]
    pub(crate) fn control(&self) -> u64 {
        self.control
    }

    /// The vCPU comes in.
    #[inline(always)]
    pub(crate) fn load(&self) {
        if self.control != 0 {
            self.put();
        }
    }

    /// The vCPU goes out.
    #[inline(always)]
    pub(crate) fn save(&mut self) {
        if self.control != 0 {
            self.take();
        }
    }

    #[inline(never)]
    fn put(&self) {
        keys!(put, &self.values);
    }

    #[inline(never)]
    fn take(&mut self) {
        keys!(take, &mut self.values);
    }
}
