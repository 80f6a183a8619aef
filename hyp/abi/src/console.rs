//! The emergency console, `console_io`.
//!
//! Source: `public/xen.h`. Arguments: operation, count of bytes, guest-virtual address of the buffer. A write returns
//! 0, a read the count of bytes that came.

/// Write the buffer to the console.
pub const CONSOLEIO_WRITE: u32 = 0;
/// Read what was typed.
pub const CONSOLEIO_READ: u32 = 1;
