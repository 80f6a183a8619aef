//! What is ARM's: 64-bit, at EL1, entered by Linux' boot protocol.

pub mod cpu;
pub mod forms;
pub mod gic;
pub mod hardware_debug;
pub(crate) mod hypercall;
pub mod interrupts;
pub mod measure;
pub mod memory;
pub mod misbehave;
pub mod psci;
pub mod rtc;
pub(crate) mod serial;
pub mod smp;
pub mod timer;
pub mod trap;
pub mod tree;
pub(crate) mod upcall;

use core::arch::global_asm;

use xen_abi::shared_info::Layout;

pub(crate) use psci::{system_off, system_reset};
pub(crate) use tree::read;

use crate::Machine;

global_asm!(include_str!("arm/entry.s"));
global_asm!(include_str!("arm/compare.s"));
global_asm!(include_str!("arm/copy.s"));

/// Where the page that we share with the hypervisor has what.
pub(crate) const SHARED_INFO: Layout = Layout::ARM;

/// Bring up interrupts and time.
pub(crate) fn init(machine: &'static Machine) {
    gic::init_boot_cpu(machine);
    timer::init(machine);
    upcall::init(machine);
}
