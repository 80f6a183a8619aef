//! What a scenario fixes before its guests run, by the words of Xen's static bindings: memory at given places, memory that
//! guests share, event channels between them, and parts of a device tree.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::{Guest, Scenario};

/// A piece of host memory that a guest gets (`xen,static-mem`).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StaticMemory {
    /// Host address, a multiple of 2 MiB.
    pub(crate) address: u64,
    /// Its size, MiB.
    pub(crate) size_mib: u64,
}

/// Memory that a guest shares with others (`xen,domain-shared-memory-v1`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    /// What all that share it call it.
    pub(crate) id: String,
    /// Where it is in host memory; the hypervisor finds a place if absent.
    pub(crate) host: Option<u64>,
    /// Where the guest sees it.
    pub(crate) guest: u64,
    /// Its size, KiB.
    pub(crate) size_kib: u64,
}

/// One end of an event channel (`xen,evtchn-v1`); the other guest has the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    /// The guest's port.
    pub(crate) port: u32,
    /// The other guest.
    pub(crate) to: String,
    /// The port there.
    pub(crate) remote_port: u32,
}

/// Eight bytes that the loader puts into host memory, where no module is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    /// Host address.
    pub(crate) address: u64,
    /// What is there, in the order of bytes of the machine.
    pub(crate) value: u64,
}

impl Scenario {
    /// The handle by which the tree names an end of an event channel: far from those that QEMU uses.
    pub(crate) fn channel_handle(&self, guest: &str, port: u32) -> Option<u32> {
        let number = self.guests.iter().position(|other| other.name == guest)?;
        let ends = &self.guests.get(number)?.channels;
        ends.iter().any(|end| end.port == port).then_some(0x10_0000 + 0x1000 * number as u32 + port)
    }

    /// Refuses what cannot have been meant; what only the hypervisor can judge is left to it.
    pub(super) fn check_fixed(&self, guest: &Guest) -> Result<()> {
        let sum: u64 = guest.static_memory.iter().map(|piece| piece.size_mib).sum();
        if !guest.static_memory.is_empty() {
            ensure!(sum == guest.memory_mib, "static_memory has {sum} MiB, but memory_mib = {}", guest.memory_mib);
        }
        for end in &guest.channels {
            ensure!((1..1024).contains(&end.port), "port = {} is not between 1 and 1023", end.port);
            let Some(other) = self.guests.iter().find(|other| other.name == end.to) else {
                bail!("channel to `{}`, which is no guest of this scenario", end.to);
            };
            let back = |far: &&super::Channel| far.port == end.remote_port && far.to == guest.name;
            if other.channels.iter().find(back).is_none_or(|far| far.remote_port != end.port) {
                bail!("port {} leads to port {} of `{}`, which does not lead back", end.port, end.remote_port, end.to);
            }
        }
        for setting in &guest.device_tree {
            ensure!(setting.node.starts_with('/'), "device_tree: node `{}` is no full path", setting.node);
        }
        Ok(())
    }
}
