//! The machine's own devices, which guests share.

pub(crate) mod bridge;
pub(crate) mod disks;
pub(crate) mod keyboard;
pub(crate) mod partitions;
pub(crate) mod screen;
pub(crate) mod sound;

use alloc::vec::Vec;

use rt::virtio::{DeviceType, Found};

use crate::device::disk::Mappings;
use bridge::Bridge;
use disks::Disks;
use keyboard::Keyboards;
use screen::Screen;
use sound::Sound;

/// All of them.
#[derive(Default)]
pub(crate) struct Hardware {
    /// The disks.
    pub(crate) disks: Disks,
    /// What joins the network cards.
    pub(crate) bridge: Bridge,
    /// The sound cards.
    pub(crate) sound: Sound,
    /// The display.
    pub(crate) screen: Screen,
    /// Pages of guests that may be kept mapped.
    pub(crate) mappings: Mappings,
    /// The keyboards.
    pub(crate) keyboards: Keyboards,
    /// Requests of guests that were begun since somebody looked.
    pub(crate) begun: usize,
}

impl Hardware {
    /// Brings up what was found. What cannot be used is named. `screen`: columns and lines of guests' largest pictures.
    pub(crate) fn new(found: Vec<Found>, screen: Option<(u32, u32)>) -> Self {
        let mut hardware = Self::default();
        for Found { transport, kind, interrupt } in found {
            match kind {
                DeviceType::Block => hardware.disks.add(transport, interrupt),
                DeviceType::Network => hardware.bridge.add_card(transport, interrupt),
                DeviceType::Sound => hardware.sound.add(transport, interrupt),
                DeviceType::GPU => match screen {
                    Some(size) => hardware.screen.add(transport, interrupt, size),
                    None => rt::println!("there is a display, and no guest has makuhari,display"),
                },
                DeviceType::Input => hardware.keyboards.add(transport, interrupt),
                _ => rt::println!("a virtio device of kind {kind:?} has no driver here"),
            }
        }
        hardware
    }
}
