//! What the programs for stock Linux guests share. They are ordinary programs, linked statically, so that they run in any
//! guest; they go around the kernel's cache, because what is tested and measured is the device behind it.

pub mod arguments;
pub mod block;
pub mod counterpart;
pub mod random;
pub mod stamp;
