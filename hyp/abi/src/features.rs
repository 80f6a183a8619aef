//! Bits that tell a guest what this hypervisor offers.
//!
//! Source: `public/features.h`. Each is the number of a bit in the word that `XENVER_get_features` returns for
//! submap 0.

/// Page tables may be written directly.
pub const XENFEAT_WRITABLE_PAGE_TABLES: u32 = 0;
/// Descriptor tables may be written directly.
pub const XENFEAT_WRITABLE_DESCRIPTOR_TABLES: u32 = 1;
/// Guest frames are translated for the guest.
pub const XENFEAT_AUTO_TRANSLATED_PHYSMAP: u32 = 2;
/// The kernel runs at its usual privilege.
pub const XENFEAT_SUPERVISOR_MODE_KERNEL: u32 = 3;
/// Page directories may be above 4 GiB.
pub const XENFEAT_PAE_PGDIR_ABOVE_4GB: u32 = 4;
/// `mmu_update` can keep accessed and dirty bits.
pub const XENFEAT_MMU_PT_UPDATE_PRESERVE_AD: u32 = 5;
/// `mmuext_op` can clear and copy pages.
pub const XENFEAT_HIGHMEM_ASSIST: u32 = 6;
/// Grant mappings take available bits.
pub const XENFEAT_GNTTAB_MAP_AVAIL_BITS: u32 = 7;
/// Events come as a vector; x86.
pub const XENFEAT_HVM_CALLBACK_VECTOR: u32 = 8;
/// The paravirtual clock is usable.
pub const XENFEAT_HVM_SAFE_PVCLOCK: u32 = 9;
/// Physical interrupts can be events.
pub const XENFEAT_HVM_PIRQS: u32 = 10;
/// This is the hardware domain.
pub const XENFEAT_DOM0: u32 = 11;
/// `memory_op` takes virtual NUMA nodes.
pub const XENFEAT_MEMORY_OP_VNODE_SUPPORTED: u32 = 13;
/// SMCCC calls by HVC and SMC are answered.
pub const XENFEAT_ARM_SMCCC_SUPPORTED: u32 = 14;
/// A Linux kernel may find its RSDP anywhere; x86.
pub const XENFEAT_LINUX_RSDP_UNRESTRICTED: u32 = 15;
/// Guest frames are not machine frames.
pub const XENFEAT_NOT_DIRECT_MAPPED: u32 = 16;
/// Guest frames are machine frames.
pub const XENFEAT_DIRECT_MAPPED: u32 = 17;

/// How many words of features there are (`XENFEAT_NR_SUBMAPS`).
pub const XENFEAT_NR_SUBMAPS: u32 = 1;
