//! A guest as its node describes it, in types that leave no word to interpret.

use hyp_core::sched::Share;

use crate::Region;
use crate::tree::Path;

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
    /// What the control domain does to others.
    Control = 7,
    /// That its pages may be copied by who has the above.
    Frames = 8,
}

/// The groups and their words in `makuhari,allow`.
pub(super) const GROUPS: [(Group, &str); 8] = [
    (Group::Version, "version"),
    (Group::Console, "console"),
    (Group::Sched, "sched"),
    (Group::Events, "events"),
    (Group::Vcpu, "vcpu"),
    (Group::Params, "params"),
    (Group::Memory, "memory"),
    (Group::Control, "control"),
];

/// A set of [`Group`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow(pub(super) u16);

impl Allow {
    /// All that a guest may do to itself: what one may whose node has no `makuhari,allow`.
    pub const ALL: Self = Self(0x7f);

    /// The set with one more group.
    pub(super) const fn with(self, group: Group) -> Self {
        Self(self.0 | 1 << group as u16)
    }

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
    /// What each of its vCPUs gets of its CPU; the weight is 256 when the node does not say.
    pub share: Share,
    /// Physical CPUs that its vCPUs may run on, bit n for CPU n of the tree; all ones when the node does not say.
    pub affinity: u32,
    /// Does it get an emulated PL011?
    pub vpl011: bool,
    /// Does it see a hypervisor node?
    pub enhanced: bool,
    /// Is it to have xenstore?
    pub xenstore: bool,
    /// Are its guest addresses those of the host? Its memory is at given places then.
    pub direct_map: bool,
    /// When it switches itself off.
    pub on_poweroff: EndAction,
    /// When it asks for a restart.
    pub on_reboot: EndAction,
    /// When it crashes or is stopped.
    pub on_crash: EndAction,
    /// When its watchdog runs out.
    pub on_watchdog: EndAction,
    /// Does it serve the others' devices?
    pub io_domain: bool,
    /// Hypercalls that it may make.
    pub allow: Allow,
    /// Domains it may join event channels with: bit n is `domains[n]`. Naming by one side is enough, so it is symmetric.
    pub peers: u8,
    /// Its kernel.
    pub kernel: Module<'a>,
    /// Its initial ramdisk.
    pub ramdisk: Option<Module<'a>>,
    /// A device tree of which parts are merged into its own.
    pub tree: Option<Module<'a>>,
    /// Its command line.
    pub bootargs: &'a str,
}

impl<'a> DomainSpec<'a> {
    /// All its modules.
    pub(super) fn modules(&self) -> impl Iterator<Item = &Module<'a>> {
        core::iter::once(&self.kernel).chain(&self.ramdisk).chain(&self.tree)
    }
}
