//! What front ends and back ends of paravirtual devices share: `public/io/`.
//!
//! The hypervisor never looks into these pages, so nothing of this is there at EL2: the feature `io` brings it, which
//! guests and tests ask for. One module for each header, under the header's own name.

pub mod blkif;
pub mod console;
pub mod fbif;
pub mod kbdif;
pub mod netif;
pub mod ring;
pub mod sndif;
pub mod xenbus;
pub mod xs_wire;
