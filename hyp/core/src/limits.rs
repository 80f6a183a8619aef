//! How many of everything there can be.
//!
//! There is no heap: each table has its full size from the start, so that memory is known when the image is linked and
//! a guest cannot make the hypervisor run out of it.

/// Domains, ever: numbers are not given out twice.
pub const MAX_DOMAINS: usize = 8;
/// vCPUs of all domains together. Sets of them are kept as bits of a `u32`.
pub const MAX_VCPUS: usize = 32;
/// vCPUs of one domain.
pub const MAX_VCPUS_PER_DOMAIN: usize = 8;
/// Physical CPUs.
pub const MAX_CPUS: usize = 8;
/// Event channels of one domain, port 0 included, which is never given out. The 2-level ABI allows 4096.
pub const MAX_PORTS: usize = 1024;
/// Watchdogs of one domain, as on Xen.
pub const WATCHDOGS: usize = 2;
/// Ends of event channels that a manifest names, of all domains together.
pub const MAX_NAMED_CHANNELS: usize = 16;
/// Ends of event channels that are there before guests run: those, and two channels of each other guest with an I/O domain.
pub const MAX_FIXED_CHANNELS: usize = MAX_NAMED_CHANNELS + 4 * (MAX_DOMAINS - 1);
/// Bytes of a domain's name.
pub const MAX_NAME: usize = 32;
/// Ports that one `SCHEDOP_poll` may wait for. Xen's limit is 128.
pub const MAX_POLL_PORTS: usize = 128;

const _: () = assert!(MAX_VCPUS <= u32::BITS as usize, "a set of vCPUs is a u32");
const _: () = assert!(MAX_CPUS <= u32::BITS as usize, "a set of CPUs is a u32");
const _: () = assert!(MAX_DOMAINS <= u32::BITS as usize, "a set of domains is a u32");
/// Pages of a domain's grant table at most: 512 grants of version 1 each.
pub const GRANT_FRAMES: usize = 4;
/// Entries of a domain's grant table that others may use at the same time.
pub const MAX_PINS: usize = 255;
/// Pages of others that a domain may have mapped at the same time.
pub const MAX_MAPPINGS: usize = 256;

const _: () = assert!(MAX_PINS <= u8::MAX as usize, "a pin has a number from 1 in a byte");
const _: () = assert!(MAX_MAPPINGS < u16::MAX as usize, "a mapping has a number from 1 in 16 bits");
const _: () = assert!(GRANT_FRAMES * 512 <= 1 << 16, "an entry has a number in 16 bits");
