//! What a vCPU has in the processor, and how it gets in and out.
//!
//! [`Registers`] travel at an exit, as many of them as it takes (vectors.s knows their layout); the program counter and
//! [`SystemRegisters`] only when another vCPU takes the CPU, [`Float`] only when somebody used it (float.rs).

use core::arch::asm;
use core::mem::offset_of;

use aarch64_cpu::registers::{ELR_EL2, Readable, SPSR_EL2, Writeable};

/// General registers, program counter and processor state of a stopped guest.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Registers {
    /// x0 to x30. While an exit is dealt with before the guest is left, x19 to x29 are in the processor, not here.
    pub x: [u64; 31],
    /// Where it goes on, while it is not loaded.
    pc: u64,
    /// Its processor state, while it is not loaded.
    pstate: u64,
    /// The hypervisor's stack while the guest runs.
    host_stack: u64,
}

const _: () = assert!(offset_of!(Registers, x) == 0 && offset_of!(Registers, host_stack) == 264);

/// EL1 with SP_EL1, all interrupts masked: what a processor starts in.
pub(crate) const PSTATE_EL1H_MASKED: u64 = 0x3c5;

impl Registers {
    /// The state in which PSCI starts a CPU: at `entry` with `argument` in x0, the rest zero.
    pub const fn reset(entry: u64, argument: u64) -> Self {
        let mut x = [0; 31];
        x[0] = argument;
        Self { x, pc: entry, pstate: PSTATE_EL1H_MASKED, host_stack: 0 }
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

    /// Puts program counter and processor state into the processor.
    pub(crate) fn load(&self) {
        ELR_EL2.set(self.pc);
        SPSR_EL2.set(self.pstate);
    }

    /// Takes them out.
    pub(crate) fn save(&mut self) {
        self.pc = ELR_EL2.get();
        self.pstate = SPSR_EL2.get();
    }

    /// Where the loaded guest goes on.
    pub fn pc(&self) -> u64 {
        ELR_EL2.get()
    }

    /// Lets the loaded guest go on there.
    pub fn set_pc(&mut self, pc: u64) {
        ELR_EL2.set(pc);
    }

    /// Processor state of the loaded guest.
    pub fn pstate(&self) -> u64 {
        SPSR_EL2.get()
    }

    /// Changes the processor state of the loaded guest.
    pub fn set_pstate(&mut self, pstate: u64) {
        SPSR_EL2.set(pstate);
    }

    /// The instruction of a single step has been executed: the step's exception is due (Arm ARM D2.12).
    #[cold]
    pub(crate) fn end_step(&mut self) {
        const STEP: u64 = 1 << 21;
        self.set_pstate(self.pstate() & !STEP);
    }

    /// Goes on behind the instruction that trapped.
    pub fn skip_instruction(&mut self, bytes: u64) {
        self.set_pc(self.pc().wrapping_add(bytes));
    }
}

macro_rules! system_registers {
    ($([$($field:ident $name:literal $reset:expr, $doc:literal;)*])*) => {
        /// EL1's and EL0's system registers that hold state between two instructions of a guest, two by two, because one
        /// instruction stores two.
        pub(crate) struct SystemRegisters {
            $($(#[doc = $doc] $field: u64,)*)*
        }

        impl SystemRegisters {
            /// The values at reset, where the architecture gives any; zero elsewhere.
            pub(crate) const fn reset() -> Self {
                Self { $($($field: $reset,)*)* }
            }

            /// Takes them from the processor. Out of line, where their addresses are short.
            #[inline(never)]
            pub(crate) fn save(&mut self) {
                $({
                    $(let $field: u64;)*
                    // SAFETY: reads EL1 or EL0 registers that EL2 may read and does not use itself.
                    unsafe {
                        asm!($(concat!("mrs {}, ", $name),)* $(out(reg) $field,)*
                            options(nomem, nostack, preserves_flags))
                    };
                    $(self.$field = $field;)*
                })*
            }

            /// Puts them into the processor.
            #[inline(never)]
            pub(crate) fn load(&self) {
                $($(
                    // SAFETY: writes an EL1 or EL0 register, which has no effect on EL2's own execution.
                    unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) self.$field, options(nomem, nostack, preserves_flags)) };
                )*)*
            }
        }
    };
}

/// RES1 bits of SCTLR_EL1 in ARMv8.0 (Arm ARM D19.2.118); MMU and caches off.
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

system_registers! {
    [
        sctlr "SCTLR_EL1" SCTLR_EL1_RESET, "System control.";
        ttbr0 "TTBR0_EL1" 0, "Translation table base 0.";
    ]
    [
        ttbr1 "TTBR1_EL1" 0, "Translation table base 1.";
        tcr "TCR_EL1" 0, "Translation control.";
    ]
    [
        mair "MAIR_EL1" 0, "Memory attributes.";
        amair "AMAIR_EL1" 0, "Auxiliary memory attributes.";
    ]
    [
        vbar "VBAR_EL1" 0, "Vector base.";
        contextidr "CONTEXTIDR_EL1" 0, "Context number.";
    ]
    [
        cpacr "CPACR_EL1" 0, "Float access of EL1 and EL0.";
        esr "ESR_EL1" 0, "Exception syndrome.";
    ]
    [
        far "FAR_EL1" 0, "Fault address.";
        afsr0 "AFSR0_EL1" 0, "Auxiliary fault status 0.";
    ]
    [
        afsr1 "AFSR1_EL1" 0, "Auxiliary fault status 1.";
        elr "ELR_EL1" 0, "Exception link.";
    ]
    [
        spsr "SPSR_EL1" 0, "Saved processor state.";
        sp0 "SP_EL0" 0, "Stack pointer 0.";
    ]
    [
        sp1 "SP_EL1" 0, "Stack pointer 1.";
        tpidr0 "TPIDR_EL0" 0, "Thread pointer of EL0.";
    ]
    [
        tpidrro "TPIDRRO_EL0" 0, "Thread pointer that EL0 may only read.";
        tpidr1 "TPIDR_EL1" 0, "Thread pointer of EL1.";
    ]
    [
        par "PAR_EL1" 0, "Result of an address translation.";
        csselr "CSSELR_EL1" 0, "Cache size selection.";
    ]
    [
        cntkctl "CNTKCTL_EL1" 0, "EL0's access to timers.";
    ]
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
    fn enter_guest(registers: *mut Registers, visit: *mut (), function: Visitor) -> u64;
    fn save_float(to: *mut Float);
    fn load_float(from: *const Float);
}

/// Deals with an exit while the guest's x19 to x29 are still in the processor. It gets what [`enter`] was given and a
/// syndrome, [`INTERRUPT`], or something else of class [`crate::syndrome::class::NONE`] for an asynchronous abort, and returns 0 for a guest that goes on.
pub(crate) type Visitor = extern "C" fn(*mut (), u64) -> u64;

/// In the place of a syndrome: an interrupt of the hypervisor's.
pub(crate) const INTERRUPT: u64 = -1i64 as u64;

/// Runs the loaded guest until `visitor`, called with `visit` at each exit, returns other than 0; what it returned.
///
/// # Safety
/// `registers` are those of the guest whose system registers and second stage are loaded; they and whatever `visitor`
/// makes of `visit` are valid and not accessed otherwise until this returns.
pub(crate) unsafe fn enter(registers: *mut Registers, visit: *mut (), visitor: Visitor) -> u64 {
    // SAFETY: the caller's promises are what vectors.s expects; the guest cannot reach the hypervisor's memory through
    // its second stage, and every callee-saved register is restored.
    unsafe { enter_guest(registers, visit, visitor) }
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
