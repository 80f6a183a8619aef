//! The machine's own devices, which guests share.

pub(crate) mod bridge;
pub(crate) mod disks;
pub(crate) mod sound;

use alloc::vec::Vec;

use rt::virtio::{DeviceType, Found};

use bridge::Bridge;
use disks::Disks;
use sound::Sound;

/// All of them.
pub(crate) struct Hardware {
    /// The disks.
    pub(crate) disks: Disks,
    /// What joins the network cards.
    pub(crate) bridge: Bridge,
    /// The sound cards.
    pub(crate) sound: Sound,
    /// Requests of guests that were begun since somebody looked.
    pub(crate) begun: usize,
}

impl Hardware {
    /// Brings up what was found. What cannot be used is named.
    pub(crate) fn new(found: Vec<Found>) -> Self {
        let mut hardware =
            Self { disks: Disks::default(), bridge: Bridge::default(), sound: Sound::default(), begun: 0 };
        for Found { transport, kind, interrupt } in found {
            match kind {
                DeviceType::Block => hardware.disks.add(transport, interrupt),
                DeviceType::Network => hardware.bridge.add_card(transport, interrupt),
                DeviceType::Sound => hardware.sound.add(transport, interrupt),
                _ => rt::println!("a virtio device of kind {kind:?} has no driver here"),
            }
        }
        hardware
    }
}
