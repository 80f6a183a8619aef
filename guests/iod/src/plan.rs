//! Which devices each guest is to have: the loader's device tree, which is our RAM disk, says so in the nodes of the guests
//! (`hyp/docs/dom0less.md`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use hyp_pvio::description::{Disk, Nic};

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
    /// Its network cards, in the order of their numbers.
    pub(crate) nics: Vec<Nic>,
    /// It has a sound card.
    pub(crate) sound: bool,
    /// Columns and lines of its display.
    pub(crate) display: Option<(u32, u32)>,
    /// It has a keyboard.
    pub(crate) keyboard: bool,
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

/// The properties.
const DISK: &str = "makuhari,disk";
const NIC: &str = "makuhari,nic";

fn guest(node: &FdtNode<'_>, domain: u16) -> Result<Guest, String> {
    let enhanced = bytes(node, "xen,enhanced").is_some_and(|value| {
        let word = value.strip_suffix(&[0]).unwrap_or(value);
        word.is_empty() || word == b"enabled"
    });
    let disks = strings(node, DISK)?.into_iter().map(|text| Disk::parse(text).map_err(|why| format!("{DISK} {why}")));
    let disks = disks.collect::<Result<_, _>>()?;
    let nics = strings(node, NIC)?.into_iter().map(|text| Nic::parse(text).map_err(|why| format!("{NIC} {why}")));
    let nics = nics.collect::<Result<_, _>>()?;
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
