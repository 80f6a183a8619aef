//! The devices of a machine, which follow from what its scenario gives the guests: each disk once, whoever has parts of it,
//! and one of each other kind that somebody has. Their order is their place on the machine's buses, so that the same scenario
//! always gives the same machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::board::Board;
use crate::disk;
use crate::scenario::{Disk, Resolution, Scenario};

/// Where files in memory go, on machines that have that: disks there complete each request at once, which the emulator's
/// deterministic clock needs.
const MEMORY: &str = "/dev/shm";

/// Most devices of a machine: QEMU's `virt` has so many places for virtio, a PC's bus a few less that are free.
pub(crate) fn most(board: Board) -> usize {
    match board {
        Board::QemuVirt => 32,
        Board::X86 => 30,
    }
}

/// One device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Device<'s> {
    /// A disk, and whether it may be written.
    Disk(&'s Disk, bool),
    /// A network card.
    Network,
    /// Sound, of which a file is left, with a stream for each of so many guests.
    Sound(usize),
    /// A display.
    Display(Resolution),
    /// A keyboard.
    Keyboard,
}

/// All of a machine's devices.
pub(crate) fn of(scenario: &Scenario) -> Vec<Device<'_>> {
    let all = || scenario.guests.iter().flat_map(|guest| &guest.disks);
    let writable = |disk: &Disk| all().any(|other| other.serial() == disk.serial() && !other.read_only);
    let disks = all().filter(|disk| disk.image.is_some());
    let disks = disks.map(|disk| Device::Disk(disk, writable(disk)));
    let guests = &scenario.guests;
    let network = guests.iter().flat_map(|guest| &guest.nics).any(|nic| nic.uplink);
    let sound = guests.iter().filter(|guest| guest.sound).count();
    let displays = guests.iter().filter_map(|guest| guest.display);
    let display = displays.reduce(|one, other| Resolution(one.0.max(other.0), one.1.max(other.1)));
    let keyboard = guests.iter().any(|guest| guest.keyboard);
    disks
        .chain(network.then_some(Device::Network))
        .chain((sound > 0).then_some(Device::Sound(sound)))
        .chain(display.map(Device::Display))
        .chain(keyboard.then_some(Device::Keyboard))
        .collect()
}

/// The files behind a machine's devices; those in memory go with it.
#[derive(Debug, Default)]
pub(crate) struct Files {
    own: PathBuf,
    memory: Option<PathBuf>,
}

impl Files {
    /// Makes them for a machine, disks in memory if there is room, what a person wants to see in the scenario's own folder.
    ///
    /// # Errors
    /// Names the disk that cannot be made.
    pub(crate) fn make(scenario: &Scenario, own: &Path) -> Result<Self> {
        let mut files = Self { own: own.to_owned(), memory: None };
        let devices = of(scenario);
        let disks: Vec<&Disk> = devices
            .iter()
            .filter_map(|device| if let Device::Disk(disk, _) = device { Some(*disk) } else { None })
            .collect();
        if devices.is_empty() {
            return Ok(files);
        }
        std::fs::create_dir_all(own).with_context(|| format!("cannot create {}", own.display()))?;
        let mut bytes = 0;
        for disk in &disks {
            bytes += disk::size(scenario, disk)?;
        }
        if bytes > 0 && disk::room(Path::new(MEMORY)).is_some_and(|room| room > bytes) {
            // Two checkouts run tests beside each other; a run that was killed has left its files, which are made anew.
            let own = std::path::absolute(own)?.display().to_string();
            let folder = Path::new(MEMORY).join(format!("makuhari{}", own.replace('/', "-")));
            files.memory = std::fs::create_dir_all(&folder).is_ok().then_some(folder);
        }
        for disk in disks {
            let path = files.disk(disk.serial());
            disk::make(scenario, disk, &path).with_context(|| format!("disk `{}`", disk.serial()))?;
        }
        Ok(files)
    }

    /// Keeps the disks of a run that somebody will want to look into, in the scenario's own folder; their names.
    ///
    /// # Errors
    /// One cannot be copied.
    pub(crate) fn keep(&mut self) -> Result<Vec<PathBuf>> {
        let Some(folder) = &self.memory else { return Ok(Vec::new()) };
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let from = entry?.path();
            let to = self.own(&from.file_name().unwrap_or_default().to_string_lossy());
            disk::copy_file(&from, &to)?;
            kept.push(to);
        }
        Ok(kept)
    }

    /// The file of the machine's disk of this serial number.
    pub(crate) fn disk(&self, serial: &str) -> PathBuf {
        self.memory.as_ref().unwrap_or(&self.own).join(format!("{serial}.img"))
    }

    /// What was played.
    pub(crate) fn sound(&self) -> PathBuf {
        self.own("sound.wav")
    }

    /// A picture of the display, by its name.
    pub(crate) fn picture(&self, name: &str) -> PathBuf {
        self.own(&format!("{name}.png"))
    }

    /// A file of this name in the scenario's own folder.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.own.join(name)
    }

    /// Whether disks are in memory, so that requests to them are done at once.
    pub(crate) fn are_in_memory(&self) -> bool {
        self.memory.is_some()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Some(folder) = &self.memory {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
