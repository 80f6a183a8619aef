//! Which guests to run: the nodes under `/chosen` with compatible `xen,domain`.
//!
//! The words are those of Xen's dom0less boot (its `docs/misc/arm/device-tree/booting.txt`), so that loader scripts
//! written for Xen work; ours begin with `makuhari,`. A property of ours that we do not know is an error, because a
//! misspelt restriction must not become none; a property of others that we do not know is a warning. What is taken,
//! refused and ignored is listed in `hyp/docs/dom0less.md`.

mod domain;
pub(crate) mod fixed;
mod io_domain;
mod modules;
mod options;
mod read;
mod schedule;
mod warning;

use heapless::Vec;
use hyp_core::sched::{Promise, Scheduler};

use crate::limits::{MAX_DOMAINS, MAX_MODULES, MAX_SHARED, MAX_STATIC, MAX_VCPUS};
use crate::machine::Host;
use crate::tree::{Path, Spot};
use crate::{BootError, Owner, Region};

pub use self::domain::{Allow, DomainSpec, EndAction, Group, Module};
pub use self::fixed::{EventLink, Fixed, SharedMemory, StaticMemory};
pub use self::options::{LogFormat, Options};
use self::read::read_domain;
pub(crate) use self::warning::Kind;
pub use self::warning::Warning;

/// Warnings that are kept: one for each guest and each thing of another kind that is likely.
const MAX_WARNINGS: usize = 16;

/// Modules that the tree does not say the places of, and that no guest has taken yet.
type Loose<'l> = core::slice::Iter<'l, Region>;

type Warnings<'a> = Vec<Warning<'a>, MAX_WARNINGS>;

/// All guests, and what was odd about their description.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest<'a> {
    /// The guests in the tree's order.
    pub domains: Vec<DomainSpec<'a>, MAX_DOMAINS>,
    /// The hypervisor's options.
    pub options: Options,
    /// What is fixed before they run.
    pub fixed: Fixed<'a>,
    /// What has no effect.
    pub warnings: Warnings<'a>,
}

impl<'a> Manifest<'a> {
    /// Without guests.
    pub const fn new() -> Self {
        let options = Options { log: None, all_peers: false, stretches: false, scheduler: Scheduler::Client };
        Self { domains: Vec::new(), options, fixed: Fixed::new(), warnings: Vec::new() }
    }

