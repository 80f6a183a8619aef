//! The hardware that EL2 drives itself: one UART, the interrupt controller's physical side, the generic timer.
//!
//! Everything else is a guest's business, so this crate stays small: each driver does what the hypervisor needs and
//! nothing more. Registers in memory are reached at virtual addresses that the caller has mapped as device memory;
//! nothing here knows where a board keeps them. System registers exist on AArch64 only; what can be computed or faked
//! without them builds and is tested on any host.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod affinity;
pub mod gic;
pub mod gich;
pub mod gicv2;
#[cfg(target_arch = "aarch64")]
pub mod gicv3;
pub mod pl011;
#[cfg(target_arch = "aarch64")]
pub mod private_interrupts;
#[cfg(target_arch = "aarch64")]
pub mod sysreg;
pub mod timer;
