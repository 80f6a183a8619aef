//! Accesses to devices by instructions that the processor does not describe: read the instruction, then do what it says.

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, Readable, SP_EL0, SP_EL1, Writeable};
use hyp_core::arch::Exit;

use crate::decode::{self, Instruction, STACK};
use crate::exception;
use crate::guest_memory;
use crate::layout::PAGE_SIZE;
use crate::run::Turn;
use crate::syndrome::Abort;

/// PSTATE.SP: EL1 uses SP_EL1; never set at EL0.
const OWN_STACK: u64 = 1;
/// Bits of an address that are no tag.
const UNTAGGED: u64 = u64::MAX >> 8;

impl Turn<'_> {
    /// A device register was accessed at `ipa`, and `abort` does not say how.
    #[cold]
    #[inline(never)]
    pub(crate) fn undescribed(&mut self, abort: &Abort, ipa: u64) -> Option<Exit> {
        if abort.maintenance || abort.walk {
            return self.bad_access(abort, ipa);
        }
        if exception::is_aarch32(self.vcpu.registers.pstate()) {
            return Some(self.refuse("device-access-by-a-32-bit-instruction", abort, ipa));
        }
        let (pc, mut word) = (self.vcpu.registers.pc(), [0; 4]);
        if guest_memory::read(self.domain, pc, &mut word).is_err() {
            // Another vCPU has just taken the instruction away. The processor finds that out by itself.
            return None;
        }
        match decode::decode(u32::from_le_bytes(word)) {
            Ok(instruction) => self.complete(&instruction, abort, ipa),
            Err(why) => Some(self.refuse(why.name(), abort, ipa)),
        }
    }

    fn complete(&mut self, instruction: &Instruction, abort: &Abort, ipa: u64) -> Option<Exit> {
        let registers = &self.vcpu.registers;
        let pc = registers.pc();
        let (address, base) = instruction.addresses(self.stack(), |register| registers.get(register));
        let bytes = instruction.bytes();
        // The second stage said which page; an access that leaves it is no register's. If the processor means another
        // address, the instruction was changed in between: again, from its start.
        let offset = address % PAGE_SIZE;
        if (FAR_EL2.get().wrapping_sub(address) & UNTAGGED) >= bytes || instruction.load == abort.write {
            return None;
        }
        if offset + bytes > PAGE_SIZE {
            return Some(self.refuse("device-access-across-pages", abort, ipa));
        }
        let (mut place, mut told) = (ipa & !(PAGE_SIZE - 1) | offset, 0);
        for access in instruction.accesses() {
            self.vcpu.registers.set_pc(pc);
            let step = u64::from(access.size);
            match self.device(ESR_EL2.get(), &Abort { access: Some(access), ..*abort }, place) {
                Some(Exit::Notify(others)) => told |= others,
                // It did not happen: an exception, or again later. Only a pair's first register can be in that place.
                Some(exit) => return Some(exit),
                None => {}
            }
            place = place.saturating_add(step);
        }
        match instruction.written_back() {
            Some(STACK) => self.set_stack(base),
            Some(register) => self.vcpu.registers.set(register, base),
            None => {}
        }
        (told != 0).then_some(Exit::Notify(told))
    }

    fn uses_own_stack(&self) -> bool {
        self.vcpu.registers.pstate() & OWN_STACK != 0
    }

    fn stack(&self) -> u64 {
        if self.uses_own_stack() { SP_EL1.get() } else { SP_EL0.get() }
    }

    fn set_stack(&self, value: u64) {
        if self.uses_own_stack() { SP_EL1.set(value) } else { SP_EL0.set(value) }
    }
}
