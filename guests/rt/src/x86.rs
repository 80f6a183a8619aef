//! What is x86's: 64-bit, at ring 0, entered by PVH.

pub mod cpu;
pub(crate) mod hypercall;
pub mod interrupts;
pub mod measure;
pub mod memory;
pub mod misbehave;
pub mod pci;
mod port;
mod power;
pub(crate) mod serial;
pub mod start;
pub mod timer;
pub mod trap;
pub(crate) mod upcall;

use core::arch::global_asm;

use xen_abi::shared_info::Layout;

pub(crate) use power::{system_off, system_reset};
pub(crate) use start::read;

use crate::Machine;

global_asm!(include_str!("x86/entry.s"));

/// Where the page that we share with the hypervisor has what.
pub(crate) const SHARED_INFO: Layout = Layout::X86;

/// Bring up exceptions, interrupts and time.
pub(crate) fn init(machine: &'static Machine) {
    trap::init();
    timer::init(machine);
}
