//! Scheduling, waiting and shutting down: `sched_op`.
//!
//! Source: `public/sched.h`. Arguments: operation, guest-virtual address of its structure (none for yield and block).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Let others run first.
pub const SCHEDOP_YIELD: u32 = 0;
/// Unmask upcalls and sleep until an event is pending.
pub const SCHEDOP_BLOCK: u32 = 1;
/// End the domain: [`Shutdown`].
pub const SCHEDOP_SHUTDOWN: u32 = 2;
/// Sleep until one of some ports is pending: [`Poll`].
pub const SCHEDOP_POLL: u32 = 3;
/// End another domain: [`RemoteShutdown`].
pub const SCHEDOP_REMOTE_SHUTDOWN: u32 = 4;
/// Note a reason without ending: [`Shutdown`].
pub const SCHEDOP_SHUTDOWN_CODE: u32 = 5;
/// Arm, feed or disarm a watchdog: [`Watchdog`].
pub const SCHEDOP_WATCHDOG: u32 = 6;
/// Pin the calling vCPU to a physical CPU for a time.
pub const SCHEDOP_PIN_OVERRIDE: u32 = 7;

/// The guest switched itself off.
pub const SHUTDOWN_POWEROFF: u32 = 0;
/// The guest wants to be started again.
pub const SHUTDOWN_REBOOT: u32 = 1;
/// The guest is ready to be saved.
pub const SHUTDOWN_SUSPEND: u32 = 2;
/// The guest crashed.
pub const SHUTDOWN_CRASH: u32 = 3;
/// The watchdog ran out.
pub const SHUTDOWN_WATCHDOG: u32 = 4;
/// Start again and keep the memory.
pub const SHUTDOWN_SOFT_RESET: u32 = 5;
/// Highest valid reason.
pub const SHUTDOWN_MAX: u32 = 5;

/// Argument of [`SCHEDOP_SHUTDOWN`] (`struct sched_shutdown`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Shutdown {
    /// `SHUTDOWN_*`.
    pub reason: u32,
}

/// Argument of [`SCHEDOP_POLL`] (`struct sched_poll`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Poll {
    /// Guest-virtual address of an array of u32 ports.
    pub ports: u64,
    /// How many ports; Xen takes at most 128.
    pub nr_ports: u32,
    /// Padding.
    pub pad0: u32,
    /// System time in ns at which to give up; 0: never.
    pub timeout: u64,
}

/// Argument of [`SCHEDOP_REMOTE_SHUTDOWN`] (`struct sched_remote_shutdown`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoteShutdown {
    /// Whom to end.
    pub domain_id: u16,
    /// Padding.
    pub pad0: u16,
    /// `SHUTDOWN_*`.
    pub reason: u32,
}

/// Argument of [`SCHEDOP_PIN_OVERRIDE`] (`struct sched_pin_override`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PinOverride {
    /// Number of a physical CPU; negative undoes it.
    pub pcpu: i32,
}

/// Argument of [`SCHEDOP_WATCHDOG`] (`struct sched_watchdog`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Watchdog {
    /// Which watchdog; 0 to allocate one.
    pub id: u32,
    /// Seconds from now; 0 to disarm.
    pub timeout: u32,
}
