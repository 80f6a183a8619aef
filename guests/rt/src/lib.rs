//! Runtime for bare guests.
//!
//! A media player, a load and an attacker need far less than an operating system, and what they measure must not hide
//! behind one. This crate is everything between the first instruction and a guest's own `main`: entry, memory map,
//! exceptions, console, interrupts, time, event channels, heap. A guest is a binary crate with
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! rt::entry!(main);
//! fn main(machine: &'static rt::Machine) { rt::println!("{}", machine.bootargs); }
//! ```
//!
//! and `rt/guest.ld` as its linker script. When `main` returns, the guest powers itself off.
//!
//! One image runs in two ways: under a hypervisor that offers Xen's interface (the device tree has a `hypervisor`
//! node), and bare at EL1, with the UART of `/chosen/stdout-path` as the console and PSCI to switch off. The second is
//! how a guest is compared with itself on the bare machine.
//!
//! All unsafe code of the guests is in here.
#![no_std]

extern crate alloc;

pub mod console;
pub mod cpu;
pub mod events;
pub mod forms;
pub mod gic;
pub mod grants;
pub mod hardware_debug;
mod heap;
pub mod hypercall;
pub mod measure;
pub mod memory;
pub mod misbehave;
mod panic;
pub mod power;
pub mod psci;
pub mod queues;
pub mod smp;
pub mod timer;
pub mod trap;
pub mod tree;

pub use tree::Machine;

use core::arch::global_asm;

global_asm!(include_str!("entry.s"));

/// Name the guest's main function, `fn(&'static Machine)`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn rt_main(machine: &'static $crate::Machine) {
            $main(machine)
        }
    };
}

unsafe extern "Rust" {
    /// The guest's main function, defined by [`entry!`].
    safe fn rt_main(machine: &'static Machine);
}

/// First Rust code: called once by `entry.s` on the boot vCPU, with the address of the device tree.
#[unsafe(no_mangle)]
extern "C" fn rt_start(device_tree: usize) -> ! {
    timer::note_start();
    let machine = tree::read(device_tree);
    console::choose(machine);
    heap::init(machine);
    gic::init_boot_cpu(machine);
    timer::init(machine);
    events::init(machine);
    cpu::unmask_interrupts();
    rt_main(machine);
    power::off()
}
