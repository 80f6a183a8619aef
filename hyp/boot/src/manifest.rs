//! Which guests to run: the nodes under `/chosen` with compatible `xen,domain`.
//!
//! The words are those of Xen's dom0less boot (its `docs/misc/arm/device-tree/booting.txt`), so that loader scripts
//! written for Xen work; ours begin with `makuhari,`. A property of ours that we do not know is an error, because a
//! misspelt restriction must not become none; a property of others that we do not know is a warning.

use core::fmt;

use dtoolkit::fdt::FdtProperty;
use dtoolkit::{Node, Property};
use heapless::Vec;

use crate::limits::{MAX_CPUS, MAX_DOMAINS, MAX_VCPUS, MAX_VCPUS_PER_DOMAIN};
use crate::machine::Machine;
use crate::tree::{self, Path, Spot, StringList, number};
use crate::{BootError, Owner, Region};

/// Warnings that are kept; further ones are only counted.
const MAX_WARNINGS: usize = 8;
/// The properties with our prefix, in a guest's node.
const OURS: [&str; 7] = [
    "makuhari,weight",
    "makuhari,cpu-affinity",
    "makuhari,on-poweroff",
    "makuhari,on-reboot",
    "makuhari,on-crash",
    "makuhari,allow",
    "makuhari,peers",
];

/// What to do when a domain has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndAction {
    /// Leave it stopped.
    Destroy,
    /// Start it again from its images.
    Restart,
    /// Switch the machine off.
    MachineOff,
}

/// A group of hypercalls that a manifest allows or not. The number is the group's bit in [`Allow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Group {
    /// `xen_version`.
    Version = 0,
    /// `console_io`.
    Console = 1,
    /// `sched_op`.
    Sched = 2,
    /// `event_channel_op`.
    Events = 3,
    /// `vcpu_op`.
    Vcpu = 4,
    /// `hvm_op` get and set of parameters.
    Params = 5,
    /// `memory_op`.
    Memory = 6,
}

/// The groups and their words in `makuhari,allow`.
const GROUPS: [(Group, &str); 7] = [
    (Group::Version, "version"),
    (Group::Console, "console"),
    (Group::Sched, "sched"),
    (Group::Events, "events"),
    (Group::Vcpu, "vcpu"),
    (Group::Params, "params"),
    (Group::Memory, "memory"),
];

/// A set of [`Group`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow(u16);

impl Allow {
    /// Everything: what a guest may do whose node has no `makuhari,allow`.
    pub const ALL: Self = Self(0x7f);

    /// Is the group in it?
    pub const fn has(self, group: Group) -> bool {
        self.0 & (1 << group as u16) != 0
    }

    /// The set as bits: bit n is the group of number n.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// A file that the loader put into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// Its node.
    pub path: Path<'a>,
    /// Where it lies, host-physical.
    pub place: Region,
}

/// A guest as its node describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSpec<'a> {
    /// The node's name before any `@`; at most 31 printable characters.
    pub name: &'a str,
    /// The node.
    pub path: Path<'a>,
    /// Bytes of RAM, a multiple of 4 KiB.
    pub memory: u64,
    /// Number of vCPUs.
    pub cpus: u8,
    /// Share of the CPU relative to others; 256 is usual.
    pub weight: u16,
    /// Physical CPUs that its vCPUs may run on, bit n for CPU n of the tree; all ones when the node does not say.
    pub affinity: u32,
    /// Does it get an emulated PL011?
    pub vpl011: bool,
    /// Does it see a hypervisor node?
    pub enhanced: bool,
    /// When it switches itself off.
    pub on_poweroff: EndAction,
    /// When it asks for a restart.
    pub on_reboot: EndAction,
    /// When it crashes or is stopped.
    pub on_crash: EndAction,
    /// Hypercalls that it may make.
    pub allow: Allow,
    /// Domains it may join event channels with: bit n is `domains[n]`. Naming by one side is enough, so it is symmetric.
    pub peers: u8,
    /// Its kernel.
    pub kernel: Module<'a>,
    /// Its initial ramdisk.
    pub ramdisk: Option<Module<'a>>,
    /// Its command line.
    pub bootargs: &'a str,
}

impl<'a> DomainSpec<'a> {
    /// Its kernel and ramdisk.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module<'a>> {
        core::iter::once(&self.kernel).chain(&self.ramdisk)
    }
}

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
    pub fn parse(blob: &'a [u8], machine: &Machine<'a>, image: Region, tree: Region) -> Result<Self, BootError<'a>> {
        let (root, _) = tree::open(blob)?;
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

