//! Makuhari on x86-64: the port to AMD-V and VT-x.
//!
//! Read it in the order in which a machine lives. `boot.s` takes over from the loader, [`init`] builds everything from what
//! the loader brought and never runs again, and then each CPU stands in the core's loop, which calls [`arch`]: load a vCPU
//! ([`vcpu`]), run it ([`exit_loop`]), hear why it stopped. How a processor runs a guest is in [`svm`] and [`vmx`], behind [`guest_cpu`]; what a guest may touch
//! is in [`nested`]; what it believes to be its processor, its interrupt controllers and its serial port is in [`cpuid`],
//! [`vlapic`], [`vioapic`] and [`uart`].
//!
//! Parts that only compute build on any host and are tested there; the others exist where there is no operating system.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic))]

pub mod bzimage;
pub mod config;
pub mod cpuid;
pub mod decode;
pub mod exit;
pub mod nested;
pub mod scale;
pub mod tlb;
pub mod uart;
pub mod vioapic;
pub mod vlapic;
pub mod walk;

#[cfg(target_os = "none")]
mod entry {
    core::arch::global_asm!(include_str!("boot.s"), options(att_syntax));
    core::arch::global_asm!(include_str!("secondary.s"), options(att_syntax));
    core::arch::global_asm!(include_str!("vectors.s"), options(att_syntax));
    // In one piece: the last two use the macros of the first.
    core::arch::global_asm!(
        include_str!("registers.s"),
        include_str!("svm.s"),
        include_str!("vmx.s"),
        options(att_syntax)
    );
}

#[cfg(target_os = "none")]
pub mod arch;
#[cfg(target_os = "none")]
mod assigned;
#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
pub mod domain;
#[cfg(target_os = "none")]
mod exit_loop;
#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
mod firmware;
#[cfg(target_os = "none")]
mod firmware_tables;
#[cfg(target_os = "none")]
mod guest_cpu;
#[cfg(target_os = "none")]
mod guest_memory;
#[cfg(target_os = "none")]
mod init;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod io_apic;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod keyboard;
#[cfg(target_os = "none")]
mod layout;
#[cfg(target_os = "none")]
mod local_apic;
#[cfg(target_os = "none")]
mod lock;
#[cfg(target_os = "none")]
mod mmio;
#[cfg(target_os = "none")]
mod mmu;
#[cfg(target_os = "none")]
mod msr;
#[cfg(target_os = "none")]
mod multiboot;
#[cfg(target_os = "none")]
mod percpu;
#[cfg(target_os = "none")]
mod physmap;
#[cfg(target_os = "none")]
mod pool;
#[cfg(target_os = "none")]
mod processor;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod secondary;
#[cfg(target_os = "none")]
mod serial;
#[cfg(target_os = "none")]
mod svm;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
pub mod vcpu;
#[cfg(target_os = "none")]
mod vmx;
