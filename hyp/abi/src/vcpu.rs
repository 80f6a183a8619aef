//! Operations on one vCPU: `vcpu_op`.
//!
//! Source: `public/vcpu.h`. Arguments: operation, number of the vCPU in its domain, guest-virtual address of the
//! structure. Guests on ARM start and stop vCPUs through PSCI instead of the first three.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Give a vCPU its first registers; not on ARM.
pub const VCPUOP_INITIALISE: u32 = 0;
/// Start it; not on ARM.
pub const VCPUOP_UP: u32 = 1;
/// Stop it; not on ARM.
pub const VCPUOP_DOWN: u32 = 2;
/// 1 when it is on, 0 when it is not.
pub const VCPUOP_IS_UP: u32 = 3;
/// Copy out a [`RunstateInfo`].
pub const VCPUOP_GET_RUNSTATE_INFO: u32 = 4;
/// Keep a [`RunstateInfo`] up to date: [`RegisterRunstateMemoryArea`].
pub const VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA: u32 = 5;
/// Start a periodic timer: [`SetPeriodicTimer`].
pub const VCPUOP_SET_PERIODIC_TIMER: u32 = 6;
/// Stop it.
pub const VCPUOP_STOP_PERIODIC_TIMER: u32 = 7;
/// Start a one-shot timer: [`SetSingleshotTimer`].
pub const VCPUOP_SET_SINGLESHOT_TIMER: u32 = 8;
/// Stop it.
pub const VCPUOP_STOP_SINGLESHOT_TIMER: u32 = 9;
/// Keep the vCPU's info at a place of the guest's: [`RegisterVcpuInfo`].
pub const VCPUOP_REGISTER_VCPU_INFO: u32 = 10;
/// Send an NMI; x86.
pub const VCPUOP_SEND_NMI: u32 = 11;
/// Which physical CPU this is, where that is known.
pub const VCPUOP_GET_PHYSID: u32 = 12;
/// Keep time parameters up to date at a place of the guest's; x86.
pub const VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA: u32 = 13;

/// Runs.
pub const RUNSTATE_RUNNING: u32 = 0;
/// Could run, and waits for a CPU.
pub const RUNSTATE_RUNNABLE: u32 = 1;
/// Waits for an event.
pub const RUNSTATE_BLOCKED: u32 = 2;
/// Neither could it run nor does it wait: paused, off, or dead.
pub const RUNSTATE_OFFLINE: u32 = 3;

/// Bit in `state_entry_time` that is set while the record changes (`XEN_RUNSTATE_UPDATE`).
pub const XEN_RUNSTATE_UPDATE: u64 = 1 << 63;

/// Where a vCPU's time went (`struct vcpu_runstate_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RunstateInfo {
    /// `RUNSTATE_*`.
    pub state: u32,
    /// Padding.
    pub pad0: u32,
    /// System time in ns at which this state began.
    pub state_entry_time: u64,
    /// ns spent in each `RUNSTATE_*`.
    pub time: [u64; 4],
}

/// Argument of [`VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA`] (`struct vcpu_register_runstate_memory_area`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegisterRunstateMemoryArea {
    /// Guest-virtual address of a [`RunstateInfo`].
    pub addr: u64,
}

/// Argument of [`VCPUOP_SET_PERIODIC_TIMER`] (`struct vcpu_set_periodic_timer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPeriodicTimer {
    /// Period in ns.
    pub period_ns: u64,
}

/// Argument of [`VCPUOP_SET_SINGLESHOT_TIMER`] (`struct vcpu_set_singleshot_timer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetSingleshotTimer {
    /// System time in ns.
    pub timeout_abs_ns: u64,
    /// [`VCPU_SSHOTTMR_FUTURE`] or 0.
    pub flags: u32,
    /// Padding.
    pub pad0: u32,
}

/// Refuse a time in the past with ETIME instead of firing at once.
pub const VCPU_SSHOTTMR_FUTURE: u32 = 1;

/// Argument of [`VCPUOP_REGISTER_VCPU_INFO`] (`struct vcpu_register_vcpu_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RegisterVcpuInfo {
    /// Guest frame.
    pub mfn: u64,
    /// Where in it, in bytes; the record must not leave the frame.
    pub offset: u32,
    /// Unused.
    pub rsvd: u32,
}
