//! What a guest's addresses mean.
//!
//! A guest-physical address becomes memory only through the domain's second-stage tables. How those are walked and
//! changed is the same on every processor that we know; only the bits of an entry differ. So the walk is here, once,
//! tested on the host against a model, and a port brings the bits.

pub mod page;
pub mod physmap;
pub mod pool;
pub mod radix;
pub mod restoration;
