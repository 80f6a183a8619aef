//! What a guest and an I/O domain have in common before either runs: two pages and two event channels.
//!
//! Xen leaves to its toolstack where these are; here the hypervisor fixes them, so both sides find them without asking,
//! in every life. A guest reads its own from the parameters (`HVM_PARAM_STORE_*`, `HVM_PARAM_CONSOLE_*`), as on Xen.

use crate::arch_arm::GUEST_MAGIC_BASE;

/// Bytes of the pages that one guest shares: the console's, then xenstore's.
pub const SHARED_BYTES: u64 = 2 * PAGE;
const PAGE: u64 = 4096;

/// Where a guest has its pages on ARM, guest-physical, and the I/O domain those of all: see [`console_page`].
pub const SHARED_BASE_ARM: u64 = GUEST_MAGIC_BASE;
/// The same on x86, in the hole below 4 GiB.
pub const SHARED_BASE_X86: u64 = 0xfef0_0000;

/// A guest's own port of xenstore.
pub const STORE_PORT: u32 = 1;
/// A guest's own port of its console.
pub const CONSOLE_PORT: u32 = 2;

/// Where the I/O domain finds the console's page of a guest, guest-physical, with the base of its architecture.
pub const fn console_page(base: u64, domid: u16) -> u64 {
    base + domid as u64 * SHARED_BYTES
}

/// Where it finds xenstore's.
pub const fn store_page(base: u64, domid: u16) -> u64 {
    console_page(base, domid) + PAGE
}

/// The I/O domain's port of xenstore for a guest.
pub const fn store_port(domid: u16) -> u32 {
    2 * domid as u32
}

/// The I/O domain's port of a guest's console.
pub const fn console_port(domid: u16) -> u32 {
    store_port(domid) + 1
}

/// Offset of the word in xenstore's page that says whether the two sides are connected (`connection` of
/// `struct xenstore_domain_interface`).
pub const STORE_CONNECTION: u64 = 2068;
/// What it holds when a life of the guest has begun or ended, until the I/O domain writes 0 (`XENSTORE_RECONNECT`).
pub const STORE_RECONNECT: u32 = 1;

#[cfg(feature = "io")]
const _: () = {
    use crate::io::xs_wire::{XENSTORE_CONNECTION, XENSTORE_RECONNECT};
    assert!(STORE_CONNECTION == XENSTORE_CONNECTION as u64 && STORE_RECONNECT == XENSTORE_RECONNECT);
};
