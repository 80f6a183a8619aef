//! What a vCPU has in the processor, and how it gets in and out.
//!
//! [`Registers`] travel at every exit (vectors.s knows their layout); [`SystemRegisters`] only when another vCPU takes
//! the CPU, [`Float`] only when somebody used it (float.rs).

use core::arch::asm;
use core::mem::offset_of;

/// General registers, program counter and processor state of a stopped guest.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where it goes on (ELR_EL2).
    pub pc: u64,
    /// Its processor state (SPSR_EL2).
    pub pstate: u64,
}

const _: () = assert!(offset_of!(Registers, pc) == 248 && offset_of!(Registers, pstate) == 256);

/// EL1 with SP_EL1, all interrupts masked: what a processor starts in.
const PSTATE_EL1H_MASKED: u64 = 0x3c5;

impl Registers {
    /// The state in which PSCI starts a CPU: at `entry` with `argument` in x0, the rest zero.
    pub const fn reset(entry: u64, argument: u64) -> Self {
        let mut x = [0; 31];
        x[0] = argument;
        Self { x, pc: entry, pstate: PSTATE_EL1H_MASKED }
    }

    /// Reads a general register as an instruction names it: 31 is the zero register.
    pub fn get(&self, register: u8) -> u64 {
        self.x.get(usize::from(register)).copied().unwrap_or(0)
    }

    /// Writes a general register as an instruction names it: 31 swallows the value.
    pub fn set(&mut self, register: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(register)) {
            *x = value;
        }
    }

    /// Goes on behind the instruction that trapped.
    pub fn skip_instruction(&mut self, bytes: u64) {
        self.pc = self.pc.wrapping_add(bytes);
    }
}

macro_rules! system_registers {
    ($($field:ident $name:literal $reset:expr, $doc:literal;)*) => {
        /// EL1's and EL0's system registers that hold state between two instructions of a guest.
        pub(crate) struct SystemRegisters {
            $(#[doc = $doc] $field: u64,)*
        }

        impl SystemRegisters {
            /// The values at reset, where the architecture gives any; zero elsewhere.
            pub(crate) const fn reset() -> Self {
                Self { $($field: $reset,)* }
            }

            /// Takes them from the processor.
            pub(crate) fn save(&mut self) {
                $({
                    let value: u64;
                    // SAFETY: reads an EL1 or EL0 register that EL2 may read and does not use itself.
                    unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
                    self.$field = value;
                })*
            }

            /// Puts them into the processor.
            pub(crate) fn load(&self) {
                $(
                    // SAFETY: writes an EL1 or EL0 register, which has no effect on EL2's own execution.
                    unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) self.$field, options(nomem, nostack, preserves_flags)) };
                )*
            }
        }
    };
}

/// RES1 bits of SCTLR_EL1 in ARMv8.0 (Arm ARM D19.2.118); MMU and caches off.
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

system_registers! {
    sctlr "SCTLR_EL1" SCTLR_EL1_RESET, "System control.";
    ttbr0 "TTBR0_EL1" 0, "Translation table base 0.";
    ttbr1 "TTBR1_EL1" 0, "Translation table base 1.";
    tcr "TCR_EL1" 0, "Translation control.";
    mair "MAIR_EL1" 0, "Memory attributes.";
    amair "AMAIR_EL1" 0, "Auxiliary memory attributes.";
    vbar "VBAR_EL1" 0, "Vector base.";
    contextidr "CONTEXTIDR_EL1" 0, "Context number.";
    cpacr "CPACR_EL1" 0, "Float access of EL1 and EL0.";
    esr "ESR_EL1" 0, "Exception syndrome.";
    far "FAR_EL1" 0, "Fault address.";
    afsr0 "AFSR0_EL1" 0, "Auxiliary fault status 0.";
    afsr1 "AFSR1_EL1" 0, "Auxiliary fault status 1.";
    elr "ELR_EL1" 0, "Exception link.";
    spsr "SPSR_EL1" 0, "Saved processor state.";
    sp0 "SP_EL0" 0, "Stack pointer 0.";
    sp1 "SP_EL1" 0, "Stack pointer 1.";
    tpidr0 "TPIDR_EL0" 0, "Thread pointer of EL0.";
    tpidrro "TPIDRRO_EL0" 0, "Thread pointer that EL0 may only read.";
    tpidr1 "TPIDR_EL1" 0, "Thread pointer of EL1.";
    par "PAR_EL1" 0, "Result of an address translation.";
    csselr "CSSELR_EL1" 0, "Cache size selection.";
    cntkctl "CNTKCTL_EL1" 0, "EL0's access to timers.";
}

/// The float state of a vCPU: q0 to q31, FPCR, FPSR; vectors.s knows the layout.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Float {
    q: [u128; 32],
    control: u64,
    status: u64,
}

impl Float {
    /// All zero, as at reset.
    pub(crate) const fn reset() -> Self {
        Self { q: [0; 32], control: 0, status: 0 }
    }
}

unsafe extern "C" {
    fn enter_guest(registers: *mut Registers) -> u64;
    fn save_float(to: *mut Float);
    fn load_float(from: *const Float);
}

/// What ended a guest's turn on the processor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// A synchronous exception: ESR_EL2 says which.
    Synchronous,
    /// An interrupt of the hypervisor's.
    Interrupt,
    /// An asynchronous abort.
    SystemError,
}

impl Registers {
    /// Runs the guest whose system registers and second stage are loaded, until it traps.
    pub fn enter(&mut self) -> Trap {
        // SAFETY: `self` is valid for reads and writes and laid out as vectors.s expects; the guest cannot reach
        // the hypervisor's memory through its second stage, and every callee-saved register is restored.
        let kind = unsafe { enter_guest(self) };
        match kind {
            0 => Trap::Synchronous,
            1 => Trap::Interrupt,
            _ => Trap::SystemError,
        }
    }
}

impl Float {
    /// Takes the float registers from the processor; CPTR_EL2.TFP must be off.
    pub(crate) fn save(&mut self) {
        // SAFETY: `self` is valid for writes, 16-byte aligned and 528 bytes long. EL2 is built without float.
        unsafe { save_float(self) }
    }

    /// Puts them into the processor; CPTR_EL2.TFP must be off.
    pub(crate) fn load(&self) {
        // SAFETY: `self` is valid for reads, 16-byte aligned and 528 bytes long. EL2 is built without float.
        unsafe { load_float(self) }
    }
}
