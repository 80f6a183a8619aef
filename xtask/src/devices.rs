//! The devices of a machine, which follow from what its scenario gives the guests: each disk once, whoever has parts of it.
//! Their order is their place on the machine's buses, so that the same scenario always gives the same machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::disk;
use crate::scenario::{Disk, Scenario};

/// Where files in memory go, on machines that have that: disks there complete each request at once, which the emulator's
/// deterministic clock needs.
const MEMORY: &str = "/dev/shm";

/// Most devices of a machine: QEMU's `virt` has so many places for virtio.
pub(crate) const MOST: usize = 32;

/// One device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Device<'s> {
    /// A disk, and whether it may be written.
    Disk(&'s Disk, bool),
}

/// All of a machine's devices.
pub(crate) fn of(scenario: &Scenario) -> Vec<Device<'_>> {
    let all = || scenario.guests.iter().flat_map(|guest| &guest.disks);
    let writable = |disk: &Disk| all().any(|other| other.serial() == disk.serial() && !other.read_only);
    let disks = all().filter(|disk| disk.image.is_some());
    disks.map(|disk| Device::Disk(disk, writable(disk))).collect()
}

/// The files behind a machine's devices; those in memory go with it.
#[derive(Debug, Default)]
pub(crate) struct Files {
    folder: PathBuf,
    in_memory: bool,
}

impl Files {
    /// Makes them for a machine, in memory or in the scenario's own folder.
    ///
    /// # Errors
    /// Names the disk that cannot be made.
    pub(crate) fn make(scenario: &Scenario, own: &Path) -> Result<Self> {
        let devices = of(scenario);
        if devices.is_empty() {
            return Ok(Self::default());
        }
        let mut bytes = 0;
        for Device::Disk(disk, _) in &devices {
            bytes += disk::size(scenario, disk)?;
        }
        let files = Self::place(own, bytes)?;
        for Device::Disk(disk, _) in &devices {
            let path = files.disk(disk.serial());
            disk::make(scenario, disk, &path).with_context(|| format!("disk `{}`", disk.serial()))?;
        }
        Ok(files)
    }

    /// The file of the machine's disk of this serial number.
    pub(crate) fn disk(&self, serial: &str) -> PathBuf {
        self.folder.join(format!("{serial}.img"))
    }

    /// Whether requests to them are done at once.
    pub(crate) fn are_in_memory(&self) -> bool {
        self.in_memory
    }

    fn place(own: &Path, bytes: u64) -> Result<Self> {
        // Two checkouts run tests beside each other, and a run that was killed has left its files.
        let own = std::path::absolute(own)?;
        let folder = Path::new(MEMORY).join(format!("makuhari{}", own.display().to_string().replace('/', "-")));
        let has_room = disk::room(Path::new(MEMORY)).is_some_and(|room| room > bytes);
        if has_room && std::fs::create_dir_all(&folder).is_ok() {
            return Ok(Self { folder, in_memory: true });
        }
        std::fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
        Ok(Self { folder: own, in_memory: false })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.in_memory {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
