//! Capacities of this crate's tables.

/// Domains that one machine runs.
pub(crate) const MAX_DOMAINS: usize = 8;
/// vCPUs of all domains together.
pub(crate) const MAX_VCPUS: usize = 32;
/// vCPUs of one domain.
pub(crate) const MAX_VCPUS_PER_DOMAIN: usize = 8;
/// Physical CPUs.
pub(crate) const MAX_CPUS: usize = 8;
/// Separate ranges of RAM in the machine's tree.
pub(crate) const MAX_RAM: usize = 16;
/// Reserved ranges in the machine's tree.
pub(crate) const MAX_RESERVED: usize = 32;
