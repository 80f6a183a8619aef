//! Time, in the one unit the core uses.
//!
//! Budgets, deadlines and records are all nanoseconds since the machine was switched on, as [`crate::arch::Arch::now`]
//! tells them; a port converts from its counter.

/// Nanoseconds; as a point in time, since power-on. Good for 584 years.
pub type Nanos = u64;

/// A time that never comes.
pub const NEVER: Nanos = Nanos::MAX;
/// One microsecond.
pub const MICROSECOND: Nanos = 1_000;
/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// One second.
pub const SECOND: Nanos = 1_000_000_000;
