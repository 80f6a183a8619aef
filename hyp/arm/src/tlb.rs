//! Invalidation of translations, for the hypervisor's own tables and for the second stage.
//!
//! An emulator does not catch a missing one; each function quotes the rule it follows (Arm ARM D8.14, K11.5.3).

use core::arch::asm;

/// Forgets one page of the hypervisor's own address space, on every CPU.
pub(crate) fn invalidate_own(va: u64) {
    // SAFETY: the entry was removed before; forgetting a translation is always allowed. The barriers order the
    // table's store before the invalidation and the invalidation before what follows.
    unsafe {
        asm!("dsb ishst", "tlbi vae2is, {}", "dsb ish", "isb", in(reg) va >> 12, options(nostack, preserves_flags))
    };
}

/// Forgets an intermediate address of the guest whose VMID is in VTTBR_EL2, on every CPU, and every combined entry
/// that may have been made from it: stage-2 entries by address, then all of the VMID's stage-1 entries.
pub(crate) fn invalidate_guest_page(ipa: u64) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "dsb ishst", "tlbi ipas2e1is, {}", "dsb ish", "tlbi vmalle1is", "dsb ish", "isb",
            in(reg) ipa >> 12, options(nostack, preserves_flags)
        )
    };
}

/// Forgets everything of the guest whose VMID is in VTTBR_EL2, on every CPU.
pub(crate) fn invalidate_guest() {
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Forgets the stage-1 translations and cached instructions, on this CPU, of the guest whose VMID has just been loaded.
pub(crate) fn invalidate_guest_here() {
    // SAFETY: as above.
    unsafe {
        asm!("isb", "tlbi vmalle1", "ic iallu", "dsb nsh", "isb", options(nostack, preserves_flags));
    }
}

/// Forgets everything of all guests on this CPU; what a CPU does once before it runs any.
pub(crate) fn invalidate_all_guests() {
    // SAFETY: as above.
    unsafe { asm!("dsb nshst", "tlbi alle1", "dsb nsh", "isb", options(nostack, preserves_flags)) };
}
