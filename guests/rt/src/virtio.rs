//! Virtio devices of a guest that has some: drivers of the crate `virtio-drivers`, made safe.
//!
//! A device writes into our memory when it likes. So everything that it may write to is in an arena of its own, which is
//! at the same place in every life of this guest and holds nothing else: what a device still writes for a life that is
//! over hits nothing that matters. A [`Buffer`] belongs to the device from the moment at which it is handed over until it
//! comes back.

mod arena;
pub mod block;

use alloc::vec::Vec;
use core::ptr::NonNull;

pub use arena::{Buffer, init};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, Transport};
pub use virtio_drivers::transport::{DeviceType, SomeTransport};

use crate::Machine;

/// A device that was found.
pub struct Found {
    /// How to reach it.
    pub transport: SomeTransport<'static>,
    /// What it is.
    pub kind: DeviceType,
    /// Its interrupt.
    pub interrupt: u32,
}

/// All devices that this machine has, reset: none of them writes to memory any more.
pub fn find(machine: &'static Machine) -> Vec<Found> {
    let mut found = Vec::new();
    for (address, size, interrupt) in machine.devices("virtio,mmio") {
        let Some(header) = NonNull::new(address as *mut _) else { continue };
        // SAFETY: the device tree says that a virtio device's registers are there; they are mapped as device memory for
        // as long as we run, and nobody else makes a transport of them, as this is done once.
        let transport = unsafe { MmioTransport::new(header, size) };
        // A transport without a device has the type 0, which is an error here.
        if let Ok(mut transport) = transport {
            transport.set_status(DeviceStatus::empty());
            let kind = transport.device_type();
            found.push(Found { transport: transport.into(), kind, interrupt });
        }
    }
    found
}
