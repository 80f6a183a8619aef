//! How an x86 guest finds out whose guest it is.
//!
//! The leaves of CPUID by which it finds the hypervisor. Source: `public/arch-x86/cpuid.h`.

/// The first leaf, where there is no other interface in front of ours; each is 0x100 above the one before.
pub const XEN_CPUID_FIRST_LEAF: u32 = 0x4000_0000;
/// EBX of it.
pub const XEN_CPUID_SIGNATURE_EBX: u32 = 0x566e_6558;
/// ECX of it.
pub const XEN_CPUID_SIGNATURE_ECX: u32 = 0x6558_4d4d;
/// EDX of it.
pub const XEN_CPUID_SIGNATURE_EDX: u32 = 0x4d4d_566e;
/// Leaf 4, EAX: the registers of the local APIC are virtualized by hardware.
pub const XEN_HVM_CPUID_APIC_ACCESS_VIRT: u32 = 1 << 0;
/// Leaf 4, EAX: so is access to an x2APIC.
pub const XEN_HVM_CPUID_X2APIC_VIRT: u32 = 1 << 1;
/// Leaf 4, EAX: EBX has the number of the vCPU.
pub const XEN_HVM_CPUID_VCPU_ID_PRESENT: u32 = 1 << 3;
/// Leaf 4, EAX: ECX has the number of the domain.
pub const XEN_HVM_CPUID_DOMID_PRESENT: u32 = 1 << 4;
/// Leaf 4, EAX: events can come by a vector of each vCPU's local APIC.
pub const XEN_HVM_CPUID_UPCALL_VECTOR: u32 = 1 << 6;
/// How many leaves there are behind the first (`XEN_CPUID_MAX_NUM_LEAVES`).
pub const XEN_CPUID_MAX_NUM_LEAVES: u32 = 5;
