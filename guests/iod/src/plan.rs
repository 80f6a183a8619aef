//! Which devices each guest is to have: the loader's device tree, which is our RAM disk, says so in the nodes of the guests
//! (`hyp/docs/dom0less.md`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

/// Most columns, and most lines, of a display.
const MOST_PIXELS: u32 = 4096;

/// A guest, and what it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Its number.
    pub(crate) domain: u16,
    /// The name of its node.
    pub(crate) name: String,
    /// It has xenstore and a console.
    pub(crate) enhanced: bool,
    /// It is an I/O domain itself.
    pub(crate) serves: bool,
    /// Its disks.
    pub(crate) disks: Vec<Disk>,
    /// Its network cards.
    pub(crate) nics: Vec<Nic>,
    /// It has a sound card.
    pub(crate) sound: bool,
    /// Columns and lines of its display.
    pub(crate) display: Option<(u32, u32)>,
    /// It has a keyboard.
    pub(crate) keyboard: bool,
}

/// `makuhari,nic`: "[mac=XX:XX:XX:XX:XX:XX][,rate=BYTES][,uplink=off]".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nic {
    /// Its address, as text.
    pub(crate) address: String,
    /// Bytes that it may send in a second.
    pub(crate) rate: Option<u64>,
    /// It reaches the machine's own cards.
    pub(crate) uplink: bool,
}

/// `makuhari,disk`: "xvda=NAME[:PARTITION][,ro]".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// What the guest calls it.
    pub(crate) name: String,
    /// The number of that name.
    pub(crate) number: u32,
    /// The name that the device itself has.
    pub(crate) device: String,
    /// Which partition of it; none for all of it.
    pub(crate) partition: Option<u32>,
    /// It cannot be written.
    pub(crate) read_only: bool,
}

/// All guests in the order of the tree, and what is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The guests; one of them is us.
    pub(crate) guests: Vec<Guest>,
    /// Our number.
    pub(crate) own: u16,
    /// Where our RAM begins in the machine, if the tree says.
    pub(crate) memory: Option<u64>,
    /// Where we see the memory that outlives us, and its bytes.
    pub(crate) kept: Option<(u64, u64)>,
}

impl Plan {
    /// Reads the tree.
    ///
    /// # Errors
    /// What is wrong, and in which node.
    pub(crate) fn read(tree: &[u8]) -> Result<Self, String> {
        let tree = Fdt::new(tree).map_err(|error| format!("the RAM disk is no device tree: {error}"))?;
        let chosen = tree.find_node("/chosen").ok_or("the loader's tree has no /chosen")?;
        let mut plan = Self { guests: Vec::new(), own: 0, memory: None, kept: None };
        // Guests are numbered from 1 in the order of the tree.
        let nodes = chosen.children().filter(|node| has_word(node, "compatible", "xen,domain"));
        for (node, domain) in nodes.zip(1..) {
            let guest = guest(&node, domain).map_err(|what| format!("/chosen/{}: {what}", node.name()))?;
            if guest.serves && plan.own == 0 {
                plan.own = domain;
                plan.memory = bytes(&node, "xen,static-mem").and_then(first_number);
                plan.kept = node.children().find_map(|child| kept(&child));
            }
            plan.guests.push(guest);
        }
        if plan.own == 0 {
            return Err("no guest in /chosen has makuhari,io-domain".into());
        }
        Ok(plan)
    }
}

impl Plan {
    /// Columns and lines of which a display has room for any guest's picture; none if no guest is to have one.
    pub(crate) fn screen(&self) -> Option<(u32, u32)> {
        let sizes = self.guests.iter().filter_map(|guest| guest.display);
        sizes.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    }
}

fn guest(node: &FdtNode<'_>, domain: u16) -> Result<Guest, String> {
    let enhanced = bytes(node, "xen,enhanced").is_some_and(|value| {
        let word = value.strip_suffix(&[0]).unwrap_or(value);
        word.is_empty() || word == b"enabled"
    });
    let disks = strings(node, "makuhari,disk")?;
    let disks = disks.iter().map(|text| disk(text)).collect::<Result<_, _>>()?;
    let nics = strings(node, "makuhari,nic")?;
    let nics = nics.iter().zip(0..).map(|(text, number)| nic(text, domain, number)).collect::<Result<_, _>>()?;
    let sound = flag(node, "makuhari,sound")?;
    let display = strings(node, "makuhari,display")?.first().map(|text| display(text)).transpose()?;
    let keyboard = flag(node, "makuhari,keyboard")?;
    let serves = bytes(node, "makuhari,io-domain").is_some();
    Ok(Guest { domain, name: node.name().to_string(), enhanced, serves, disks, nics, sound, display, keyboard })
}

