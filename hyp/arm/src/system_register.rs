//! System registers that trap: what the guest finds in them.

use core::arch::asm;

use aarch64_cpu::registers::{ACTLR_EL1, Readable};
use hyp_boot::guest_tree::VirtualGic;
use hyp_core::stats::ExitReason;

use crate::run::Turn;
use crate::syndrome::{RegisterAccess, encode};
use crate::{controller, identification, inject};

const ACTLR: u16 = encode(3, 0, 1, 0, 1);

impl Turn<'_> {
    /// Deals with the trapped read of a register that is one of the machine's. `false`: it was another, and nothing was
    /// done.
    #[inline(always)]
    pub(crate) fn quick_register(&mut self, esr: u64) -> bool {
        let access = RegisterAccess::decode(esr);
        let quick = access.read && access.register == ACTLR;
        if quick {
            self.counts.count(ExitReason::Register);
            self.vcpu.registers.set(access.transfer, ACTLR_EL1.get());
            self.skip_access();
        }
        quick
    }

    /// Any other trapped access to a system register that does not belong to the interrupt controller.
    pub(crate) fn other_register(&mut self, esr: u64) {
        self.counts.count(ExitReason::Register);
        let access = RegisterAccess::decode(esr);
        let register = access.register;
        let write = (!access.read).then(|| self.vcpu.registers.get(access.transfer));
        let (op0, op1) = (register >> 14, register >> 11 & 7);
        let (crn, crm, op2) = (register >> 7 & 15, register >> 3 & 15, register & 7);
        let value = match (op0, op1, crn, crm) {
            (2, ..) => self.vcpu.debug.access(register, write),
            (3, 0, 0, _) => access.read.then(|| identification(crm, op2)),
            (3, 3, 14, 2) => Some(self.vcpu.physical_timer.access(self.domain, self.index, op2, write)),
            (3, 0, 2, 1..=3) => return self.vcpu.keys.acquire(),
            // The guest may write what it likes into ACTLR_EL1, which is the machine's.
            (3, 0, 1, 0) if register == ACTLR => Some(0),
            // Implementation-defined ones. Performance monitors, profiling, traces, error records and limited-order
            // regions are not there.
            (3, _, 11 | 15, _) => Some(0),
            _ => None,
        };
        let Some(value) = value else { return inject::undefined(&mut self.vcpu.registers) };
        if access.read {
            self.vcpu.registers.set(access.transfer, value);
        }
        self.skip_access();
    }
}

/// What an identification register shows.
fn identification(crm: u16, op2: u16) -> u64 {
    macro_rules! table {
        ($(($crm:literal, $op2:literal) $name:literal,)*) => {
            match (crm, op2) {
                $(($crm, $op2) => {
                    let value: u64;
                    // SAFETY: all of the identification space is read-only and readable at EL2; what is reserved in it
                    // reads as zero.
                    unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
                    value
                })*
                _ => 0,
            }
        };
    }
    // By number where the assembler knows the name only with an extension of the architecture.
    let value = table! {
        (1, 0) "ID_PFR0_EL1", (1, 1) "ID_PFR1_EL1", (1, 4) "ID_MMFR0_EL1", (1, 5) "ID_MMFR1_EL1",
        (1, 6) "ID_MMFR2_EL1", (1, 7) "ID_MMFR3_EL1", (2, 0) "ID_ISAR0_EL1", (2, 1) "ID_ISAR1_EL1",
        (2, 2) "ID_ISAR2_EL1", (2, 3) "ID_ISAR3_EL1", (2, 4) "ID_ISAR4_EL1", (2, 5) "ID_ISAR5_EL1",
        (2, 6) "S3_0_C0_C2_6", (2, 7) "S3_0_C0_C2_7", (3, 0) "MVFR0_EL1", (3, 1) "MVFR1_EL1",
        (3, 2) "MVFR2_EL1", (3, 4) "S3_0_C0_C3_4", (3, 6) "S3_0_C0_C3_6", (4, 0) "ID_AA64PFR0_EL1",
        (4, 1) "ID_AA64PFR1_EL1", (5, 0) "ID_AA64DFR0_EL1", (6, 0) "ID_AA64ISAR0_EL1", (6, 1) "ID_AA64ISAR1_EL1",
        (6, 2) "S3_0_C0_C6_2", (7, 0) "ID_AA64MMFR0_EL1", (7, 1) "ID_AA64MMFR1_EL1", (7, 2) "ID_AA64MMFR2_EL1",
    };
    /// ID_AA64PFR0_EL1.GIC: the interrupt controller has system registers.
    const SYSTEM_REGISTERS: u64 = 0xf << 24;
    match identification::shown(crm, op2, value) {
        value if (crm, op2) == (4, 0) && controller::guest_version() == VirtualGic::V2 => value & !SYSTEM_REGISTERS,
        value => value,
    }
}
