//! The I/O domain: it has the machine's devices, and serves the other guests' front ends.
//!
//! Stock kernels find their console, disks and networks by themselves, by Xen's protocols, whose halves are in `hyp_pvio`.
//! Here is what joins them with devices: the loader's tree says which guest is to have what ([`plan`]), [`store`] is the
//! tree of texts by which both ends of a device find each other, [`device`] is one such device, [`hardware`] what is below.
//! All of it runs in one loop on one vCPU, which sleeps while nobody wants anything.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod console;
mod crashes;
mod device;
mod frame;
mod given;
mod grants;
mod hardware;
mod iod;
mod pace;
mod plan;
mod shared;
mod store;
mod times;

rt::entry!(main);

fn main(machine: &'static rt::Machine) {
    crashes::arrange(machine);
    match iod::Iod::start(machine) {
        Ok(mut iod) => iod.run(),
        Err(why) => {
            rt::println!("cannot serve: {why}");
            rt::power::crash()
        }
    }
}
