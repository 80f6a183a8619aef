//! Virtual interrupts that a guest can bind to an event channel.
//!
//! Source: `public/xen.h`. Some exist once in each vCPU, the others once in the whole machine and for the control
//! domain alone. The list is complete; 5 was never given out again.

/// The timer of `set_timer_op` ran out. For each vCPU.
pub const VIRQ_TIMER: u32 = 0;
/// Dump your state, please. For each vCPU.
pub const VIRQ_DEBUG: u32 = 1;
/// Bytes came in on the emergency console. Global.
pub const VIRQ_CONSOLE: u32 = 2;
/// Something exceptional happened to a domain. Global.
pub const VIRQ_DOM_EXC: u32 = 3;
/// The trace buffer has records. Global.
pub const VIRQ_TBUF: u32 = 4;
/// A domain paused for its debugger. Global.
pub const VIRQ_DEBUGGER: u32 = 6;
/// A profiling sample is there. For each vCPU.
pub const VIRQ_XENOPROF: u32 = 7;
/// Bytes came in on the console ring. Global.
pub const VIRQ_CON_RING: u32 = 8;
/// A physical CPU changed its state. Global.
pub const VIRQ_PCPU_STATE: u32 = 9;
/// A memory event occurred. Global.
pub const VIRQ_MEM_EVENT: u32 = 10;
/// An Argo message arrived. Global.
pub const VIRQ_ARGO: u32 = 11;
/// The hypervisor runs low on memory. Global.
pub const VIRQ_ENOMEM: u32 = 12;
/// A performance counter overflowed. For each vCPU.
pub const VIRQ_XENPMU: u32 = 13;
/// First of eight that each architecture uses as it likes.
pub const VIRQ_ARCH_0: u32 = 16;

/// How many numbers there are, used or not (`NR_VIRQS`).
pub const NR_VIRQS: u32 = 24;

/// Is this one delivered to one vCPU (`true`), or to whoever bound it in the whole machine?
pub const fn is_per_vcpu(virq: u32) -> bool {
    matches!(virq, VIRQ_TIMER | VIRQ_DEBUG | VIRQ_XENOPROF | VIRQ_XENPMU)
}
