//! System registers of interrupts, timers and virtualization that `aarch64-cpu` lacks or offers only one by one.
//!
//! One macro makes a read and a write function for each register, named after it: `read_ich_hcr_el2()`,
//! `write_ich_hcr_el2(value)`. All values are raw 64-bit words as the Arm ARM (DDI 0487, D19) and the GIC architecture
//! (IHI 0069, 12.2 to 12.4) define them.
//!
//! The functions are safe because no register here takes part in EL2's own address translation or control flow: a wrong
//! value disturbs interrupts, time or a guest's view of them, never the hypervisor's memory. Keep it so: VTTBR_EL2,
//! SCTLR_EL2 and their kind do not belong into this file.

use core::arch::asm;

/// A safe read function for each register.
macro_rules! readable {
    ($($(#[$meta:meta])* $name:ident = $register:literal;)*) => {$(
        $(#[$meta])*
        #[inline]
        pub fn $name() -> u64 {
            let value;
            // SAFETY: the register exists at EL2 of every CPU this crate supports and reading it changes nothing that
            // Rust knows of. Not `nomem`: acknowledging an interrupt must stay in order with memory accesses.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack, preserves_flags)) };
            value
        }
    )*};
}

/// A safe write function for each register.
macro_rules! writable {
    ($($(#[$meta:meta])* $name:ident = $register:literal;)*) => {$(
        $(#[$meta])*
        #[inline]
        pub fn $name(value: u64) {
            // SAFETY: the register exists at EL2 and controls interrupts, timers or what a guest sees (module comment),
            // so no value can break memory safety here. Not `nomem`: the write must stay in order with memory accesses.
            unsafe { asm!(concat!("msr ", $register, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    )*};
}

readable! {
    /// Interrupt acknowledge, group 1: INTID of the highest pending interrupt, which becomes active.
    read_icc_iar1_el1 = "ICC_IAR1_EL1";
    /// Control of the CPU interface.
    read_icc_ctlr_el1 = "ICC_CTLR_EL1";
    /// System register interface at EL1; belongs to the guest.
    read_icc_sre_el1 = "ICC_SRE_EL1";
    /// System register interface at EL2.
    read_icc_sre_el2 = "ICC_SRE_EL2";
    /// INTID of the highest pending group 1 interrupt, which stays pending.
    read_icc_hppir1_el1 = "ICC_HPPIR1_EL1";
    /// Running priority.
    read_icc_rpr_el1 = "ICC_RPR_EL1";

    /// Control of the virtual CPU interface.
    read_ich_hcr_el2 = "ICH_HCR_EL2";
    /// The guest's view of PMR, BPR, CTLR and group enables.
    read_ich_vmcr_el2 = "ICH_VMCR_EL2";
    /// Number of list registers and other properties.
    read_ich_vtr_el2 = "ICH_VTR_EL2";
    /// Reasons of a maintenance interrupt.
    read_ich_misr_el2 = "ICH_MISR_EL2";
    /// List registers with an end of interrupt to be seen by the hypervisor.
    read_ich_eisr_el2 = "ICH_EISR_EL2";
    /// List registers that are empty.
    read_ich_elrsr_el2 = "ICH_ELRSR_EL2";
    /// The first list register.
    read_ich_lr0_el2 = "ICH_LR0_EL2";
    /// Active priorities, group 0.
    read_ich_ap0r0_el2 = "ICH_AP0R0_EL2";
    /// Active priorities, group 1.
    read_ich_ap1r0_el2 = "ICH_AP1R0_EL2";

    /// MIDR_EL1 as a guest reads it.
    read_vpidr_el2 = "VPIDR_EL2";
    /// MPIDR_EL1 as a guest reads it.
    read_vmpidr_el2 = "VMPIDR_EL2";
    /// Traps of AArch32 system registers.
    read_hstr_el2 = "HSTR_EL2";

    /// Frequency of the system counter, Hz.
    read_cntfrq_el0 = "CNTFRQ_EL0";
    /// The system counter.
    read_cntpct_el0 = "CNTPCT_EL0";
    /// What a guest's virtual counter lags behind the system counter.
    read_cntvoff_el2 = "CNTVOFF_EL2";
    /// EL2 physical timer, control.
    read_cnthp_ctl_el2 = "CNTHP_CTL_EL2";
    /// EL2 physical timer, compare value.
    read_cnthp_cval_el2 = "CNTHP_CVAL_EL2";
    /// Virtual timer (the guest's own), control.
    read_cntv_ctl_el0 = "CNTV_CTL_EL0";
    /// Virtual timer (the guest's own), compare value.
    read_cntv_cval_el0 = "CNTV_CVAL_EL0";
    /// The virtual counter with this CPU's CNTVOFF_EL2.
    read_cntvct_el0 = "CNTVCT_EL0";
    /// EL1 physical timer, control.
    read_cntp_ctl_el0 = "CNTP_CTL_EL0";
    /// EL1 physical timer, compare value.
    read_cntp_cval_el0 = "CNTP_CVAL_EL0";
    /// Access of EL1 and EL0 to physical counter and timer.
    read_cnthctl_el2 = "CNTHCTL_EL2";
    /// Kernel control of EL0's timer access; belongs to the guest.
    read_cntkctl_el1 = "CNTKCTL_EL1";
    /// Name of this CPU.
    read_mpidr_el1 = "MPIDR_EL1";
    /// Kind of this CPU.
    read_midr_el1 = "MIDR_EL1";
    /// Cache line sizes.
    read_ctr_el0 = "CTR_EL0";
}

writable! {
    /// Priority drop, group 1, of the INTID that was acknowledged last.
    write_icc_eoir1_el1 = "ICC_EOIR1_EL1";
    /// Deactivate an INTID after its priority drop.
    write_icc_dir_el1 = "ICC_DIR_EL1";
    /// Priority mask.
    write_icc_pmr_el1 = "ICC_PMR_EL1";
    /// Binary point, group 1.
    write_icc_bpr1_el1 = "ICC_BPR1_EL1";
    /// Control of the CPU interface.
    write_icc_ctlr_el1 = "ICC_CTLR_EL1";
    /// Enable of group 1.
    write_icc_igrpen1_el1 = "ICC_IGRPEN1_EL1";
    /// System register interface at EL1; belongs to the guest.
    write_icc_sre_el1 = "ICC_SRE_EL1";
    /// System register interface at EL2.
    write_icc_sre_el2 = "ICC_SRE_EL2";
    /// Send a group 1 SGI.
    write_icc_sgi1r_el1 = "ICC_SGI1R_EL1";

    /// Control of the virtual CPU interface.
    write_ich_hcr_el2 = "ICH_HCR_EL2";
    /// The guest's view of PMR, BPR, CTLR and group enables.
    write_ich_vmcr_el2 = "ICH_VMCR_EL2";
    /// The first list register.
    write_ich_lr0_el2 = "ICH_LR0_EL2";
    /// Active priorities, group 0.
    write_ich_ap0r0_el2 = "ICH_AP0R0_EL2";
    /// Active priorities, group 1.
    write_ich_ap1r0_el2 = "ICH_AP1R0_EL2";

    /// MIDR_EL1 as a guest reads it.
    write_vpidr_el2 = "VPIDR_EL2";
    /// MPIDR_EL1 as a guest reads it.
    write_vmpidr_el2 = "VMPIDR_EL2";
    /// Traps of AArch32 system registers.
    write_hstr_el2 = "HSTR_EL2";

    /// What a guest's virtual counter lags behind the system counter.
    write_cntvoff_el2 = "CNTVOFF_EL2";
    /// EL2 physical timer, control.
    write_cnthp_ctl_el2 = "CNTHP_CTL_EL2";
    /// EL2 physical timer, compare value.
    write_cnthp_cval_el2 = "CNTHP_CVAL_EL2";
    /// Virtual timer (the guest's own), control.
    write_cntv_ctl_el0 = "CNTV_CTL_EL0";
    /// Virtual timer (the guest's own), compare value.
    write_cntv_cval_el0 = "CNTV_CVAL_EL0";
    /// EL1 physical timer, control.
    write_cntp_ctl_el0 = "CNTP_CTL_EL0";
    /// EL1 physical timer, compare value.
    write_cntp_cval_el0 = "CNTP_CVAL_EL0";
    /// Access of EL1 and EL0 to physical counter and timer.
    write_cnthctl_el2 = "CNTHCTL_EL2";
    /// Kernel control of EL0's timer access; belongs to the guest.
    write_cntkctl_el1 = "CNTKCTL_EL1";
}

/// Makes the indexed accessors: a register's name is part of its instruction, so an index means a choice. It is made in
/// one place, out of line; the first register, which is mostly the only one in use, is reached without it.
macro_rules! indexed {
    ($read:ident = $read_first:ident or $read_other:ident, $write:ident = $write_first:ident or $write_other:ident,
     $register:literal, $suffix:literal, [$($index:literal)*]) => {
        /// Read by index; 0 where the architecture has no such register. The CPU must implement the index.
        #[inline]
        pub fn $read(index: usize) -> u64 {
            if index == 0 { $read_first() } else { $read_other(index) }
        }

        #[inline(never)]
        fn $read_other(index: usize) -> u64 {
            match index {
                $($index => {
                    let value;
                    // SAFETY: as for every register of this file; the caller asks for implemented indices only, else
                    // the instruction is undefined and stops at EL2's vector without touching memory.
                    unsafe {
                        asm!(concat!("mrs {}, ", $register, $index, $suffix), out(reg) value,
                            options(nostack, preserves_flags))
                    };
                    value
                })*
                _ => 0,
            }
        }

        /// Write by index; nothing happens where the architecture has no such register. The CPU must implement the
        /// index.
        #[inline]
        pub fn $write(index: usize, value: u64) {
            if index == 0 { $write_first(value) } else { $write_other(index, value) }
        }

        #[inline(never)]
        fn $write_other(index: usize, value: u64) {
            match index {
                $(
                    // SAFETY: as for reading: a value here changes what interrupts a guest sees, nothing else.
                    $index => unsafe {
                        asm!(concat!("msr ", $register, $index, $suffix, ", {}"), in(reg) value,
                            options(nostack, preserves_flags))
                    },
                )*
                _ => {}
            }
        }
    };
}

indexed!(
    read_ich_lr_el2 = read_ich_lr0_el2 or read_other_ich_lr_el2,
    write_ich_lr_el2 = write_ich_lr0_el2 or write_other_ich_lr_el2,
    "ICH_LR",
    "_EL2",
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]
);

/// Number of list registers of this CPU (ICH_VTR_EL2.ListRegs + 1), 1 to 16 in practice.
#[inline]
pub fn list_registers() -> usize {
    ((read_ich_vtr_el2() & 0x1f) as usize).saturating_add(1)
}

/// Instruction barrier: system register writes before it are in effect after it.
#[inline]
pub fn isb() {
    // SAFETY: a barrier has no effect but order.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Data barrier: memory accesses before it are complete, for every observer, before anything after it happens.
#[inline]
pub fn dsb_sy() {
    // SAFETY: a barrier has no effect but order.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}
