//! The virtual machine control block: what the processor reads when it enters a guest and writes when it leaves it.
//!
//! Source: AMD APM volume 2, appendix B. Fields that the hypervisor does not use are padding.

use core::mem::{offset_of, size_of};

/// A segment register as the processor keeps it.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Segment {
    /// What the guest sees of it.
    pub(crate) selector: u16,
    /// Bits 40 to 47 and 52 to 55 of its descriptor.
    pub(crate) attributes: u16,
    /// Limit, in bytes.
    pub(crate) limit: u32,
    /// Base.
    pub(crate) base: u64,
}

/// The block.
#[repr(C, align(4096))]
pub(crate) struct Vmcb {
    /// Accesses to control registers that leave the guest: reads, then writes.
    pub(crate) intercept_cr: u32,
    /// The same for debug registers.
    pub(crate) intercept_dr: u32,
    /// Exceptions that leave the guest.
    pub(crate) intercept_exceptions: u32,
    /// Interrupts and instructions that leave the guest.
    pub(crate) intercept: [u32; 3],
    pad0: [u8; 0x28],
    /// Physical addresses of the maps of ports and of model-specific registers that leave the guest.
    pub(crate) io_map: u64,
    /// See `io_map`.
    pub(crate) msr_map: u64,
    /// What is added to the time stamp counter.
    pub(crate) tsc_offset: u64,
    /// Address space number.
    pub(crate) asid: u32,
    /// What is forgotten at the next entry.
    pub(crate) tlb_control: u32,
    /// Virtual interrupts.
    pub(crate) interrupt_control: u64,
    /// Bit 0: the guest is in the shadow of an instruction that keeps interrupts away.
    pub(crate) interrupt_shadow: u64,
    /// Why the guest was left.
    pub(crate) exit_code: u64,
    /// More about it.
    pub(crate) exit_info: [u64; 2],
    /// What was being delivered to the guest when it was left.
    pub(crate) exit_event: u64,
    /// Bit 0: nested paging.
    pub(crate) nested_control: u64,
    pad1: [u8; 0x10],
    /// What is delivered to the guest when it is entered.
    pub(crate) event: u64,
    /// Root of the nested page tables.
    pub(crate) nested_root: u64,
    pad2: [u8; 0x8],
    /// What of this block the processor may remember from the last entry.
    pub(crate) clean: u64,
    /// The next instruction, where the processor says it.
    pub(crate) next_rip: u64,
    pad3: [u8; 0x330],
    /// ES, CS, SS, DS, FS, GS.
    pub(crate) segments: [Segment; 6],
    /// Its table of segments, the local one, its table of vectors, its task state.
    pub(crate) gdtr: Segment,
    /// See `gdtr`.
    pub(crate) ldtr: Segment,
    /// See `gdtr`.
    pub(crate) idtr: Segment,
    /// See `gdtr`.
    pub(crate) tr: Segment,
    pad4: [u8; 0x2b],
    /// Privilege level.
    pub(crate) cpl: u8,
    pad5: [u8; 0x4],
    /// Registers by their names.
    pub(crate) efer: u64,
    pad6: [u8; 0x70],
    /// See `efer`.
    pub(crate) cr4: u64,
    /// See `efer`.
    pub(crate) cr3: u64,
    /// See `efer`.
    pub(crate) cr0: u64,
    /// See `efer`.
    pub(crate) dr7: u64,
    /// See `efer`.
    pub(crate) dr6: u64,
    /// See `efer`.
    pub(crate) rflags: u64,
    /// See `efer`.
    pub(crate) rip: u64,
    pad7: [u8; 0x58],
    /// See `efer`.
    pub(crate) rsp: u64,
    pad8: [u8; 0x18],
    /// See `efer`.
    pub(crate) rax: u64,
    /// STAR, LSTAR, CSTAR, SFMASK, kernel GS base.
    pub(crate) system_calls: [u64; 5],
    /// SYSENTER's code segment, stack and entry.
    pub(crate) sysenter: [u64; 3],
    /// See `efer`.
    pub(crate) cr2: u64,
    pad9: [u8; 0x20],
    /// The page attribute table.
    pub(crate) pat: u64,
    pad10: [u8; 0x990],
}

const _: () = {
    assert!(size_of::<Vmcb>() == 4096);
    assert!(offset_of!(Vmcb, io_map) == 0x40 && offset_of!(Vmcb, interrupt_control) == 0x60);
    assert!(offset_of!(Vmcb, exit_code) == 0x70 && offset_of!(Vmcb, nested_control) == 0x90);
    assert!(offset_of!(Vmcb, event) == 0xa8 && offset_of!(Vmcb, next_rip) == 0xc8);
    assert!(offset_of!(Vmcb, segments) == 0x400 && offset_of!(Vmcb, tr) == 0x490 && offset_of!(Vmcb, cpl) == 0x4cb);
    assert!(offset_of!(Vmcb, efer) == 0x4d0 && offset_of!(Vmcb, cr4) == 0x548 && offset_of!(Vmcb, rip) == 0x578);
    assert!(offset_of!(Vmcb, rsp) == 0x5d8 && offset_of!(Vmcb, rax) == 0x5f8 && offset_of!(Vmcb, cr2) == 0x640);
    assert!(offset_of!(Vmcb, pat) == 0x668);
};