    /// [`Manifest::read`] into a new one.
    ///
    /// # Errors
    ///
    /// The first thing found that cannot work.
    pub fn parse(host: &Host<'a>, image: Region, tree: Region) -> Result<Self, BootError<'a>> {
        let mut manifest = Self::new();
        manifest.read(host, image, tree)?;
        Ok(manifest)
    }

    /// Reads the guests from the tree that `host` was read from. `image` is the memory that the hypervisor's image
    /// takes, `tree` that of the blob; both host-physical. Reads in place, for a manifest is too large to be handed about
    /// on the stack of boot.
    ///
    /// # Errors
    ///
    /// The first thing found that cannot work.
    #[inline(never)]
    pub fn read(&mut self, host: &Host<'a>, image: Region, tree: Region) -> Result<(), BootError<'a>> {
        let (options, warn_of_options) = Options::read(host.options);
        self.options = options;
        if warn_of_options {
            warn(&mut self.warnings, Kind::Options(host.options));
        }
        let chosen = host.chosen.ok_or(BootError::NoGuest)?;
        let (mut vcpus, mut peers, mut loose) = (0usize, false, host.loose.iter());
        for node in chosen.heirs()? {
            let kinds = node.strings("compatible");
            if !kinds.has("xen,domain") {
                // What is for a control domain, which there is none of, or divides the machine as we cannot.
                if modules::is_module(&kinds) || kinds.iter().any(|kind| kind.starts_with("xen,")) {
                    warn(&mut self.warnings, Kind::Node(node.path));
                }
                continue;
            }
            vcpus = vcpus.saturating_add(self.add(&node, host, &mut loose)?);
            peers |= node.value("makuhari,peers").is_some();
            if vcpus > MAX_VCPUS {
                return Err(BootError::TooMany { path: node.path, what: "virtual CPUs", limit: MAX_VCPUS });
            }
        }
        if self.domains.is_empty() {
            return Err(BootError::NoGuest);
        }
        if peers {
            self.join_peers(&chosen)?;
        }
        if self.options.all_peers {
            self.domains.iter_mut().for_each(|domain| domain.peers = !0);
        }
        self.fixed.join_events()?;
        self.check_places(host, image, tree)?;
        self.join_io_domains(host, tree)
    }

    /// Reads one guest. Returns the number of its vCPUs.
    fn add(&mut self, node: &Spot<'a>, host: &Host<'a>, loose: &mut Loose<'_>) -> Result<usize, BootError<'a>> {
        let index = self.domains.len() as u8;
        let domain = read_domain(node, index, host, loose, (&mut self.fixed, &mut self.warnings))?;
        if matches!(domain.share.promise, Promise::Sedf(_)) && self.options.scheduler != Scheduler::Sedf {
            return Err(node.bad("makuhari,sched", "another class without the option sched=sedf"));
        }
        if self.domains.iter().any(|other| other.name == domain.name) {
            return Err(BootError::DuplicateName { path: node.path, name: domain.name });
        }
        let cpus = usize::from(domain.cpus);
        let full = BootError::TooMany { path: node.path, what: "guests", limit: MAX_DOMAINS };
        self.domains.push(domain).map_err(|_| full)?;
        Ok(cpus)
    }

    /// Resolves `makuhari,peers`, which may name domains that come later.
    fn join_peers(&mut self, chosen: &Spot<'a>) -> Result<(), BootError<'a>> {
        for (index, node) in chosen.heirs()?.filter(|node| node.is("xen,domain")).enumerate() {
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

    /// Every module, and memory at a given place, must be in RAM and share memory with nothing, except with a module that
    /// is the same file or with itself in another guest.
    #[inline(never)]
    fn check_places(&self, host: &Host<'a>, image: Region, tree: Region) -> Result<(), BootError<'a>> {
        let mut places: Vec<Place<'a>, MAX_PLACES> = Vec::new();
        self.each_place(&mut |place| {
            // Cannot fail: there is room for all that the tables hold.
            let _ = places.push(place);
        });
        for (number, &Place { path, place, sharing }) in places.iter().enumerate() {
            if !host.ram.iter().any(|ram| ram.contains(&place)) {
                return Err(BootError::OutsideRam { path, place });
            }
            for (owner, other) in [(Owner::Hypervisor, image), (Owner::DeviceTree, tree)] {
                if place.overlaps(&other) {
                    return Err(BootError::Overlap { path, place, owner, other });
                }
            }
            for (at, other) in places.iter().enumerate() {
                let same = other.place == place && sharing != Sharing::Nobody && sharing == other.sharing;
                if at != number && !same && other.place.overlaps(&place) {
                    let owner = Owner::Module(other.path);
                    return Err(BootError::Overlap { path, place, owner, other: other.place });
                }
            }
        }
        Ok(())
    }

    /// Shows all host memory that the tree names: modules, and memory at given places.
    fn each_place(&self, look: &mut dyn FnMut(Place<'a>)) {
        let mut add = |path, place, sharing| look(Place { path, place, sharing });
        for domain in &self.domains {
            domain.modules().for_each(|module| add(module.path, module.place, Sharing::File));
        }
        for piece in &self.fixed.memory {
            if let Some(domain) = self.domains.get(usize::from(piece.domain)) {
                add(domain.path, piece.place, Sharing::Nobody);
            }
        }
        for view in &self.fixed.shared {
            if let Some(host) = view.host {
                add(view.path, Region::new(host, view.guest.size), Sharing::View(view.id));
            }
        }
    }

    /// All host memory that the tree names.
    pub(crate) fn taken(&self) -> Vec<Region, MAX_PLACES> {
        let mut taken = Vec::new();
        // Cannot fail: there is room for all that the tables hold.
        self.each_place(&mut |place| {
            let _ = taken.push(place.place);
        });
        taken
    }
}

impl Default for Manifest<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Host memory that the tree names.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    path: Path<'a>,
    place: Region,
    sharing: Sharing<'a>,
}

const MAX_PLACES: usize = MAX_MODULES + MAX_STATIC + MAX_SHARED;

/// With what else a piece of memory may be one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing<'a> {
    Nobody,
    File,
    View(&'a str),
}

fn warn<'a>(warnings: &mut Warnings<'a>, kind: Kind<'a>) {
    // What does not fit has no effect either way; the first few show the kind of mistake.
    let _ = warnings.push(Warning(kind));
}
