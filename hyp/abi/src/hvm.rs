//! Parameters of a domain: `hvm_op`.
//!
//! Numbers by which a guest finds its console, its store, and how it wants to be interrupted. Sources:
//! `public/hvm/hvm_op.h`, `public/hvm/params.h`. Arguments: operation, guest-virtual address of the structure. The list
//! of parameters is complete but for those that nobody may use any more and those that x86 alone has.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Write a parameter: [`HvmParam`].
pub const HVMOP_SET_PARAM: u32 = 0;
/// Read a parameter: [`HvmParam`].
pub const HVMOP_GET_PARAM: u32 = 1;
/// Flush the TLBs of the domain's vCPUs.
pub const HVMOP_FLUSH_TLBS: u32 = 5;
/// A page table goes away; shadow paging.
pub const HVMOP_PAGETABLE_DYING: u32 = 9;
/// Monotonic system time.
pub const HVMOP_GET_TIME: u32 = 10;
/// Put a record into the trace.
pub const HVMOP_XENTRACE: u32 = 11;
/// Type of a page; x86.
pub const HVMOP_GET_MEM_TYPE: u32 = 15;
/// The vector by which events interrupt one vCPU: [`EvtchnUpcallVector`]; x86.
pub const HVMOP_SET_EVTCHN_UPCALL_VECTOR: u32 = 23;
/// Send a memory event on purpose.
pub const HVMOP_GUEST_REQUEST_VM_EVENT: u32 = 24;
/// Alternate second-stage tables; x86.
pub const HVMOP_ALTP2M: u32 = 25;

/// How events interrupt the guest; type in the top byte.
pub const HVM_PARAM_CALLBACK_IRQ: u32 = 0;
/// Guest frame of the xenstore ring.
pub const HVM_PARAM_STORE_PFN: u32 = 1;
/// Port of the xenstore ring.
pub const HVM_PARAM_STORE_EVTCHN: u32 = 2;
/// Frame of synchronous device-model requests.
pub const HVM_PARAM_IOREQ_PFN: u32 = 5;
/// Frame of buffered device-model requests.
pub const HVM_PARAM_BUFIOREQ_PFN: u32 = 6;
/// How missed timer ticks are made good; x86.
pub const HVM_PARAM_TIMER_MODE: u32 = 10;
/// Is there an HPET? x86.
pub const HVM_PARAM_HPET_ENABLED: u32 = 11;
/// Identity page table for real mode; x86.
pub const HVM_PARAM_IDENT_PT: u32 = 12;
/// ACPI sleep state.
pub const HVM_PARAM_ACPI_S_STATE: u32 = 14;
/// TSS for real mode; x86.
pub const HVM_PARAM_VM86_TSS: u32 = 15;
/// Align virtual timers; x86.
pub const HVM_PARAM_VPT_ALIGN: u32 = 16;
/// Guest frame of the console ring.
pub const HVM_PARAM_CONSOLE_PFN: u32 = 17;
/// Port of the console ring.
pub const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;
/// Where the ACPI ports are; x86.
pub const HVM_PARAM_ACPI_IOPORTS_LOCATION: u32 = 19;
/// Ring of paging events.
pub const HVM_PARAM_PAGING_RING_PFN: u32 = 27;
/// Ring of monitor events.
pub const HVM_PARAM_MONITOR_RING_PFN: u32 = 28;
/// Ring of sharing events.
pub const HVM_PARAM_SHARING_RING_PFN: u32 = 29;
/// `SHUTDOWN_*` for a triple fault; x86.
pub const HVM_PARAM_TRIPLE_FAULT_REASON: u32 = 31;
/// First frame for device models.
pub const HVM_PARAM_IOREQ_SERVER_PFN: u32 = 32;
/// How many frames for device models.
pub const HVM_PARAM_NR_IOREQ_SERVER_PAGES: u32 = 33;
/// Address of the generation id.
pub const HVM_PARAM_VM_GENERATION_ID_ADDR: u32 = 34;
/// Mode of alternate second-stage tables; x86.
pub const HVM_PARAM_ALTP2M: u32 = 35;
/// Width of the x87 instruction pointer; x86.
pub const HVM_PARAM_X87_FIP_WIDTH: u32 = 36;
/// TSS for real mode with its size; x86.
pub const HVM_PARAM_VM86_TSS_SIZED: u32 = 37;
/// Machine-check capabilities; x86.
pub const HVM_PARAM_MCA_CAP: u32 = 38;

/// How many numbers of parameters there are (`HVM_NR_PARAMS`).
pub const HVM_NR_PARAMS: u32 = 39;
/// Shift of the type inside [`HVM_PARAM_CALLBACK_IRQ`].
pub const HVM_PARAM_CALLBACK_TYPE_SHIFT: u32 = 56;
/// Type of [`HVM_PARAM_CALLBACK_IRQ`] on x86: a line of the interrupt controller, by its number.
pub const HVM_PARAM_CALLBACK_TYPE_GSI: u64 = 0;
/// Type of [`HVM_PARAM_CALLBACK_IRQ`] on ARM: a PPI, its INTID in the low byte, flags in the next.
pub const HVM_PARAM_CALLBACK_TYPE_PPI: u64 = 2;
/// Type of [`HVM_PARAM_CALLBACK_IRQ`] on x86: a vector in the low byte, for all vCPUs.
pub const HVM_PARAM_CALLBACK_TYPE_VECTOR: u64 = 2;
/// Flag of a PPI callback: the line is active low. A clear flag byte's bit 0 means level-sensitive.
pub const HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL: u64 = 2;

/// Argument of [`HVMOP_SET_PARAM`] and [`HVMOP_GET_PARAM`] (`struct xen_hvm_param`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HvmParam {
    /// Whose.
    pub domid: u16,
    /// Padding.
    pub pad: u16,
    /// `HVM_PARAM_*`.
    pub index: u32,
    /// The value, in or out.
    pub value: u64,
}

/// Argument of [`HVMOP_SET_EVTCHN_UPCALL_VECTOR`] (`struct xen_hvm_evtchn_upcall_vector`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EvtchnUpcallVector {
    /// Which of the domain's vCPUs.
    pub vcpu: u32,
    /// The vector.
    pub vector: u8,
    /// Padding.
    pub pad: [u8; 3],
}
