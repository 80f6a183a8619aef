//! Which guests to run: the nodes under `/chosen` with compatible `xen,domain`.
//!
//! The words are those of Xen's dom0less boot (its `docs/misc/arm/device-tree/booting.txt`), so that loader scripts
//! written for Xen work; ours begin with `makuhari,`. A property of ours that we do not know is an error, because a
//! misspelt restriction must not become none; a property of others that we do not know is a warning.

mod domain;
mod read;

use core::fmt;

use dtoolkit::Property;
use dtoolkit::fdt::FdtProperty;
use heapless::Vec;

use crate::limits::{MAX_DOMAINS, MAX_VCPUS};
use crate::machine::Machine;
use crate::tree::{Path, Spot};
use crate::{BootError, Owner, Region};

pub use self::domain::{Allow, DomainSpec, EndAction, Group, Module};
use self::read::read_domain;

/// Warnings that are kept; further ones are as harmless, and left out.
const MAX_WARNINGS: usize = 8;

/// How log messages leave the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// As text.
    Plain,
    /// As defmt frames.
    Defmt,
}

/// The hypervisor's own options, from `/chosen/xen,xen-bootargs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `log=plain` or `log=defmt`.
    pub log: Option<LogFormat>,
}

/// Something in the tree that has no effect here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning<'a> {
    /// A property of a guest or a module.
    Property(Path<'a>, FdtProperty<'a>),
    /// Words of `xen,xen-bootargs`; the string holds those known too.
    Options(&'a str),
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(path, property) => write!(f, "{path}: {} is unknown and ignored", property.name()),
            Self::Options(options) => {
                f.write_str("/chosen: xen,xen-bootargs has options that are unknown and ignored:")?;
                for word in options.split_ascii_whitespace().filter(|word| option(word).is_none()) {
                    write!(f, " {word}")?;
                }
                Ok(())
            }
        }
    }
}

/// All guests, and what was odd about their description.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest<'a> {
    /// The guests in the tree's order.
    pub domains: Vec<DomainSpec<'a>, MAX_DOMAINS>,
    /// The hypervisor's options.
    pub options: Options,
    /// What has no effect.
    pub warnings: Vec<Warning<'a>, MAX_WARNINGS>,
}

impl<'a> Manifest<'a> {
    /// Reads the guests from the tree that `machine` was read from. `image` is the memory that the hypervisor's image
    /// takes, `tree` that of the blob; both host-physical.
    ///
    /// # Errors
    ///
    /// The first thing found that cannot work.
    pub fn parse(machine: &Machine<'a>, image: Region, tree: Region) -> Result<Self, BootError<'a>> {
        let root = machine.root;
        let mut manifest = Self { domains: Vec::new(), options: Options::default(), warnings: Vec::new() };
        manifest.read_options(machine.options);
        let chosen = root.child("chosen")?.ok_or(BootError::NoGuest)?;
        let mut vcpus = 0usize;
        for node in chosen.children()?.filter(|node| node.is("xen,domain")) {
            let domain = read_domain(&node, machine, &mut manifest.warnings)?;
            if manifest.domains.iter().any(|other| other.name == domain.name) {
                return Err(BootError::DuplicateName { path: node.path, name: domain.name });
            }
            vcpus = vcpus.saturating_add(usize::from(domain.cpus));
            if vcpus > MAX_VCPUS {
                return Err(BootError::TooMany { path: node.path, what: "virtual CPUs", limit: MAX_VCPUS });
            }
            let full = BootError::TooMany { path: node.path, what: "guests", limit: MAX_DOMAINS };
            manifest.domains.push(domain).map_err(|_| full)?;
        }
        if manifest.domains.is_empty() {
            return Err(BootError::NoGuest);
        }
        manifest.join_peers(&chosen)?;
        manifest.check_modules(machine, image, tree)?;
        Ok(manifest)
    }

    fn read_options(&mut self, options: &'a str) {
        let mut unknown = false;
        for word in options.split_ascii_whitespace() {
            match option(word) {
                Some(log) => self.options.log = Some(log),
                None => unknown = true,
            }
        }
        if unknown {
            warn(&mut self.warnings, Warning::Options(options));
        }
    }

    /// Resolves `makuhari,peers`, which may name domains that come later.
    fn join_peers(&mut self, chosen: &Spot<'a>) -> Result<(), BootError<'a>> {
        for (index, node) in chosen.children()?.filter(|node| node.is("xen,domain")).enumerate() {
            for name in node.strings("makuhari,peers").iter() {
                let peer = self.domains.iter().position(|other| other.name == name && other.path != node.path);
                let peer = peer.ok_or(BootError::UnknownPeer { path: node.path, name })?;
                for (own, other) in [(index, peer), (peer, index)] {
                    if let Some(domain) = self.domains.get_mut(own) {
                        domain.peers |= 1 << other;
                    }
                }
            }
        }
        Ok(())
    }

    /// Every module must be in RAM and share memory with nothing, except with a module that is the same file.
    fn check_modules(&self, machine: &Machine<'a>, image: Region, tree: Region) -> Result<(), BootError<'a>> {
        for (path, place) in self.modules() {
            if !machine.ram.iter().any(|ram| ram.contains(&place)) {
                return Err(BootError::OutsideRam { path, place });
            }
            for (owner, other) in [(Owner::Hypervisor, image), (Owner::DeviceTree, tree)] {
                if place.overlaps(&other) {
                    return Err(BootError::Overlap { path, place, owner, other });
                }
            }
            let clash = self.modules().find(|(_, other)| *other != place && other.overlaps(&place));
            if let Some((module, other)) = clash {
                return Err(BootError::Overlap { path, place, owner: Owner::Module(module), other });
            }
        }
        Ok(())
    }

    /// All modules with their paths.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (Path<'a>, Region)> {
        self.domains.iter().flat_map(|domain| domain.modules().map(|module| (module.path, module.place)))
    }
}

fn option(word: &str) -> Option<LogFormat> {
    match word {
        "log=plain" => Some(LogFormat::Plain),
        "log=defmt" => Some(LogFormat::Defmt),
        _ => None,
    }
}

fn warn<'a>(warnings: &mut Vec<Warning<'a>, MAX_WARNINGS>, warning: Warning<'a>) {
    // What does not fit has no effect either way; the first few show the kind of mistake.
    let _ = warnings.push(warning);
}
