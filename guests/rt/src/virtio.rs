//! Virtio devices of a guest that has some: drivers of the crate `virtio-drivers`, made safe.
//!
//! A device writes into our memory when it likes. So everything that it may write to is in an arena of its own, which is
//! at the same place in every life of this guest and holds nothing else: what a device still writes for a life that is
//! over hits nothing that matters. A [`Buffer`] belongs to the device from the moment at which it is handed over until it
//! comes back.
//!
//! Event indices (`VIRTIO_F_EVENT_IDX`) are not asked for: the crate compares them without regard to their wrapping, and a
//! device that was behind when 65,536 requests had been made would not hear of any more.

mod arena;
pub mod block;
mod exchange;
pub mod gpu;
pub mod input;
#[cfg(target_arch = "aarch64")]
mod mmio;
pub mod network;
#[cfg(target_arch = "x86_64")]
mod pci;
pub mod sound;

pub use arena::{Buffer, init};
#[cfg(target_arch = "aarch64")]
pub use mmio::find;
#[cfg(target_arch = "x86_64")]
pub use pci::find;
use virtio_drivers::transport::{DeviceStatus, Transport};
pub use virtio_drivers::transport::{DeviceType, SomeTransport};

/// A device that was found.
pub struct Found {
    /// How to reach it.
    pub transport: SomeTransport<'static>,
    /// What it is.
    pub kind: DeviceType,
    /// Its interrupt.
    pub interrupt: u32,
}

impl Found {
    /// Resets a device.
    fn reset(mut transport: SomeTransport<'static>, interrupt: u32) -> Self {
        transport.set_status(DeviceStatus::empty());
        let kind = transport.device_type();
        Self { transport, kind, interrupt }
    }
}
