//! Accesses to memory that a guest does not have.
//!
//! The guest takes the exception that bare hardware raises, and the log hears of it; what the guest does then is its own
//! business. Only a guest that cannot take exceptions, because the vectors themselves are such an access, is stopped.

use aarch64_cpu::registers::{ELR_EL1, ESR_EL1, ESR_EL2, FAR_EL2, HPFAR_EL2, Readable, VBAR_EL1};
use hyp_core::arch::{Exit, GuestFault};

use crate::inject;
use crate::run::Turn;
use crate::syndrome::Abort;

/// Bytes of vectors behind VBAR_EL1.
const VECTORS: u64 = 0x800;

/// The page of the last abort, guest-physical.
fn page() -> u64 {
    (HPFAR_EL2.get() & !0xf) << 8
}

impl Turn<'_> {
    /// A load or store that leads to no memory and no device.
    #[cold]
    #[inline(never)]
    pub(crate) fn bad_access(&mut self, abort: &Abort, ipa: u64) -> Option<Exit> {
        if abort.is_translation() && self.domain.stage2.lock().is_mapped(ipa) {
            // Another CPU has just changed what is there.
            return None;
        }
        if abort.maintenance && abort.is_translation() && !abort.walk {
            // Nothing is there, so nothing is cached of it.
            self.skip(ESR_EL2.get());
            return None;
        }
        let what = match (abort.walk, abort.is_translation(), abort.write) {
            (true, ..) => "translation-tables-in-unmapped-memory",
            (_, true, false) => "read-of-unmapped-memory",
            (_, true, true) => "write-to-unmapped-memory",
            (_, false, _) => "access-to-protected-memory",
        };
        Some(self.refuse(what, abort, ipa))
    }

    /// The guest did `what` by a load or store, and gets an abort for it.
    pub(crate) fn refuse(&mut self, what: &'static str, abort: &Abort, ipa: u64) -> Exit {
        let far = (!abort.no_address).then(|| FAR_EL2.get());
        self.abort(self.fault_of(what, far.unwrap_or(0), ipa), far)
    }

    /// A fetch that leads to no memory. When the guest jumped to its own vectors, an exception before it is the true
    /// cause.
    #[cold]
    #[inline(never)]
    pub(crate) fn bad_fetch(&mut self, abort: &Abort) -> Option<Exit> {
        let pc = self.vcpu.registers.pc();
        let ipa = page() | pc & 0xfff;
        if abort.is_translation() && self.domain.stage2.lock().is_mapped(ipa) {
            return None;
        }
        if !self.is_in_vectors() {
            return Some(self.abort(self.fault_of("jump-to-unmapped-memory", pc, ipa), Some(pc)));
        }
        let what = match ESR_EL1.get() >> 26 & 0x3f {
            0x00 => "undefined-instruction",
            0x20 | 0x21 => "fetch-abort-without-a-handler",
            0x24 | 0x25 => "data-abort-without-a-handler",
            _ => "exception-without-a-handler",
        };
        let (guilty, cause) = (ELR_EL1.get(), ESR_EL1.get());
        Some(Exit::Fault(GuestFault { what, pc: guilty, address: pc, guest_physical: ipa, syndrome: cause }))
    }

    fn is_in_vectors(&self) -> bool {
        self.vcpu.registers.pc().wrapping_sub(VBAR_EL1.get()) < VECTORS
    }

    /// Gives the guest an abort; where its vectors are what is wrong, that would go on for ever.
    fn abort(&mut self, fault: GuestFault, far: Option<u64>) -> Exit {
        if self.is_in_vectors() {
            return Exit::Fault(fault);
        }
        inject::external_abort(&mut self.vcpu.registers, fault.syndrome, far);
        Exit::Aborted(fault)
    }

    /// The guest did that by the instruction at which it is.
    pub(crate) fn fault_of(&self, what: &'static str, address: u64, guest_physical: u64) -> GuestFault {
        let (pc, syndrome) = (self.vcpu.registers.pc(), ESR_EL2.get());
        GuestFault { what, pc, address, guest_physical, syndrome }
    }
}
