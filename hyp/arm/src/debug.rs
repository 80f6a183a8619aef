//! Debug registers in the processor, for the vCPUs that use them.
//!
//! Until a vCPU switches a breakpoint, a watchpoint or single step on, its accesses trap and nothing is in the processor
//! (debug_registers.rs). From then on it has the registers for itself while it is loaded; when its turn ends they are
//! taken out, and if it has switched everything off by then, it is back in the first state.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ID_AA64DFR0_EL1, MDCR_EL2, MDSCR_EL1, Readable, Writeable};

use crate::debug_registers::{Counts, DebugRegisters};

/// MDCR_EL2.TDA: accesses to debug registers trap. Those to the locks do so always.
const TRAP_ACCESS: u64 = 1 << 9;

/// One vCPU's debug registers.
pub(crate) struct DebugUnit {
    registers: DebugRegisters,
    /// They are in the processor.
    live: bool,
}

/// Moves each pair that the processor has, `$from_or_to` it.
macro_rules! each_pair {
    ($registers:expr, $count:expr, $name:literal, $action:ident, [$($index:literal)*]) => {
        for (index, [value, control]) in (0..$count).zip($registers) {
            match index {
                $($index => {
                    $action!(concat!("DBG", $name, "VR", $index, "_EL1"), value);
                    $action!(concat!("DBG", $name, "CR", $index, "_EL1"), control);
                })*
                _ => {}
            }
        }
    };
}

macro_rules! put {
    ($name:expr, $value:expr) => {
        // SAFETY: the processor has this register (the index is below its count); debug exceptions from EL2 are off, as
        // their target is EL1, so that no value has an effect before the guest runs.
        unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) *$value, options(nomem, nostack, preserves_flags)) }
    };
}

macro_rules! take {
    ($name:expr, $value:expr) => {{
        let value: u64;
        // SAFETY: the processor has this register, and reading it changes nothing.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
        *$value = value;
    }};
}

fn counts() -> Counts {
    Counts::new(ID_AA64DFR0_EL1.get())
}

impl DebugUnit {
    /// As at reset. The vCPU must not be loaded.
    pub(crate) const fn reset() -> Self {
        Self { registers: DebugRegisters::reset(), live: false }
    }

    /// The processor acts on them.
    #[inline(always)]
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The loaded vCPU's access to a register trapped: `write` to it, or a read. `None`: it is undefined.
    #[inline(never)]
    pub(crate) fn access(&mut self, register: u16, write: Option<u64>) -> Option<u64> {
        // Only the locks' registers trap while the others are in the processor.
        if self.live {
            self.save();
        }
        let value = self.registers.access(register, write, counts());
        self.load();
        value
    }

    /// The vCPU comes in.
    #[inline(always)]
    pub(crate) fn load(&mut self) {
        if self.registers.is_on() {
            self.put();
        }
    }

    #[inline(never)]
    fn put(&mut self) {
        let Counts { breakpoints, watchpoints } = counts();
        each_pair!(&self.registers.breakpoints, breakpoints, "B", put, [0 1 2 3 4 5]);
        each_pair!(&self.registers.watchpoints, watchpoints, "W", put, [0 1 2 3]);
        MDSCR_EL1.set(self.registers.control);
        MDCR_EL2.set(MDCR_EL2.get() & !TRAP_ACCESS);
        barrier::isb(barrier::SY);
        self.live = true;
    }

    /// The vCPU goes out.
    #[inline(always)]
    pub(crate) fn save(&mut self) {
        if self.live {
            self.take();
        }
    }

    #[inline(never)]
    fn take(&mut self) {
        let Counts { breakpoints, watchpoints } = counts();
        each_pair!(&mut self.registers.breakpoints, breakpoints, "B", take, [0 1 2 3 4 5]);
        each_pair!(&mut self.registers.watchpoints, watchpoints, "W", take, [0 1 2 3]);
        self.registers.control = MDSCR_EL1.get();
        init_cpu();
        self.live = false;
    }
}

/// Nothing is on, and every access traps.
pub(crate) fn init_cpu() {
    MDSCR_EL1.set(0);
    MDCR_EL2.set(MDCR_EL2.get() | TRAP_ACCESS);
    barrier::isb(barrier::SY);
}

/// Opens the processor's locks, which would keep debug exceptions from guests; once, before any runs.
pub(crate) fn unlock() {
    // SAFETY: both locks concern debug exceptions and external debuggers alone.
    unsafe { asm!("msr OSLAR_EL1, xzr", "msr OSDLR_EL1, xzr", "isb", options(nomem, nostack, preserves_flags)) };
}
