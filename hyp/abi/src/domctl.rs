//! Control of domains: `domctl`.
//!
//! Source: `public/domctl.h`. Argument: guest-virtual address of a `struct xen_domctl`, of which [`SchedulerControl`] is the
//! part that its operation has a use for.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the interface, which the caller names with each call.
pub const XEN_DOMCTL_INTERFACE_VERSION: u32 = 0x15;
/// Read or change what the scheduler gives a domain: [`SchedulerControl`].
pub const XEN_DOMCTL_SCHEDULER_OP: u32 = 16;

/// Weights: [`Credit`].
pub const XEN_SCHEDULER_CREDIT: u32 = 5;
/// Budgets and periods: [`Rtds`].
pub const XEN_SCHEDULER_RTDS: u32 = 8;
/// A vCPU has a CPU to itself.
pub const XEN_SCHEDULER_NULL: u32 = 9;

/// Change what all vCPUs of the domain get.
pub const XEN_DOMCTL_SCHEDOP_PUTINFO: u32 = 0;
/// Read what the vCPUs of the domain get.
pub const XEN_DOMCTL_SCHEDOP_GETINFO: u32 = 1;
/// Change what single vCPUs get: [`Vcpus`].
pub const XEN_DOMCTL_SCHEDOP_PUTVCPUINFO: u32 = 2;
/// Read what single vCPUs get: [`Vcpus`].
pub const XEN_DOMCTL_SCHEDOP_GETVCPUINFO: u32 = 3;

/// In [`Rtds::flags`]: a vCPU may run past its budget where nobody else wants to.
pub const XEN_DOMCTL_SCHEDRT_EXTRA: u32 = 1;

/// The start of `struct xen_domctl` with its `u.scheduler_op`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedulerControl {
    /// [`XEN_DOMCTL_SCHEDULER_OP`].
    pub cmd: u32,
    /// [`XEN_DOMCTL_INTERFACE_VERSION`].
    pub interface_version: u32,
    /// Whom it is about.
    pub domain: u16,
    /// Padding.
    pub pad: [u16; 3],
    /// The operation.
    pub op: SchedulerOp,
}

/// `struct xen_domctl_scheduler_op`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SchedulerOp {
    /// `XEN_SCHEDULER_*`.
    pub sched_id: u32,
    /// `XEN_DOMCTL_SCHEDOP_*`.
    pub cmd: u32,
    /// The union of [`Credit`], [`Rtds`] and [`Vcpus`].
    pub u: [u32; 4],
}

/// `struct xen_domctl_sched_credit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Credit {
    /// Share relative to others; 0 leaves it.
    pub weight: u16,
    /// Percent of a CPU that it may use at most, 0 for no limit; `u16::MAX` leaves it.
    pub cap: u16,
}

/// `struct xen_domctl_sched_rtds`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rtds {
    /// How often it gets its budget, us.
    pub period: u32,
    /// What it may run in a period, us.
    pub budget: u32,
    /// [`XEN_DOMCTL_SCHEDRT_EXTRA`].
    pub flags: u32,
}

/// `u.v` of `struct xen_domctl_scheduler_op`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Vcpus {
    /// Guest-virtual address of an array of [`VcpuParameters`].
    pub vcpus: u64,
    /// Its elements; then how many of them were dealt with.
    pub nr_vcpus: u32,
    /// Padding.
    pub padding: u32,
}

/// `xen_domctl_schedparam_vcpu_t` with its `u.rtds`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VcpuParameters {
    /// What it gets.
    pub rtds: Rtds,
    /// Which vCPU of the domain.
    pub vcpuid: u32,
}
