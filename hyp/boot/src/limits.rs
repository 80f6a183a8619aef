//! Capacities of this crate's tables: the core's, and those that only reading a tree needs.

pub(crate) use hyp_core::limits::{
    MAX_CPUS, MAX_DOMAINS, MAX_FIXED_CHANNELS, MAX_NAMED_CHANNELS, MAX_PORTS, MAX_VCPUS, MAX_VCPUS_PER_DOMAIN,
};

/// Files that a loader puts into memory: kernel, ramdisk and partial tree of each guest.
pub(crate) const MAX_MODULES: usize = 3 * MAX_DOMAINS;
/// Separate ranges of RAM in the machine's tree.
pub(crate) const MAX_RAM: usize = 16;
/// Reserved ranges in the machine's tree.
pub(crate) const MAX_RESERVED: usize = 32;
/// Pieces of memory at given places, of all guests together.
pub(crate) const MAX_STATIC: usize = 16;
/// Ranges of registers of devices that guests are given, of all guests together.
pub(crate) const MAX_DEVICE_REGISTERS: usize = 16;
/// Their interrupts.
pub(crate) const MAX_DEVICE_INTERRUPTS: usize = 64;
/// Views of shared memory, of all guests together: as many as a tree is likely to name, and one of each guest with an I/O
/// domain.
pub(crate) const MAX_SHARED: usize = 8 + MAX_DOMAINS;
