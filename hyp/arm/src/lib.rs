//! Makuhari on ARMv8: the port to EL2.
//!
//! Read it in the order in which a machine lives. `boot.s` takes over from the loader, [`init`] builds everything from
//! the device tree and never runs again, and then each CPU stands in the core's loop, which calls [`arch`]: load a vCPU
//! ([`vcpu`]), run it ([`exit_loop`]), hear why it stopped. What a guest may touch is in [`stage2`]; what it believes to be its
//! interrupt controller, its clock and its firmware is in [`vgic`], [`vtimer`] and [`psci`].
//!
//! Parts that only compute build on any host and are tested there; the others exist on AArch64 only.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod config;
pub mod debug_registers;
pub mod decode;
pub mod exception;
pub mod identification;
pub mod physical_timer;
pub mod psci;
pub mod stage2;
pub mod syndrome;
pub mod vgic;
pub mod vpl011;

#[cfg(target_arch = "aarch64")]
mod el2 {
    core::arch::global_asm!(include_str!("boot.s"));
    core::arch::global_asm!(include_str!("vectors.s"));
}

#[cfg(target_arch = "aarch64")]
mod aborts;
#[cfg(target_arch = "aarch64")]
pub mod arch;
#[cfg(target_arch = "aarch64")]
mod console;
#[cfg(target_arch = "aarch64")]
mod controller;
#[cfg(target_arch = "aarch64")]
mod debug;
#[cfg(target_arch = "aarch64")]
mod devices;
#[cfg(target_arch = "aarch64")]
pub mod domain;
#[cfg(target_arch = "aarch64")]
mod emulate;
#[cfg(target_arch = "aarch64")]
mod entropy;
#[cfg(target_arch = "aarch64")]
mod exit_loop;
#[cfg(target_arch = "aarch64")]
mod fault;
#[cfg(target_arch = "aarch64")]
mod firmware;
#[cfg(target_arch = "aarch64")]
mod float;
#[cfg(target_arch = "aarch64")]
mod guest_memory;
#[cfg(target_arch = "aarch64")]
mod init;
#[cfg(target_arch = "aarch64")]
mod inject;
#[cfg(target_arch = "aarch64")]
mod interrupts;
#[cfg(target_arch = "aarch64")]
pub mod kernel;
#[cfg(target_arch = "aarch64")]
mod keyboard;
#[cfg(target_arch = "aarch64")]
mod layout;
#[cfg(target_arch = "aarch64")]
mod lock;
#[cfg(target_arch = "aarch64")]
mod mmu;
#[cfg(target_arch = "aarch64")]
mod percpu;
#[cfg(target_arch = "aarch64")]
mod physmap;
#[cfg(target_arch = "aarch64")]
mod pointer_auth;
#[cfg(target_arch = "aarch64")]
mod pool;
#[cfg(target_arch = "aarch64")]
mod ptimer;
#[cfg(target_arch = "aarch64")]
mod registers;
#[cfg(target_arch = "aarch64")]
mod run;
#[cfg(target_arch = "aarch64")]
mod stretch;
#[cfg(target_arch = "aarch64")]
mod system_register;
#[cfg(target_arch = "aarch64")]
mod tlb;
#[cfg(target_arch = "aarch64")]
mod uart;
#[cfg(target_arch = "aarch64")]
pub mod vcpu;
#[cfg(target_arch = "aarch64")]
mod virtual_interface;
#[cfg(target_arch = "aarch64")]
mod vtimer;
