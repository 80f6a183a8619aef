//! What must be true of a machine's disks, sound and pictures after it has ended.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::Scenario;
use super::place::closest;

/// One such thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum After {
    /// A disk has a sound ext4 file system, unmounted.
    Fsck(Volume),
    /// A file on a disk has certain contents.
    File(Content),
    /// What was played is what is in a file.
    Sound(Played),
    /// What was played is what the player has decoded.
    Decoded(Decoded),
    /// A picture has a colour at a place, or is one of the clip's.
    Picture(Seen),
}

/// A disk of the machine, or a partition of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Volume {
    /// Its serial number.
    pub(crate) disk: String,
    /// The partition, from 1; all of the disk if absent.
    pub(crate) partition: Option<u32>,
}

/// A file, and what must be in it: each that is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    /// Serial number of the machine's disk.
    pub(crate) disk: String,
    /// The partition, from 1; all of the disk if absent.
    pub(crate) partition: Option<u32>,
    /// Full path in the file system.
    pub(crate) path: String,
    /// Its SHA-256, in hexadecimal digits.
    pub(crate) sha256: Option<String>,
    /// Who has said a line that has its SHA-256 in it.
    pub(crate) said_by: Option<String>,
    /// Part of its text.
    pub(crate) text: Option<String>,
    /// Its size.
    pub(crate) bytes: Option<u64>,
}

/// Sound that must have been played, all of it but for the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Played {
    /// Serial number of the machine's disk that has the file; the host has it if absent.
    pub(crate) disk: Option<String>,
    /// The partition, from 1; all of the disk if absent.
    pub(crate) partition: Option<u32>,
    /// Full path of a WAV file on that disk, or its path relative to the scenario.
    pub(crate) path: String,
    /// Most frames that may be missing at the end: the emulator keeps its last buffer to itself.
    #[serde(default)]
    pub(crate) missing_frames: u64,
}

/// Sound that must have been played: all periods of which a player has told the checksums.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decoded {
    /// The player.
    pub(crate) by: String,
}

/// What must be seen in a picture.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// The picture.
    pub(crate) name: String,
    /// The place, pixels from the left and from the top; anywhere if absent.
    pub(crate) at: Option<[u32; 2]>,
    /// The colour: red, green and blue as hexadecimal digits, `ff0000`; if absent, any two that differ.
    pub(crate) colour: Option<String>,
    /// The number of the clip's picture that it shows in its middle, from 0, as ffmpeg decodes it.
    pub(crate) clip: Option<u32>,
}

impl Content {
    /// Where it is.
    pub(crate) fn volume(&self) -> Volume {
        Volume { disk: self.disk.clone(), partition: self.partition }
    }
}

impl Seen {
    /// The colour in numbers.
    pub(crate) fn rgb(&self) -> Option<[u8; 3]> {
        let [_, red, green, blue] = u32::from_str_radix(self.colour.as_ref()?, 16).ok()?.to_be_bytes();
        Some([red, green, blue])
    }
}

impl Scenario {
    /// Refuses what nothing can fulfil.
    pub(super) fn check_after(&self, after: &After) -> Result<()> {
        match after {
            After::Fsck(volume) => self.check_volume(&volume.disk, volume.partition),
            After::File(file) => {
                let asked = [file.sha256.is_some(), file.said_by.is_some(), file.text.is_some(), file.bytes.is_some()];
                ensure!(asked.contains(&true), "file: it asks nothing; want `sha256`, `said_by`, `text` or `bytes`");
                ensure!(
                    file.path.starts_with('/') && !file.path.contains('"'),
                    "file: `{}` is no full path",
                    file.path
                );
                if let Some(name) = &file.said_by {
                    self.check_speaker(name)?;
                }
                self.check_volume(&file.disk, file.partition)
            }
            After::Sound(sound) => {
                ensure!(self.guests.iter().any(|guest| guest.sound), "sound: no guest has sound (`sound = true`)");
                ensure!(!sound.path.contains('"'), "sound: `{}` is no path", sound.path);
                sound.disk.as_ref().map_or(Ok(()), |disk| self.check_volume(disk, sound.partition))
            }
            After::Decoded(Decoded { by }) => {
                ensure!(self.guests.iter().any(|guest| guest.sound), "decoded: no guest has sound (`sound = true`)");
                self.check_speaker(by)
            }
            After::Picture(seen) => {
                let names = || self.pictures.iter().map(|picture| picture.name.as_str());
                let hint = || closest(&seen.name, names());
                ensure!(names().any(|name| name == seen.name), "picture: no [[picture]] `{}`{}", seen.name, hint());
                let wrong = seen.colour.as_ref().filter(|colour| colour.len() != 6 || seen.rgb().is_none());
                ensure!(wrong.is_none(), "picture: colour `{}` is no such as ff0000", wrong.map_or("", |text| text));
                ensure!(seen.at.is_none() || seen.colour.is_some(), "picture: `at` without a colour");
                ensure!(seen.clip.is_none() || seen.colour.is_none(), "picture: a colour, and a picture of the clip");
                Ok(())
            }
        }
    }

    fn check_speaker(&self, name: &str) -> Result<()> {
        let names = || self.guests.iter().map(|guest| guest.name.as_str()).chain(["hyp"]);
        if names().all(|known| known != name) {
            bail!("said_by = \"{name}\", which is no guest{}", closest(name, names()));
        }
        Ok(())
    }

    fn check_volume(&self, serial: &str, partition: Option<u32>) -> Result<()> {
        let disks = || self.guests.iter().flat_map(|guest| &guest.disks).map(super::Disk::serial);
        ensure!(disks().any(|known| known == serial), "no disk of serial `{serial}`{}", closest(serial, disks()));
        ensure!(partition != Some(0), "partition = 0, but the first one is 1");
        Ok(())
    }
}
