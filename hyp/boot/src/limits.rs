//! Capacities of this crate's tables: the core's, and those that only reading a tree needs.

pub(crate) use hyp_core::limits::{MAX_CPUS, MAX_DOMAINS, MAX_VCPUS, MAX_VCPUS_PER_DOMAIN};

/// Separate ranges of RAM in the machine's tree.
pub(crate) const MAX_RAM: usize = 16;
/// Reserved ranges in the machine's tree.
pub(crate) const MAX_RESERVED: usize = 32;
