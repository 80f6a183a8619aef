//! A page (or several) of requests and responses between a front end and a back end.
//!
//! Source: `public/io/ring.h`, whose macros make the layout; the offsets are the same for every protocol. Indices run
//! free through 32 bits, the slot is the index modulo the count of slots, which is the largest power of two that fits.

/// Bytes of a page in every ring protocol, whatever the guest's own pages are.
pub const XEN_PAGE_SIZE: usize = 4096;
/// Where the front end's producer index is (`u32`).
pub const REQ_PROD: usize = 0;
/// Where the back end says which request it wants to be told of (`u32`).
pub const REQ_EVENT: usize = 4;
/// Where the back end's producer index is (`u32`).
pub const RSP_PROD: usize = 8;
/// Where the front end says which response it wants to be told of (`u32`).
pub const RSP_EVENT: usize = 12;
/// Where the slots begin.
pub const SLOTS: usize = 64;
