//! A GICv2's control of the virtual CPU interface (GICH; Arm IHI 0048, 5.3).
//!
//! A GICv3 has the same registers in the processor, where `sysreg` reaches them. Here they are in memory, banked by CPU
//! at one address, so that there is one place for the whole machine and finding it is one load.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    /// Table 5-1.
    pub Gich {
        /// GICH_HCR.
        (0x000 => pub control: ReadWrite<u32>),
        /// GICH_VTR.
        (0x004 => pub kind: ReadOnly<u32>),
        /// GICH_VMCR: the guest's priority mask, binary points and enables.
        (0x008 => pub machine_control: ReadWrite<u32>),
        (0x00c => _status),
        /// GICH_APR.
        (0x0f0 => pub active_priorities: ReadWrite<u32>),
        (0x0f4 => _reserved),
        /// GICH_LR<n>, of which GICH_VTR says how many exist.
        (0x100 => pub lists: [ReadWrite<u32>; 64]),
        (0x200 => @END),
    }
}

/// Where they are; null on a machine that has none, or before [`install`].
static PLACE: AtomicPtr<Gich> = AtomicPtr::new(ptr::null_mut());

/// Notes where the registers are mapped. `false`: not aligned to 4 KiB, and nothing is noted.
///
/// # Safety
///
/// `address` must be the virtual address of a GICv2's GICH, mapped as device memory over 4 KiB for good; nothing else may
/// use these registers.
pub unsafe fn install(address: usize) -> bool {
    let aligned = address & 0xfff == 0;
    if aligned {
        PLACE.store(address as *mut Gich, Ordering::Relaxed);
    }
    aligned
}

/// The calling CPU's registers; `None` where the processor has them itself.
#[inline(always)]
pub fn get() -> Option<&'static Gich> {
    // SAFETY: null, or what the caller of `install` promised to be mapped for good; the struct holds only integers in
    // volatile cells, for which every bit pattern is valid and shared writes are allowed.
    unsafe { PLACE.load(Ordering::Relaxed).as_ref() }
}
