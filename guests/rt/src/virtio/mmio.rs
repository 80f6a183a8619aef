//! Virtio devices whose registers are at places that the device tree names.

use alloc::vec::Vec;
use core::ptr::NonNull;

use virtio_drivers::transport::mmio::MmioTransport;

use super::Found;
use crate::Machine;

/// All devices that this machine has, reset: none of them writes to memory any more.
pub fn find(machine: &'static Machine) -> Vec<Found> {
    let mut found = Vec::new();
    for (address, size, interrupt) in machine.devices("virtio,mmio") {
        let Some(header) = NonNull::new(address as *mut _) else { continue };
        // SAFETY: the device tree says that a virtio device's registers are there; they are mapped as device memory for
        // as long as we run, and nobody else makes a transport of them, as this is done once.
        let transport = unsafe { MmioTransport::new(header, size) };
        // A transport without a device has the type 0, which is an error here.
        if let Ok(transport) = transport {
            found.push(Found::reset(transport.into(), interrupt));
        }
    }
    found
}
