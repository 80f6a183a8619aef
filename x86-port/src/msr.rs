//! The model-specific registers that a guest sees, beside those that its control block holds and that it reads and writes
//! without us: the filter. What is not listed does not exist.

use crate::cpuid::HYPERCALL_MSR;
use crate::guest_cpu::{self, Virtualization};
use crate::run::Turn;
use crate::svm::{EFER_GUEST, EFER_LMA};
use crate::vlapic::Effect;
use crate::{clock, guest_memory, processor};

/// Registers (Intel SDM 4; AMD APM volume 2, appendix A).
const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1b;
const MICROCODE: u32 = 0x8b;
const MISC_ENABLE: u32 = 0x1a0;
const PAT: u32 = 0x277;
const TSC_DEADLINE: u32 = 0x6e0;
const X2APIC: u32 = 0x800;
const X2APIC_LAST: u32 = 0x83f;
const EFER: u32 = 0xc000_0080;
/// AMD's system configuration, hardware configuration and patch level.
const SYSCFG: u32 = 0xc001_0010;
const HWCR: u32 = 0xc001_0015;

/// APIC_BASE: its address, which nobody uses; on, in x2APIC mode; the first vCPU.
const APIC_BASE_VALUE: u64 = 0xfee0_0000 | 1 << 11 | 1 << 10;
const APIC_BASE_FIRST: u64 = 1 << 8;
/// Bytes of a stub in the hypercall page, and how many there are.
const STUB: usize = 32;

/// Reads a register; `None` where there is none.
pub(crate) fn read(turn: &mut Turn<'_>, register: u32) -> Option<u64> {
    Some(match register {
        TSC => processor::tsc(),
        APIC_BASE => APIC_BASE_VALUE | if turn.index == 0 { APIC_BASE_FIRST } else { 0 },
        MICROCODE | SYSCFG | HWCR | MISC_ENABLE => 0,
        PAT => turn.vcpu.processor.pat(),
        TSC_DEADLINE => {
            let deadline = turn.vcpu.apic.deadline().filter(|_| turn.vcpu.apic.is_by_deadline());
            deadline.map_or(0, clock::counts_at)
        }
        X2APIC..=X2APIC_LAST => turn.vcpu.apic.read(register - X2APIC, clock::now()).ok()?,
        EFER => turn.vcpu.processor.efer(),
        _ => return None,
    })
}

/// Writes a register; `None` where there is none or it does not take the value.
pub(crate) fn write(turn: &mut Turn<'_>, register: u32, value: u64) -> Option<Effect> {
    match register {
        // As it is, or not at all: the APIC stays in its mode.
        APIC_BASE => {
            read(turn, APIC_BASE).filter(|now| *now == value)?;
        }
        MICROCODE | MISC_ENABLE | HWCR => {}
        PAT => {
            value.to_le_bytes().iter().all(|kind| matches!(kind, 0 | 1 | 4..=7)).then_some(())?;
            turn.vcpu.processor.set_pat(value);
        }
        TSC_DEADLINE => {
            turn.vcpu.apic.set_deadline((value != 0).then(|| clock::ns_at(value)));
            turn.ring();
        }
        X2APIC..=X2APIC_LAST => {
            let effect = turn.vcpu.apic.write(register - X2APIC, value, clock::now()).ok()?;
            turn.ring();
            turn.vcpu.processor.set_task_priority(turn.vcpu.apic.task_priority());
            return Some(effect);
        }
        EFER => {
            (value & !(EFER_GUEST | EFER_LMA) == 0).then_some(())?;
            turn.vcpu.processor.set_efer(value);
        }
        HYPERCALL_MSR => write_hypercall_page(turn, value)?,
        _ => return None,
    }
    Some(Effect::None)
}

/// Fills the guest's hypercall page: for each call a stub that puts its number into EAX and calls. `value` is the page's
/// address, with the number of the page, of which there is one, in its low bits.
fn write_hypercall_page(turn: &mut Turn<'_>, value: u64) -> Option<()> {
    /// The call for which a guest on this architecture must not use the page.
    const IRET: usize = 23;
    const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
    (value & 0xfff == 0).then_some(())?;
    // The third byte of VMCALL and VMMCALL.
    let call = if guest_cpu::is_intel() { 0xc1 } else { 0xd9 };
    let page = turn.domain.page(value >> 12).ok()?;
    guest_memory::fill(page, |offset| {
        let (number, at) = (offset / STUB, offset % STUB);
        let [a, b, ..] = (number as u32).to_le_bytes();
        let stub = [0xb8, a, b, 0, 0, 0x0f, 0x01, call, 0xc3];
        let stub: &[u8] = if number == IRET { &UNDEFINED } else { &stub };
        stub.get(at).copied().unwrap_or(0xcc)
    });
    Some(())
}
