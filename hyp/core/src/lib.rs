//! The generic core of the hypervisor: domains, vCPUs, scheduling, event channels, hypercalls and policy.
//!
//! What is decided once for all processors lives here, as plain logic over the [`arch::Arch`] trait, so that the same
//! code runs at EL2, at the x86 hypervisor level, and in tests on the host, where a whole machine is a value. Nothing
//! here knows a register, allocates, or needs `unsafe`; and nothing that a guest can reach may panic.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

#[cfg(test)]
extern crate std;

mod alarm;
pub mod arch;
pub mod cpu;
pub mod domain;
pub mod event;
pub mod grant;
pub mod hypercall;
pub mod hypervisor;
mod io_domain;
pub mod keyboard;
pub mod lifecycle;
pub mod limits;
pub mod memory;
pub mod placement;
pub mod policy;
pub mod report;
pub mod runstate;
pub mod sched;
pub mod stats;
pub mod sync;
pub mod time;
pub mod trace;
pub mod vcpu;
