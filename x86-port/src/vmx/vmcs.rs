//! The virtual machine control structure: its fields by number (Intel SDM 3D, appendix B), and the instructions that reach
//! them. The structure itself is the processor's; only the one that is loaded can be reached.

use core::arch::asm;

/// A field's number.
pub(super) type Field = u32;

pub(super) const VPID: Field = 0x0000;
/// Selectors, limits, rights and bases of ES, CS, SS, DS, FS, GS, LDTR, TR follow each other in steps of 2.
pub(super) const GUEST_SELECTOR: Field = 0x0800;
pub(super) const GUEST_LIMIT: Field = 0x4800;
pub(super) const GUEST_RIGHTS: Field = 0x4814;
pub(super) const GUEST_BASE: Field = 0x6806;
pub(super) const HOST_SELECTOR: Field = 0x0c00;
pub(super) const HOST_TR_SELECTOR: Field = 0x0c0c;
pub(super) const PORT_MAPS: [Field; 2] = [0x2000, 0x2002];
pub(super) const MSR_MAP: Field = 0x2004;
pub(super) const TSC_OFFSET: Field = 0x2010;
pub(super) const EPT_POINTER: Field = 0x201a;
pub(super) const GUEST_PHYSICAL: Field = 0x2400;
pub(super) const LINK_POINTER: Field = 0x2800;
pub(super) const GUEST_DEBUGCTL: Field = 0x2802;
pub(super) const GUEST_PAT: Field = 0x2804;
pub(super) const GUEST_EFER: Field = 0x2806;
pub(super) const HOST_PAT: Field = 0x2c00;
pub(super) const HOST_EFER: Field = 0x2c02;
pub(super) const PIN_CONTROLS: Field = 0x4000;
pub(super) const CONTROLS: Field = 0x4002;
pub(super) const EXCEPTIONS: Field = 0x4004;
pub(super) const EXIT_CONTROLS: Field = 0x400c;
pub(super) const ENTRY_CONTROLS: Field = 0x4012;
pub(super) const ENTRY_EVENT: Field = 0x4016;
pub(super) const ENTRY_ERROR: Field = 0x4018;
pub(super) const ENTRY_LENGTH: Field = 0x401a;
pub(super) const MORE_CONTROLS: Field = 0x401e;
pub(super) const EXIT_REASON: Field = 0x4402;
pub(super) const EXIT_EXCEPTION: Field = 0x4404;
pub(super) const EXIT_ERROR: Field = 0x4406;
pub(super) const EXIT_EVENT: Field = 0x4408;
pub(super) const EXIT_EVENT_ERROR: Field = 0x440a;
pub(super) const EXIT_LENGTH: Field = 0x440c;
pub(super) const GUEST_GDTR_LIMIT: Field = 0x4810;
pub(super) const GUEST_IDTR_LIMIT: Field = 0x4812;
pub(super) const INTERRUPTIBILITY: Field = 0x4824;
pub(super) const ACTIVITY: Field = 0x4826;
pub(super) const CR0_MASK: Field = 0x6000;
pub(super) const CR4_MASK: Field = 0x6002;
pub(super) const CR0_SHADOW: Field = 0x6004;
pub(super) const CR4_SHADOW: Field = 0x6006;
pub(super) const QUALIFICATION: Field = 0x6400;
pub(super) const GUEST_CR0: Field = 0x6800;
pub(super) const GUEST_CR3: Field = 0x6802;
pub(super) const GUEST_CR4: Field = 0x6804;
pub(super) const GUEST_GDTR_BASE: Field = 0x6816;
pub(super) const GUEST_IDTR_BASE: Field = 0x6818;
pub(super) const GUEST_DR7: Field = 0x681a;
pub(super) const GUEST_RSP: Field = 0x681c;
pub(super) const GUEST_RIP: Field = 0x681e;
pub(super) const GUEST_RFLAGS: Field = 0x6820;
pub(super) const HOST_CR0: Field = 0x6c00;
pub(super) const HOST_CR3: Field = 0x6c02;
pub(super) const HOST_CR4: Field = 0x6c04;
pub(super) const HOST_GS_BASE: Field = 0x6c08;
pub(super) const HOST_TR_BASE: Field = 0x6c0a;
pub(super) const HOST_GDTR_BASE: Field = 0x6c0c;
pub(super) const HOST_IDTR_BASE: Field = 0x6c0e;
pub(super) const HOST_RIP: Field = 0x6c16;

/// Reads a field of the structure that is loaded.
#[inline(always)]
pub(super) fn read(field: Field) -> u64 {
    let value;
    // SAFETY: VMX is on while this module is used; without a structure, or such a field, the instruction only fails.
    unsafe { asm!("vmread {}, {}", out(reg) value, in(reg) u64::from(field), options(nostack)) };
    value
}

/// Writes a field of the structure that is loaded.
#[inline(always)]
pub(super) fn write(field: Field, value: u64) {
    // SAFETY: as in `read`; what a guest may do is decided by the values, which come from this crate's own tables, and the
    // processor checks the rest when the guest is entered.
    unsafe { asm!("vmwrite {}, {}", in(reg) u64::from(field), in(reg) value, options(nostack)) };
}

/// Makes a structure, at its physical address, the one that is loaded.
pub(super) fn load(structure: u64) {
    // SAFETY: the page is a structure's, with the processor's revision in its first word, for good.
    unsafe { asm!("vmptrld [{}]", in(reg) &raw const structure, options(nostack)) };
}

/// Brings a structure to a known state before it is loaded for the first time.
pub(super) fn clear(structure: u64) {
    // SAFETY: as in `load`.
    unsafe { asm!("vmclear [{}]", in(reg) &raw const structure, options(nostack)) };
}

/// Forgets what is remembered of the second stage that this pointer names.
pub(super) fn invalidate(pointer: u64) {
    const ONE_CONTEXT: u64 = 1;
    let descriptor = [pointer, 0];
    // SAFETY: forgetting translations has no other effect.
    unsafe { asm!("invept {}, [{}]", in(reg) ONE_CONTEXT, in(reg) &raw const descriptor, options(nostack)) };
}
