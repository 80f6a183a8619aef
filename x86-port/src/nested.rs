//! The second stage: where a guest's physical addresses lead.
//!
//! The walk is the core's (`hyp_core::memory::radix`), the encodings are in format.rs and extended.rs; here are the tables
//! themselves, each domain's from a pool of its own, so that no guest can use up another's, and a quick look at them.

pub mod extended;
pub mod format;
pub mod lookup;
pub mod recent;

#[cfg(target_os = "none")]
mod chosen;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
pub use tables::{Nested, tables_for};
