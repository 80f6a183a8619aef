//! The page of a guest's console: two streams of bytes.
//!
//! Source: `public/io/console.h`. `in` is what was typed, `out` what the guest prints. Indices run free.

/// Bytes of the stream to the guest.
pub const XENCONS_IN_SIZE: usize = 1024;
/// Bytes of the stream from the guest.
pub const XENCONS_OUT_SIZE: usize = 2048;
/// Where the stream to the guest is.
pub const XENCONS_IN: usize = 0;
/// Where the stream from the guest is.
pub const XENCONS_OUT: usize = 1024;
/// Where the guest's index of what it has read is (`u32`).
pub const XENCONS_IN_CONS: usize = 3072;
/// Where the back end's index of what it has written is (`u32`).
pub const XENCONS_IN_PROD: usize = 3076;
/// Where the back end's index of what it has read is (`u32`).
pub const XENCONS_OUT_CONS: usize = 3080;
/// Where the guest's index of what it has written is (`u32`).
pub const XENCONS_OUT_PROD: usize = 3084;
