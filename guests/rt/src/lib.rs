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
//! and `rt/guest.ld` or `rt/guest-x86.ld` as its linker script. When `main` returns, the guest powers itself off.
//!
//! One image runs in two ways: under a hypervisor that offers Xen's interface (the device tree has a `hypervisor`
//! node, or CPUID says so), and bare, with a serial port as the console. The second is how a guest is compared with itself on
//! the bare machine. What the two architectures do differently is in `arm` and `x86`, under the same names; a module that
//! only one of them has is about something that the other has not.
//!
//! All unsafe code of the guests is in here.
#![no_std]

extern crate alloc;

#[cfg(target_arch = "aarch64")]
mod arm;
pub mod console;
pub mod events;
pub mod foreign;
#[cfg(feature = "pvio")]
pub mod front;
pub mod grants;
mod heap;
pub mod hypercall;
mod image;
mod machine;
pub mod pages;
mod panic;
pub mod power;
pub mod queues;
pub mod random;
pub mod runstate;
mod time;
#[cfg(feature = "virtio")]
pub mod virtio;
pub mod window;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
use arm as arch;
#[cfg(target_arch = "aarch64")]
pub use arm::{
    cpu, forms, gic, hardware_debug, interrupts, measure, memory, misbehave, psci, rtc, smp, timer, trap,
    tree::{self, Machine},
};
#[cfg(target_arch = "x86_64")]
use x86 as arch;
#[cfg(target_arch = "x86_64")]
pub use x86::{
    cpu, interrupts, measure, memory, misbehave, pci,
    start::{self, Machine},
    timer, trap,
};

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

/// First Rust code: called once by `entry.s` on the boot vCPU, with the address of what the loader tells.
#[unsafe(no_mangle)]
extern "C" fn rt_start(told: usize) -> ! {
    timer::note_start();
    let machine = arch::read(told);
    console::choose(machine);
    heap::init(machine);
    arch::init(machine);
    cpu::unmask_interrupts();
    rt_main(machine);
    power::off()
}
