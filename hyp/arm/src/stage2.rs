//! The second stage: where a guest's physical addresses lead.
//!
//! The walk is the core's (`hyp_core::memory::radix`), the encoding is in format.rs; here are the tables themselves, each
//! domain's from a pool of its own, so that no guest can use up another's.

pub mod format;

#[cfg(target_arch = "aarch64")]
mod tables;
#[cfg(target_arch = "aarch64")]
pub use tables::{Stage2, tables_for, vtcr};
