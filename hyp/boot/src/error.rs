//! What can be wrong with a boot, each in one line that names the node, the property, the value, and what to do.
//!
//! These lines are the whole conversation with a person whose machine does not come up: there is no shell to ask.

use core::fmt;

use dtoolkit::Property;
use dtoolkit::error::{FdtErrorKind, FdtParseError};
use dtoolkit::fdt::FdtProperty;

use crate::{Path, Region};

/// What lies where a module may not lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner<'a> {
    /// Another module.
    Module(Path<'a>),
    /// The hypervisor's image.
    Hypervisor,
    /// The device tree itself.
    DeviceTree,
}

/// Why the machine cannot start its guests. [`Display`](fmt::Display) is the message for the console.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BootError<'a> {
    /// The blob is no device tree, or its structure is broken.
    Damaged(&'static str),
    /// No RAM.
    NoMemory,
    /// No CPU.
    NoCpu,
    /// No interrupt controller that the hypervisor drives.
    NoGic,
    /// No architected timer with an interrupt for the hypervisor.
    NoTimer,
    /// No node under `/chosen` describes a guest.
    NoGuest,
    /// More of something than the hypervisor has room for.
    TooMany {
        /// The first node that does not fit.
        path: Path<'a>,
        /// What there are too many of.
        what: &'static str,
        /// How many fit.
        limit: usize,
    },
    /// A property is absent that must be there.
    Missing {
        /// The node.
        path: Path<'a>,
        /// The property, with an example of its value.
        property: &'static str,
    },
    /// A property is malformed.
    BadValue {
        /// The node.
        path: Path<'a>,
        /// The property.
        property: &'static str,
        /// What it must be.
        want: &'static str,
    },
    /// A property's number is out of range.
    BadNumber {
        /// The node.
        path: Path<'a>,
        /// The property.
        property: &'static str,
        /// The number it has.
        value: u64,
        /// What it must be.
        want: &'static str,
    },
    /// A property's word is none of those it knows.
    BadWord {
        /// The node.
        path: Path<'a>,
        /// The property.
        property: &'static str,
        /// The word it has.
        word: &'a str,
        /// The words that it may have.
        want: &'static str,
    },
    /// A property with our prefix that we do not have.
    UnknownProperty {
        /// The node.
        path: Path<'a>,
        /// The property.
        property: FdtProperty<'a>,
        /// One of ours that is spelled nearly so.
        near: Option<&'static str>,
    },
    /// Two guests of one name.
    DuplicateName {
        /// The second node.
        path: Path<'a>,
        /// The name.
        name: &'a str,
    },
    /// `makuhari,peers` names a guest that is not there.
    UnknownPeer {
        /// The node.
        path: Path<'a>,
        /// The name.
        name: &'a str,
    },
    /// A guest has a name that it may not have, no kernel, or two, or a module of an unknown kind.
    BadNode {
        /// The guest's node or the module's.
        path: Path<'a>,
        /// What is wrong and what to do.
        what: &'static str,
    },
    /// A module that is a device tree is damaged.
    DamagedModule {
        /// The module.
        path: Path<'a>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A partial device tree gives a device to a guest that it cannot have.
    Device {
        /// The module.
        path: Path<'a>,
        /// The device's node in it.
        node: Path<'a>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A module shares memory with something else.
    Overlap {
        /// The module.
        path: Path<'a>,
        /// Where it is.
        place: Region,
        /// What else is there.
        owner: Owner<'a>,
        /// Where that is.
        other: Region,
    },
    /// A module is not in RAM.
    OutsideRam {
        /// The module.
        path: Path<'a>,
        /// Where it is.
        place: Region,
    },
    /// A guest is larger than what is left of the machine's memory.
    NoRoom {
        /// The guest's name.
        name: &'a str,
        /// What it asks for, in bytes.
        want: u64,
        /// The largest free piece, in bytes.
        largest: u64,
        /// All free memory, in bytes.
        total: u64,
    },
    /// No memory for the hypervisor's own tables.
    NoPool {
        /// What they need, in bytes.
        want: u64,
        /// The largest free piece, in bytes.
        largest: u64,
    },
    /// A kernel module is no arm64 Image.
    NotAnImage {
        /// The module.
        path: Path<'a>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Kernel, device tree and ramdisk do not fit into the guest's first bank of memory.
    TooLarge {
        /// The guest's node.
        path: Path<'a>,
        /// Bytes of the kernel in memory, from the start of the bank.
        kernel: u64,
        /// Bytes of the ramdisk.
        ramdisk: u64,
        /// Bytes of the bank.
        bank: u64,
    },
}

impl fmt::Display for BootError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Damaged(what) => write!(f, "the device tree is damaged ({what}): make it again with dtc and load all of it"),
            Self::NoMemory => f.write_str("the device tree has no memory: it needs a /memory node with device_type = \"memory\" and reg"),
            Self::NoCpu => f.write_str("the device tree has no CPU: it needs a node /cpus/cpu@0 with device_type = \"cpu\" and reg"),
            Self::NoGic => f.write_str("the device tree has no interrupt controller that this hypervisor drives: arm,gic-v3, arm,gic-400 or arm,cortex-a15-gic with a maintenance interrupt"),
            Self::NoTimer => f.write_str("the device tree has no arm,armv8-timer with four interrupts, the fourth for the hypervisor"),
            Self::NoGuest => f.write_str("/chosen names no guest: add a node with compatible = \"xen,domain\", memory, cpus and a module with compatible = \"multiboot,kernel\""),
            Self::TooMany { path, what, limit } => write!(f, "{path}: this hypervisor has room for {limit} {what}, and this is one more: remove it"),
            Self::Missing { path, property } => write!(f, "{path} lacks a property: add {property}"),
            Self::BadValue { path, property, want } => write!(f, "{path}: {property} must be {want}"),
            Self::BadNumber { path, property, value, want } => write!(f, "{path}: {property} is {value} and must be {want}"),
            Self::BadWord { path, property, word, want } => write!(f, "{path}: {property} is \"{word}\" and must be {want}"),
            Self::UnknownProperty { path, property, near } => {
                write!(f, "{path}: {} is not a property of this hypervisor", property.name())?;
                match near {
                    Some(near) => write!(f, " (did you mean {near}?)"),
                    None => f.write_str(": remove it"),
                }
            }
            Self::DuplicateName { path, name } => write!(f, "{path}: another guest is called {name} already: rename one"),
            Self::UnknownPeer { path, name } => write!(f, "{path}: makuhari,peers names {name}, and no other guest is called so"),
            Self::BadNode { path, what } => write!(f, "{path}{what}"),
            Self::DamagedModule { path, why } => {
                write!(f, "{path} is a damaged device tree ({why}): make it again with dtc and load all of it")
            }
            Self::Device { path, node, what } => write!(f, "{path}: its node {node} {what}"),
            Self::Overlap { path, place, owner, other } => {
                write!(f, "{path} at {place} overlaps ")?;
                match owner {
                    Owner::Module(module) => write!(f, "{module}")?,
                    Owner::Hypervisor => f.write_str("the hypervisor")?,
                    Owner::DeviceTree => f.write_str("the device tree")?,
                }
                write!(f, " at {other}: load it elsewhere")
            }
            Self::OutsideRam { path, place } => write!(f, "{path} at {place} is not in RAM: load it into RAM"),
            Self::NoRoom { name, want, largest, total } => write!(
                f,
                "guest {name} wants {}, largest free {}, total free {}: give it less memory",
                Size(want), Size(largest), Size(total)
            ),
            Self::NoPool { want, largest } => write!(f, "the hypervisor needs {} for itself, largest free {}: load fewer modules", Size(want), Size(largest)),
            Self::NotAnImage { path, what } => write!(f, "{path} {what}"),
            Self::TooLarge { path, kernel, ramdisk, bank } => write!(
                f,
                "{path}: a kernel of {}, a ramdisk of {} and the device tree do not fit into memory of {}: give it more",
                Size(kernel), Size(ramdisk), Size(bank)
            ),
        }
    }
}

impl From<FdtParseError> for BootError<'_> {
    fn from(error: FdtParseError) -> Self {
        Self::Damaged(match error.kind {
            FdtErrorKind::InvalidMagic => "its first bytes are not d0 0d fe ed",
            FdtErrorKind::UnsupportedVersion(_) => "its version is not 17",
            FdtErrorKind::InvalidLength | FdtErrorKind::InvalidOffset => "it is cut off, or a length in it is wrong",
            FdtErrorKind::InvalidHeader(what) => what,
            FdtErrorKind::InvalidString => "a name in it has no end or is no text",
            FdtErrorKind::InvalidNodeName => "the name of a node has a bad character or more than 31",
            FdtErrorKind::InvalidPropertyName => "the name of a property has a bad character or more than 31",
            FdtErrorKind::MemReserveNotTerminated | FdtErrorKind::MemReserveInvalid => "its reservations have no end",
            _ => "its structure is broken",
        })
    }
}

/// Bytes in the largest unit that leaves no rest.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}
