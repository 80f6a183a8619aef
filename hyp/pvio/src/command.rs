//! What is typed to who serves devices, to give guests some at run time and take them again.
//!
//! A line is a command: words with blanks between. Who typed it sees nothing but the answer, so an error names the word that
//! is wrong and what could stand in its place.

use alloc::format;
use alloc::string::String;
use core::mem;

use crate::description::{Disk, Nic, address, disk_number};

/// All commands.
pub const HELP: &str = "\
attach GUEST disk xvdb=NAME[:PARTITION][,ro]                    gives a guest a disk of the machine's, or a partition
attach GUEST nic [mac=XX:XX:XX:XX:XX:XX][,rate=BYTES][,uplink=off]   gives a guest a network card
detach GUEST xvdb|MAC [force]    asks a guest to let go of one, and takes it; force: takes it without asking
list                             all guests' devices
crash                            ends this domain as by a fault: if it is restarted, guests do not notice
help                             this";

/// Most bytes of a line.
pub const LONGEST: usize = 256;

/// A device to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A disk.
    Disk(Disk),
    /// A network card.
    Nic(Nic),
}

/// A device that a guest has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The disk with this number.
    Disk(u32),
    /// The network card with this address.
    Nic(String),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Gives a guest a device.
    Attach {
        /// The guest, by its name or its number.
        guest: String,
        /// The device.
        device: Wanted,
    },
    /// Takes a device from a guest.
    Detach {
        /// The guest, by its name or its number.
        guest: String,
        /// The device.
        device: Named,
        /// The guest is not asked.
        force: bool,
    },
    /// Shows all devices.
    List,
    /// Ends the I/O domain.
    Crash,
    /// Shows all commands.
    Help,
}

impl Command {
    /// Reads a line; nothing if there is no word in it.
    ///
    /// # Errors
    /// Which word is wrong or missing, where, and what could be there.
    pub fn parse(line: &str) -> Result<Option<Self>, String> {
        let mut words = line.split_ascii_whitespace();
        let Some(verb) = words.next() else { return Ok(None) };
        let mut next = |what: &str| words.next().ok_or_else(|| format!("{verb}: {what} is missing; see `help`"));
        let command = match verb {
            "attach" => {
                let guest: String = next("the guest")?.into();
                let kind = next("`disk` or `nic`")?;
                let device = match kind {
                    "disk" => Disk::parse(next("the disk")?).map(Wanted::Disk),
                    "nic" => Nic::parse(words.next().unwrap_or_default()).map(Wanted::Nic),
                    _ => Err(format!("{kind:?} cannot be attached; want `disk` or `nic`")),
                };
                Self::Attach { device: device.map_err(|why| format!("attach {guest}: {why}"))?, guest }
            }
            "detach" => {
                let (guest, device): (String, _) = (next("the guest")?.into(), next("the device")?);
                let device = Named::parse(device).map_err(|why| format!("detach {guest}: {why}"))?;
                let force = match words.next() {
                    None => false,
                    Some("force") => true,
                    Some(word) => return Err(format!("detach {guest}: {word:?} is not `force`")),
                };
                Self::Detach { guest, device, force }
            }
            "list" => Self::List,
            "crash" => Self::Crash,
            "help" => Self::Help,
            _ => return Err(format!("{verb:?} is no command; see `help`")),
        };
        match words.next() {
            None => Ok(Some(command)),
            Some(word) => Err(format!("{verb}: {word:?} is one word too many; see `help`")),
        }
    }
}

impl Named {
    fn parse(text: &str) -> Result<Self, String> {
        let disk = disk_number(text).map(Self::Disk);
        let found = disk.or_else(|| address(text).map(Self::Nic));
        found.ok_or_else(|| format!("{text:?} is no disk such as xvdb and no address such as 00:16:3e:00:00:02"))
    }
}

/// A line that is being typed.
#[derive(Debug, Default)]
pub struct Line {
    bytes: String,
    too_long: bool,
}

impl Line {
    /// Takes a byte; the line, when that was its end.
    ///
    /// # Errors
    /// The line was too long; it is gone.
    pub fn take(&mut self, byte: u8) -> Option<Result<String, String>> {
        match byte {
            b'\r' | b'\n' => {
                let line = mem::take(&mut self.bytes);
                let too_long = mem::take(&mut self.too_long);
                return Some(if too_long { Err(format!("a line of more than {LONGEST} bytes")) } else { Ok(line) });
            }
            // Backspace, as terminals send it.
            0x08 | 0x7f => _ = self.bytes.pop(),
            _ if self.bytes.len() >= LONGEST => self.too_long = true,
            b' '..=b'~' => self.bytes.push(byte.into()),
            // The answer shows it.
            _ => self.bytes.push('?'),
        }
        None
    }
}
