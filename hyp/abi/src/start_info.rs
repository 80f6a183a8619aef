//! What an x86 guest is told when it starts.
//!
//! PVH: a kernel whose ELF note names an entry point gets control there in 32-bit protected mode, without paging, with
//! the guest-physical address of a [`HvmStartInfo`] in EBX. Sources: `public/arch-x86/hvm/start_info.h`,
//! `public/elfnote.h`, `docs/misc/pvh.pandoc` of Xen. Addresses are guest-physical.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Type of the ELF note, owner `Xen`, that holds the address of the 32-bit entry point.
pub const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// First word of a [`HvmStartInfo`].
pub const XEN_HVM_START_MAGIC_VALUE: u32 = 0x336e_c578;

/// RAM that is free.
pub const XEN_HVM_MEMMAP_TYPE_RAM: u32 = 1;
/// Not to be used.
pub const XEN_HVM_MEMMAP_TYPE_RESERVED: u32 = 2;
/// ACPI tables, RAM once they are read.
pub const XEN_HVM_MEMMAP_TYPE_ACPI: u32 = 3;
/// Memory that ACPI needs for ever.
pub const XEN_HVM_MEMMAP_TYPE_NVS: u32 = 4;

/// What the start register points to (`struct hvm_start_info`), version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmStartInfo {
    /// [`XEN_HVM_START_MAGIC_VALUE`].
    pub magic: u32,
    /// 1; the memory map is there from 1 on.
    pub version: u32,
    /// `SIF_*`; 0 for a plain domain.
    pub flags: u32,
    /// How many [`HvmModlistEntry`].
    pub nr_modules: u32,
    /// Where they are.
    pub modlist_paddr: u64,
    /// The command line, ended by a zero byte; 0: none.
    pub cmdline_paddr: u64,
    /// ACPI's root pointer; 0: none.
    pub rsdp_paddr: u64,
    /// Where the [`HvmMemmapTableEntry`] are.
    pub memmap_paddr: u64,
    /// How many; 0: there is no map.
    pub memmap_entries: u32,
    /// 0.
    pub reserved: u32,
}

/// A module (`struct hvm_modlist_entry`); the first is the RAM disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmModlistEntry {
    /// Where it is.
    pub paddr: u64,
    /// Its bytes.
    pub size: u64,
    /// Its command line; 0: none.
    pub cmdline_paddr: u64,
    /// 0.
    pub reserved: u64,
}

/// A piece of the memory map (`struct hvm_memmap_table_entry`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmMemmapTableEntry {
    /// Where it begins.
    pub addr: u64,
    /// Its bytes.
    pub size: u64,
    /// `XEN_HVM_MEMMAP_TYPE_*` (`type` in the header).
    pub kind: u32,
    /// 0.
    pub reserved: u32,
}
