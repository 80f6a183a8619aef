//! Numbers of domains.
//!
//! Source: `public/xen.h`. Domains are numbered from 0; what is above [`DOMID_FIRST_RESERVED`] names no domain but a
//! role.

/// A domain as the ABI numbers it (`domid_t`).
pub type DomId = u16;

/// First number that no domain has.
pub const DOMID_FIRST_RESERVED: DomId = 0x7FF0;
/// The calling domain itself.
pub const DOMID_SELF: DomId = 0x7FF0;
/// Owner of device memory.
pub const DOMID_IO: DomId = 0x7FF1;
/// The hypervisor.
pub const DOMID_XEN: DomId = 0x7FF2;
/// Owner of pages that are shared until written.
pub const DOMID_COW: DomId = 0x7FF3;
/// Nobody.
pub const DOMID_INVALID: DomId = 0x7FF4;
/// The idle vCPUs.
pub const DOMID_IDLE: DomId = 0x7FFF;