fn read_domain<'a>(
    node: &Spot<'a>,
    machine: &Machine<'a>,
    warnings: &mut Vec<Warning<'a>, MAX_WARNINGS>,
) -> Result<DomainSpec<'a>, BootError<'a>> {
    check_names(node, warnings)?;
    if node.stem() == "hyp" {
        let what = ": the hypervisor's own lines on the console begin with [hyp]: give the guest another name";
        return Err(BootError::BadNode { path: node.path, what });
    }
    let (kernel, ramdisk, bootargs) = read_modules(node, warnings)?;
    Ok(DomainSpec {
        name: node.stem(),
        path: node.path,
        memory: read_memory(node)?,
        cpus: read_cpus(node)?,
        weight: read_weight(node)?,
        affinity: read_affinity(node, machine.cpus.len())?,
        vpl011: node.value("vpl011").is_some(),
        enhanced: read_enhanced(node)?,
        on_poweroff: end_action(node, "makuhari,on-poweroff", EndAction::Destroy)?,
        on_reboot: end_action(node, "makuhari,on-reboot", EndAction::Restart)?,
        on_crash: end_action(node, "makuhari,on-crash", EndAction::Destroy)?,
        allow: read_allow(node)?,
        peers: 0,
        kernel,
        ramdisk,
        bootargs,
    })
}

/// Refuses what looks like ours and is not; notes what is nobody's.
fn check_names<'a>(node: &Spot<'a>, warnings: &mut Vec<Warning<'a>, MAX_WARNINGS>) -> Result<(), BootError<'a>> {
    let xens = ["compatible", "#address-cells", "#size-cells", "phandle", "memory", "cpus", "vpl011", "xen,enhanced"];
    for property in node.node.properties() {
        let name = property.name();
        if OURS.contains(&name) || xens.contains(&name) {
            continue;
        }
        if name.starts_with("makuhari,") {
            return Err(BootError::UnknownProperty { path: node.path, property, near: nearest(name) });
        }
        warn(warnings, Warning::Property(node.path, property));
    }
    Ok(())
}

fn read_memory<'a>(node: &Spot<'a>) -> Result<u64, BootError<'a>> {
    let want = "two 32-bit cells, a number of KiB";
    let value = node.value("memory").ok_or(BootError::Missing { path: node.path, property: "memory = <0 KiB>" })?;
    let value = number(value).filter(|_| value.len() == 8).ok_or(node.bad("memory", want))?;
    let want = "a number of KiB above 0, a multiple of 4, and below 2^40";
    let bad = BootError::BadNumber { path: node.path, property: "memory", value, want };
    if value == 0 || !value.is_multiple_of(4) || value >> 40 != 0 { Err(bad) } else { Ok(value << 10) }
}

fn read_cpus<'a>(node: &Spot<'a>) -> Result<u8, BootError<'a>> {
    let cpus = node.cell("cpus")?.ok_or(BootError::Missing { path: node.path, property: "cpus = <1>" })?;
    if cpus == 0 || cpus as usize > MAX_VCPUS_PER_DOMAIN {
        let (value, want) = (u64::from(cpus), "from 1 to 8");
        return Err(BootError::BadNumber { path: node.path, property: "cpus", value, want });
    }
    Ok(cpus as u8)
}

/// The want in [`read_cpus`] and [`read_affinity`] says these numbers.
const _: () = assert!(MAX_VCPUS_PER_DOMAIN == 8 && MAX_CPUS <= 32 && MAX_DOMAINS <= 8);

fn read_weight<'a>(node: &Spot<'a>) -> Result<u16, BootError<'a>> {
    let weight = node.cell("makuhari,weight")?.unwrap_or(256);
    let (value, want) = (u64::from(weight), "from 1 to 65535");
    let bad = BootError::BadNumber { path: node.path, property: "makuhari,weight", value, want };
    u16::try_from(weight).ok().filter(|weight| *weight != 0).ok_or(bad)
}

fn read_affinity<'a>(node: &Spot<'a>, cpus: usize) -> Result<u32, BootError<'a>> {
    let property = "makuhari,cpu-affinity";
    let Some(value) = node.value(property) else { return Ok(!0) };
    let (cells, rest) = value.as_chunks::<4>();
    if cells.is_empty() || !rest.is_empty() {
        return Err(node.bad(property, "a list of CPU numbers, such as <0 1>"));
    }
    let mut mask = 0;
    for cell in cells {
        let cpu = u32::from_be_bytes(*cell);
        if cpu as usize >= cpus {
            let (value, want) = (u64::from(cpu), "the number of a CPU of this machine, counted from 0");
            return Err(BootError::BadNumber { path: node.path, property, value, want });
        }
        mask |= 1 << cpu;
    }
    Ok(mask)
}

fn read_enhanced<'a>(node: &Spot<'a>) -> Result<bool, BootError<'a>> {
    let property = "xen,enhanced";
    if node.value(property).is_some_and(<[u8]>::is_empty) {
        return Ok(true);
    }
    match node.text(property)? {
        None | Some("disabled") => Ok(false),
        Some("enabled" | "") => Ok(true),
        Some(word) => Err(BootError::BadWord { path: node.path, property, word, want: "\"enabled\" or \"disabled\"" }),
    }
}