/// A device without options.
fn flag(node: &FdtNode<'_>, name: &str) -> Result<bool, String> {
    match bytes(node, name) {
        None => Ok(false),
        Some(&[] | &[0]) => Ok(true),
        Some(_) => Err(format!("{name} has a value, but there is no option yet")),
    }
}

/// `makuhari,display`: "800x600".
fn display(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.parse().ok().filter(|number| (1..=MOST_PIXELS).contains(number));
    let size = text.split_once('x').and_then(|(width, height)| Some((number(width)?, number(height)?)));
    size.ok_or_else(|| format!("makuhari,display {text:?}: want \"800x600\", at most {MOST_PIXELS} each"))
}

fn disk(text: &str) -> Result<Disk, String> {
    let wrong = |why: &str| format!("makuhari,disk {text:?}: {why}; want \"xvda=NAME[:PARTITION][,ro]\"");
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
    let number = device_number(name).ok_or_else(|| wrong("the name is not xvda to xvdp, with a number or without"))?;
    if device.is_empty() {
        return Err(wrong("no name of a device"));
    }
    Ok(Disk { name: name.into(), number, device: device.into(), partition, read_only })
}

fn nic(text: &str, domain: u16, number: u8) -> Result<Nic, String> {
    let wrong =
        |why: &str| format!("makuhari,nic {text:?}: {why}; want \"[mac=XX:XX:XX:XX:XX:XX][,rate=BYTES][,uplink=off]\"");
    // Xen's own range of addresses, as its tools use it.
    let address = format!("00:16:3e:00:{:02x}:{number:02x}", domain & 0xff);
    let mut nic = Nic { address, rate: None, uplink: true };
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("mac", address)) if is_address(address) => nic.address = address.into(),
            Some(("mac", _)) => return Err(wrong("no address of one card")),
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

/// Six bytes in hexadecimal with colons between, not for a group.
fn is_address(text: &str) -> bool {
    let bytes: Vec<Option<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)).collect();
    bytes.len() == 6 && bytes.iter().all(Option::is_some) && bytes[0].is_some_and(|first| first & 1 == 0)
}

/// The number of a virtual disk of this name (Xen's `vbd-interface`): major 202, 16 minors for each disk.
fn device_number(name: &str) -> Option<u32> {
    let mut rest = name.strip_prefix("xvd")?.chars();
    let letter = rest.next().filter(|letter| ('a'..='p').contains(letter))?;
    let partition = match rest.as_str() {
        "" => 0,
        digits => digits.parse().ok().filter(|number| (1..16).contains(number))?,
    };
    Some(202 << 8 | (letter as u32 - 'a' as u32) << 4 | partition)
}

fn bytes<'a>(node: &FdtNode<'a>, name: &str) -> Option<&'a [u8]> {
    node.property(name)?.value_as().ok()
}

fn has_word(node: &FdtNode<'_>, name: &str, word: &str) -> bool {
    bytes(node, name).is_some_and(|value| value.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
}

/// A list of texts; an absent property is an empty one.
fn strings<'a>(node: &FdtNode<'a>, name: &str) -> Result<Vec<&'a str>, String> {
    let Some(value) = bytes(node, name) else { return Ok(Vec::new()) };
    let text = value.strip_suffix(&[0]).and_then(|value| str::from_utf8(value).ok());
    let text = text.ok_or_else(|| format!("{name} is no list of texts"))?;
    Ok(text.split('\0').collect())
}

/// The address and the size of shared memory that we call "iod", as its owner sees it.
fn kept(node: &FdtNode<'_>) -> Option<(u64, u64)> {
    let ours = has_word(node, "compatible", "xen,domain-shared-memory-v1") && has_word(node, "xen,shm-id", "iod");
    let value = bytes(node, "xen,shared-mem").filter(|_| ours)?;
    // A host address may come first.
    let wide = matches!(value.len(), 16 | 24);
    let (rest, size) = value.split_at_checked(value.len().checked_sub(if wide { 8 } else { 4 })?)?;
    let (_, guest) = rest.split_at_checked(rest.len().checked_sub(size.len())?)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    Some((number(guest), number(size)))
}

/// The first number of a property: of two cells, or of one where it has no more than two.
fn first_number(value: &[u8]) -> Option<u64> {
    match value.len() {
        8 => Some(u64::from(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))),
        _ => Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?)),
    }
}
