//! Accesses to devices in memory: the instruction is read from the guest's memory, understood, and done.
//!
//! What touches anything else, or does it by an instruction that no kernel uses for a device, is the guest's fault.

use hyp_boot::guest_tables::IO_APIC;

use crate::decode::{Access, LONGEST, What, decode};
use crate::domain::X86Domain;
use crate::guest_cpu::Virtualization;
use crate::guest_memory;
use crate::layout::PAGE_SIZE;
use crate::vcpu::X86Vcpu;
use crate::vlapic::Effect;

/// The number of the stack pointer, which is not among the registers that are kept.
const RSP: u8 = 4;

/// Is there a device at a guest-physical address?
pub(crate) fn is_device(address: u64) -> bool {
    address.wrapping_sub(IO_APIC.start) < IO_APIC.size
}

/// Does an access to a device's register, at a guest-physical address, by the instruction at which the guest stands.
///
/// # Errors
/// Why it cannot be done.
pub(crate) fn access(domain: &X86Domain, vcpu: &mut X86Vcpu, address: u64) -> Result<Effect, &'static str> {
    let offset = address.wrapping_sub(IO_APIC.start);
    let access = instruction(domain, vcpu).ok_or("access to a device by an instruction that is not emulated")?;
    let effect = match access.what {
        What::Load { register, .. } => {
            let value = domain.io_apic.lock().read(offset);
            let old = vcpu.registers.get(register.into());
            vcpu.registers.set(register.into(), access.loaded(old, value.into()));
            Effect::None
        }
        What::Store { register } => {
            let value = access.stored(vcpu.registers.get(register.into()));
            domain.drive_io_apic(|io_apic| io_apic.write(offset, value as u32))
        }
        What::StoreConstant(_) => domain.drive_io_apic(|io_apic| io_apic.write(offset, access.stored(0) as u32)),
    };
    vcpu.processor.skip(access.length.into());
    Ok(effect)
}

/// The instruction at which the guest stands.
fn instruction(domain: &X86Domain, vcpu: &X86Vcpu) -> Option<Access> {
    let (address, mode) = vcpu.processor.code();
    let mut bytes = [0; LONGEST];
    // The next page need not be there if the instruction ends before.
    let first = LONGEST.min((PAGE_SIZE - address % PAGE_SIZE) as usize);
    let (head, rest) = bytes.split_at_mut(first);
    guest_memory::read(domain, vcpu, address, head).ok()?;
    let whole = guest_memory::read(domain, vcpu, address.wrapping_add(first as u64), rest).is_ok();
    let known = if whole { LONGEST } else { first };
    let access = decode(bytes.get(..known)?, mode)?;
    let names_stack = match access.what {
        What::Load { register, .. } | What::Store { register } => register == RSP,
        What::StoreConstant(_) => false,
    };
    (!names_stack).then_some(access)
}
