//! Devices of guests: disks, network cards, sound, a display and a keyboard, which an I/O domain serves. The machine's own
//! devices follow from them (`crate::devices`).

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::place::closest;
use super::{Guest, Scenario};
use crate::devices;

/// What a virtio disk has room for (virtio 1.2, section 5.2.6.2).
const LONGEST_SERIAL: usize = 20;

/// A disk of a guest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disk {
    /// What the guest calls it, such as `xvda`.
    pub(crate) name: String,
    /// Serial number of the machine's disk that it is, or is a part of; its own name if absent.
    serial: Option<String>,
    /// What is on the machine's disk at power-on; absent where another entry of the same serial number says so.
    pub(crate) image: Option<Image>,
    /// Size of the machine's disk, MiB; that of the file where the image is one.
    pub(crate) size_mib: Option<u64>,
    /// What is on the machine's disk, where its image is a table of partitions.
    #[serde(default)]
    pub(crate) partitions: Vec<Part>,
    /// The guest may not write.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// It is only this partition of the machine's disk, from 1.
    pub(crate) partition: Option<u32>,
}

/// A partition of a machine's disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// What is on it at power-on.
    pub(crate) image: Image,
    /// Its size, MiB; that of the file where the image is one.
    pub(crate) size_mib: Option<u64>,
}

/// What is on a disk at power-on.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) enum Image {
    /// Zeros.
    Empty,
    /// An ext4 file system; with the files of a folder, relative to the scenario, if there is one, or with those of a stock guest's
    /// root file system if that is `linux-root`.
    Ext4(Option<PathBuf>),
    /// Partitions, by a table of the form GPT.
    Gpt,
    /// A copy of a file, relative to the scenario.
    File(PathBuf),
}

impl TryFrom<String> for Image {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "empty" => Ok(Self::Empty),
            None if text == "gpt" => Ok(Self::Gpt),
            None if text == "ext4" => Ok(Self::Ext4(None)),
            None if !text.is_empty() => Ok(Self::File(text.into())),
            Some(("ext4", folder)) if !folder.is_empty() => Ok(Self::Ext4(Some(folder.into()))),
            _ => Err(format!("image `{text}` is none of `empty`, `ext4`, `ext4:FOLDER`, `gpt` and the path of a file")),
        }
    }
}

impl Disk {
    /// Serial number of the machine's disk.
    pub(crate) fn serial(&self) -> &str {
        self.serial.as_deref().unwrap_or(&self.name)
    }