fn end_action<'a>(node: &Spot<'a>, property: &'static str, usual: EndAction) -> Result<EndAction, BootError<'a>> {
    match node.text(property)? {
        None => Ok(usual),
        Some("destroy") => Ok(EndAction::Destroy),
        Some("restart") => Ok(EndAction::Restart),
        Some("machine-off") => Ok(EndAction::MachineOff),
        Some(word) => {
            let want = "\"destroy\", \"restart\" or \"machine-off\"";
            Err(BootError::BadWord { path: node.path, property, word, want })
        }
    }
}

fn read_allow<'a>(node: &Spot<'a>) -> Result<Allow, BootError<'a>> {
    let property = "makuhari,allow";
    if node.value(property).is_none() {
        return Ok(Allow::ALL);
    }
    let mut allow = Allow(0);
    for word in node.strings(property).iter() {
        let want = "of \"version\", \"console\", \"sched\", \"events\", \"vcpu\", \"params\", \"memory\"";
        let bad = BootError::BadWord { path: node.path, property, word, want };
        let (group, _) = GROUPS.iter().find(|(_, name)| *name == word).ok_or(bad)?;
        allow.0 |= 1 << *group as u16;
    }
    Ok(allow)
}

type Modules<'a> = (Module<'a>, Option<Module<'a>>, &'a str);

fn read_modules<'a>(
    node: &Spot<'a>,
    warnings: &mut Vec<Warning<'a>, MAX_WARNINGS>,
) -> Result<Modules<'a>, BootError<'a>> {
    let (mut kernel, mut ramdisk, mut bootargs) = (None, None, "");
    for child in node.children()? {
        let kinds = child.strings("compatible");
        let slot = match kind(&kinds) {
            Some(Kind::Kernel) => &mut kernel,
            Some(Kind::Ramdisk) => &mut ramdisk,
            None if kinds.has("multiboot,module") || kinds.has("multiboot,device-tree") => {
                let what = ": compatible must name multiboot,kernel or multiboot,ramdisk";
                return Err(BootError::BadNode { path: child.path, what });
            }
            None => continue,
        };
        let place =
            child.reg()?.next().filter(|place| place.size != 0 && place.start.checked_add(place.size).is_some());
        let place = place.ok_or(child.bad("reg", "the module's address and its size, which is not 0"))?;
        if slot.replace(Module { path: child.path, place }).is_some() {
            let what = ": the guest has another module of this kind: remove one";
            return Err(BootError::BadNode { path: child.path, what });
        }
        if let Some(text) = child.text("bootargs")? {
            bootargs = text;
        }
        check_module_names(&child, warnings)?;
    }
    let what = " has no kernel: add a module with compatible = \"multiboot,kernel\", \"multiboot,module\"";
    Ok((kernel.ok_or(BootError::BadNode { path: node.path, what })?, ramdisk, bootargs))
}

enum Kind {
    Kernel,
    Ramdisk,
}

fn kind(compatible: &StringList<'_>) -> Option<Kind> {
    if compatible.has("multiboot,kernel") {
        Some(Kind::Kernel)
    } else if compatible.has("multiboot,ramdisk") {
        Some(Kind::Ramdisk)
    } else {
        None
    }
}

fn check_module_names<'a>(
    module: &Spot<'a>,
    warnings: &mut Vec<Warning<'a>, MAX_WARNINGS>,
) -> Result<(), BootError<'a>> {
    for property in module.node.properties() {
        match property.name() {
            "compatible" | "reg" | "bootargs" | "phandle" => {}
            name if name.starts_with("makuhari,") => {
                return Err(BootError::UnknownProperty { path: module.path, property, near: None });
            }
            _ => warn(warnings, Warning::Property(module.path, property)),
        }
    }
    Ok(())
}

/// The property of ours that a misspelt one was probably meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    let (distance, near) = OURS.iter().map(|known| (distance(name.as_bytes(), known.as_bytes()), *known)).min()?;
    (distance <= 3).then_some(near)
}

/// Insertions, deletions and replacements that make one name the other. Names have at most 31 bytes.
fn distance(a: &[u8], b: &[u8]) -> u8 {
    let mut row: [u8; 32] = core::array::from_fn(|column| column as u8);
    for (step, x) in (1u8..).zip(a) {
        let (mut diagonal, mut left) = (step - 1, step);
        for (cell, y) in row.iter_mut().skip(1).zip(b) {
            let up = *cell;
            left = (diagonal + u8::from(x != y)).min(up.min(left) + 1);
            diagonal = up;
            *cell = left;
        }
    }
    row.get(b.len()).copied().unwrap_or(u8::MAX)
}
