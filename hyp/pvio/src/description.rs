//! How disks and network cards of guests are described: in the loader's tree, by who attaches one to a running guest, and in
//! xenstore, where the I/O domain keeps what it serves. One form for all three, so that what one says the others can read.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// The form of a disk's.
const DISK: &str = "xvda=NAME[:PARTITION][,ro]";
/// The form of a network card's.
const NIC: &str = "[mac=XX:XX:XX:XX:XX:XX][,rate=BYTES][,uplink=off]";

/// A disk: "xvda=NAME[:PARTITION][,ro]".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What the guest calls it.
    pub name: String,
    /// The number of that name.
    pub number: u32,
    /// The name that the device itself has.
    pub device: String,
    /// Which partition of it, from 1; none for all of it.
    pub partition: Option<u32>,
    /// It cannot be written.
    pub read_only: bool,
}

impl Disk {
    /// Reads one.
    ///
    /// # Errors
    /// The text, what is wrong with it, and the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?}: {why}; want {DISK:?}");
        let mut words = text.split(',');
        let (name, device) = words.next().and_then(|word| word.split_once('=')).ok_or_else(|| wrong("no `=`"))?;
        let (device, partition) = match device.split_once(':') {
            None => (device, None),
            Some((device, number)) => {
                let number = number.parse().ok().filter(|number| *number != 0);
                (device, Some(number.ok_or_else(|| wrong("the partition is no number from 1 on"))?))
            }
        };
        let mut read_only = false;
        for word in words {
            match word {
                "ro" => read_only = true,
                _ => return Err(wrong(&format!("unknown option `{word}`"))),
            }
        }
        let number =
            disk_number(name).ok_or_else(|| wrong("the name is not xvda to xvdp, with a number or without"))?;
        if device.is_empty() {
            return Err(wrong("no name of a device"));
        }
        Ok(Self { name: name.into(), number, device: device.into(), partition, read_only })
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, device, partition, read_only, .. } = self;
        write!(out, "{name}={device}")?;
        partition.iter().try_for_each(|number| write!(out, ":{number}"))?;
        out.write_str(if *read_only { ",ro" } else { "" })
    }
}

/// A network card: "[mac=XX:XX:XX:XX:XX:XX][,rate=BYTES][,uplink=off]".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its address, as text in small letters; none where somebody else is to choose one.
    pub address: Option<String>,
    /// Bytes that it may send in a second.
    pub rate: Option<u64>,
    /// It reaches the machine's own cards.
    pub uplink: bool,
}

impl Nic {
    /// Reads one.
    ///
    /// # Errors
    /// The text, what is wrong with it, and the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?}: {why}; want {NIC:?}");
        let mut nic = Self { address: None, rate: None, uplink: true };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("mac", text)) => {
                    nic.address = Some(address(text).ok_or_else(|| wrong("no address of one card"))?)
                }
                Some(("rate", rate)) => {
                    let rate = rate.parse().ok().filter(|rate| *rate > 0);
                    nic.rate = Some(rate.ok_or_else(|| wrong("the rate is no number of bytes a second"))?);
                }
                Some(("uplink", "on")) => nic.uplink = true,
                Some(("uplink", "off")) => nic.uplink = false,
                _ => return Err(wrong(&format!("unknown option `{word}`"))),
            }
        }
        Ok(nic)
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(address) = &self.address {
            write!(out, "mac={address}")?;
            comma = ",";
        }
        if let Some(rate) = self.rate {
            write!(out, "{comma}rate={rate}")?;
            comma = ",";
        }
        if self.uplink { Ok(()) } else { write!(out, "{comma}uplink=off") }
    }
}

/// An address: six bytes in hexadecimal with colons between, not for a group. In small letters.
pub fn address(text: &str) -> Option<String> {
    let is_byte = |text: &str| text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let first = text.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok())?;
    let fits = first & 1 == 0 && text.split(':').count() == 6 && text.split(':').all(is_byte);
    fits.then(|| text.to_ascii_lowercase())
}

/// The number of a virtual disk of this name (Xen's `vbd-interface`): major 202, 16 minors for each disk.
pub fn disk_number(name: &str) -> Option<u32> {
    let mut rest = name.strip_prefix("xvd")?.chars();
    let letter = rest.next().filter(|letter| ('a'..='p').contains(letter))?;
    let partition = match rest.as_str() {
        "" => 0,
        // One form for each number, so that a name is a disk's only one.
        digits => digits.parse().ok().filter(|number| (1..16).contains(number) && !digits.starts_with(['0', '+']))?,
    };
    Some(202 << 8 | (letter as u32 - 'a' as u32) << 4 | partition)
}
