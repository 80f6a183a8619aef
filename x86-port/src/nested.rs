//! The second stage: where a guest's physical addresses lead.
//!
//! The walk is the core's (`hyp_core::memory::radix`), the encoding is in format.rs; here are the tables themselves, each
//! domain's from a pool of its own, so that no guest can use up another's.

pub mod extended;
pub mod format;

#[cfg(target_os = "none")]
mod chosen;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
pub use tables::{Nested, tables_for};