    fn check(&self) -> Result<()> {
        let word = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ensure!(word(&self.name), "disk `{}`: a disk's name has letters and digits, such as xvda", self.name);
        let serial = self.serial();
        let plain = serial.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        ensure!(
            plain && (1..=LONGEST_SERIAL).contains(&serial.len()),
            "disk `{}`: serial `{serial}` is not of 1 to {LONGEST_SERIAL} letters, digits, `-` and `_`",
            self.name
        );
        ensure!(self.partition != Some(0), "disk `{}`: partition = 0, but the first one is 1", self.name);
        let table = self.image == Some(Image::Gpt);
        ensure!(
            table != self.partitions.is_empty(),
            "disk `{}`: partitions go with image = \"gpt\", and that with them",
            self.name
        );
        ensure!(self.image.is_some() || self.size_mib.is_none(), "disk `{}`: size_mib without image", self.name);
        for part in &self.partitions {
            ensure!(part.image != Image::Gpt, "disk `{}`: a partition has no partitions", self.name);
        }
        let parts = self.partitions.iter().map(|part| (&part.image, part.size_mib));
        for (image, size_mib) in self.image.iter().map(|image| (image, self.size_mib)).chain(parts) {
            match (image, size_mib) {
                (Image::File(_), Some(_)) => {
                    bail!("disk `{}`: what is a file has the file's size; take size_mib away", self.name)
                }
                (Image::Gpt, Some(_)) => {
                    bail!("disk `{}`: its partitions say how large it is; take size_mib away", self.name)
                }
                (Image::Empty | Image::Ext4(_), None | Some(0)) => {
                    bail!("disk `{}`: it needs size_mib, as its image has no size of its own", self.name)
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A network card of a guest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nic {
    /// Its address.
    pub(crate) mac: Mac,
    /// Most bytes a second that it may send; no limit if absent.
    pub(crate) rate: Option<u64>,
    /// It reaches the machine's network card, and not only other guests.
    #[serde(default = "yes")]
    pub(crate) uplink: bool,
}

fn yes() -> bool {
    true
}

/// An address of a network card.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Mac([u8; 6]);

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("mac `{text}` is no address such as 00:16:3e:00:00:02");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        if bytes[0] & 1 != 0 {
            return Err(format!("mac `{text}` is the address of a group: its first byte must be even"));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// What the machine's network card is connected to.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// A hub that nobody else is connected to: runs repeat.
    #[default]
    Hub,
    /// This host, by addresses that QEMU translates: runs do not repeat.
    User,
    /// The same, but what comes from this host comes all at once each 10 ms of virtual time: as the host has answered by then,
    /// the machine does the same in each run, except for how long it waits.
    Paced,
}

/// Pixels of a display, across and down.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Resolution(pub(crate) u32, pub(crate) u32);

impl TryFrom<String> for Resolution {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=4096).contains(number));
        let (width, height) = text.split_once('x').unwrap_or_default();
        let both = number(width).zip(number(height));
        both.map(|(width, height)| Self(width, height))
            .ok_or_else(|| format!("display `{text}` is no size such as 800x600, up to 4096x4096"))
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}x{}", self.0, self.1)
    }
}

impl Guest {
    /// It has something that an I/O domain serves.
    pub(crate) fn has_devices(&self) -> bool {
        let screen = self.display.is_some() || self.keyboard;
        !self.disks.is_empty() || !self.nics.is_empty() || self.sound || screen
    }
}

impl Scenario {
    /// The guest that serves the others' devices: the first I/O domain.
    pub(crate) fn io_domain(&self) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.io_domain)
    }

    /// Refuses devices that cannot have been meant.
    pub(super) fn check_devices(&self, guest: &Guest) -> Result<()> {
        if !guest.has_devices() {
            return Ok(());
        }
        ensure!(!guest.io_domain, "an I/O domain serves devices of others, and has none itself");
        ensure!(self.io_domain().is_some(), "it has devices, but no guest serves them: give one `io_domain = true`");
        ensure!(!self.machine.cpu().is_of_bochs(), "Bochs, which emulates this CPU, has no such devices");
        let count = devices::of(self).len();
        let most = devices::most(self.machine.board);
        ensure!(count <= most, "the machine would have {count} devices, and has room for {most}");
        for (number, disk) in guest.disks.iter().enumerate() {
            disk.check()?;
            let before = guest.disks.iter().take(number);
            ensure!(before.clone().all(|other| other.name != disk.name), "two disks have the name `{}`", disk.name);
            self.check_image(disk)?;
        }
        for nic in &guest.nics {
            ensure!(nic.rate != Some(0), "nic {}: rate = 0 lets nothing through; take it away for no limit", nic.mac);
            let same = self.guests.iter().flat_map(|guest| &guest.nics).filter(|other| other.mac == nic.mac).count();
            ensure!(same == 1, "nic {}: {same} network cards have this address", nic.mac);
        }
        Ok(())
    }

    /// The machine's disk must be described once.
    fn check_image(&self, disk: &Disk) -> Result<()> {
        let all = || self.guests.iter().flat_map(|guest| &guest.disks);
        let described = all().filter(|other| other.serial() == disk.serial() && other.image.is_some()).count();
        let hint = || closest(disk.serial(), all().filter(|other| other.image.is_some()).map(Disk::serial));
        ensure!(described > 0, "disk `{}`: no disk of serial `{}` has an image{}", disk.name, disk.serial(), hint());
        ensure!(
            described == 1,
            "disk `{}`: {described} images have the serial `{}`; give each its own `serial`",
            disk.name,
            disk.serial()
        );
        Ok(())
    }
}
