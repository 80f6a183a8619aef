//! Hypercall numbers and the calling convention.
//!
//! Source: `public/xen.h` and `public/arch-arm.h`. On arm64 a guest puts the number into x16 and up to five arguments
//! into x0 to x4, executes `HVC` with [`TAG`] as its immediate, and finds the result in x0: zero or more when the call
//! succeeded, a negated [`crate::errno::Errno`] when it did not. The list is complete, so that a report can name every
//! call a guest made, also those that are refused.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One call of a [`MULTICALL`] (`struct multicall_entry`). Arguments of that call: guest-virtual address of the first of
/// these, their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MulticallEntry {
    /// Number of the call.
    pub op: u64,
    /// Out: its result.
    pub result: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// Immediate of the `HVC` instruction (`XEN_HYPERCALL_TAG`).
pub const TAG: u16 = 0xEA1;

/// x86 PV: trap table.
pub const SET_TRAP_TABLE: u64 = 0;
/// x86 PV: page-table updates.
pub const MMU_UPDATE: u64 = 1;
/// x86 PV: GDT.
pub const SET_GDT: u64 = 2;
/// x86 PV: kernel stack.
pub const STACK_SWITCH: u64 = 3;
/// x86 PV: entry points.
pub const SET_CALLBACKS: u64 = 4;
/// x86 PV: lazy float.
pub const FPU_TASKSWITCH: u64 = 5;
/// `sched_op` before 3.1; stays refused.
pub const SCHED_OP_COMPAT: u64 = 6;
/// Control of the machine by the hardware domain.
pub const PLATFORM_OP: u64 = 7;
/// x86 PV: write a debug register.
pub const SET_DEBUGREG: u64 = 8;
/// x86 PV: read a debug register.
pub const GET_DEBUGREG: u64 = 9;
/// x86 PV: one descriptor.
pub const UPDATE_DESCRIPTOR: u64 = 10;
/// Memory of a domain: `public/memory.h`.
pub const MEMORY_OP: u64 = 12;
/// Several calls at once.
pub const MULTICALL: u64 = 13;
/// x86 PV: one mapping.
pub const UPDATE_VA_MAPPING: u64 = 14;
/// One-shot timer of the calling vCPU.
pub const SET_TIMER_OP: u64 = 15;
/// `event_channel_op` before 3.2; stays refused.
pub const EVENT_CHANNEL_OP_COMPAT: u64 = 16;
/// Version and features: `public/version.h`.
pub const XEN_VERSION: u64 = 17;
/// Emergency console.
pub const CONSOLE_IO: u64 = 18;
/// `physdev_op` before 3.2; stays refused.
pub const PHYSDEV_OP_COMPAT: u64 = 19;
/// Grant tables: `public/grant_table.h`.
pub const GRANT_TABLE_OP: u64 = 20;
/// Small behaviours a guest switches on.
pub const VM_ASSIST: u64 = 21;
/// x86 PV: one mapping of another domain.
pub const UPDATE_VA_MAPPING_OTHERDOMAIN: u64 = 22;
/// x86 PV: return from a trap.
pub const IRET: u64 = 23;
/// One vCPU: `public/vcpu.h`.
pub const VCPU_OP: u64 = 24;
/// x86 PV: FS and GS bases.
pub const SET_SEGMENT_BASE: u64 = 25;
/// x86 PV: TLB and page-table pins.
pub const MMUEXT_OP: u64 = 26;
/// Security module.
pub const XSM_OP: u64 = 27;
/// x86: NMI callback.
pub const NMI_OP: u64 = 28;
/// Scheduling and shutdown: `public/sched.h`.
pub const SCHED_OP: u64 = 29;
/// x86 PV: callbacks.
pub const CALLBACK_OP: u64 = 30;
/// Profiling.
pub const XENOPROF_OP: u64 = 31;
/// Event channels: `public/event_channel.h`.
pub const EVENT_CHANNEL_OP: u64 = 32;
/// Physical interrupts and PCI devices.
pub const PHYSDEV_OP: u64 = 33;
/// Parameters of a domain: `public/hvm/hvm_op.h`.
pub const HVM_OP: u64 = 34;
/// Control of the hypervisor.
pub const SYSCTL: u64 = 35;
/// Control of domains.
pub const DOMCTL: u64 = 36;
/// Crash kernel.
pub const KEXEC_OP: u64 = 37;
/// Transcendent memory; gone since 4.13.
pub const TMEM_OP: u64 = 38;
/// Messages between domains.
pub const ARGO_OP: u64 = 39;
/// Performance counters.
pub const XENPMU_OP: u64 = 40;
/// Device models.
pub const DM_OP: u64 = 41;
/// The hypervisor's own file system.
pub const HYPFS_OP: u64 = 42;
/// First of eight numbers that each architecture uses as it likes (`__HYPERVISOR_arch_0`).
pub const ARCH_0: u64 = 48;
