//! Scenarios: one TOML file says which machine, which guests, and, in a test, what must happen. The file is the whole
//! input of a run, so that a run can be repeated from its report; a typo in it is an error with file, line and the word
//! that was probably meant, never a default.

mod after;
mod cpu;
mod devices;
mod expectations;
mod fixed;
mod folder;
mod hands;
mod matrix;
mod place;
mod schedule;
mod served;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;

pub(crate) use after::{After, Content, Decoded, Played, Seen, Volume};
pub(crate) use cpu::{Cpu, Vendor};
pub(crate) use devices::{Disk, Image, Network, Nic, Resolution};
pub(crate) use expectations::{End, Expect, Order, Setting, Tamper};
pub(crate) use fixed::{Channel, Shared, StaticMemory, Word};
pub(crate) use folder::{all, named, single};
pub(crate) use hands::{Cue, Keys, Picture, Typing};
use place::{closest, explain, line_of};
pub(crate) use schedule::{Class, Scheduler};
pub(crate) use served::{HOST, Served};

use crate::board::Board;

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// One sentence: what it shows.
    pub(crate) about: String,
    /// Limit in virtual nanoseconds since power-on.
    pub(crate) limit_ns: u64,
    /// It takes a minute or more, and is run by its full name only.
    #[serde(default)]
    pub(crate) long: bool,
    /// The emulated machine.
    #[serde(default)]
    pub(crate) machine: Machine,
    /// Options of the hypervisor.
    #[serde(default)]
    pub(crate) hypervisor: Hypervisor,
    /// The guests, in the order of the device tree.
    #[serde(default, rename = "guest")]
    pub(crate) guests: Vec<Guest>,
    /// Whether the expectations must come in the order of the file.
    #[serde(default)]
    pub(crate) order: Order,
    /// Files that the host serves to guests by HTTP.
    #[serde(default, rename = "http")]
    pub(crate) served: Vec<Served>,
    /// What is typed at the serial port, one after the other.
    #[serde(default, rename = "type")]
    pub(crate) typing: Vec<Typing>,
    /// Keys that are pressed, one after the other.
    #[serde(default, rename = "key")]
    pub(crate) keys: Vec<Keys>,
    /// Pictures of the display, one after the other.
    #[serde(default, rename = "picture")]
    pub(crate) pictures: Vec<Picture>,
    /// What must be said.
    #[serde(default)]
    pub(crate) expect: Vec<Expect>,
    /// What must not be said.
    #[serde(default)]
    pub(crate) forbid: Vec<Expect>,
    /// When the test is over.
    #[serde(default)]
    pub(crate) end: End,
    /// What must be true when the machine has ended.
    #[serde(default)]
    pub(crate) after: Vec<After>,
    /// Host memory that is not empty when the hypervisor starts.
    #[serde(default, rename = "memory")]
    pub(crate) words: Vec<Word>,
    /// Damage done to the composed machine, to test the answer to bad input.
    #[serde(default)]
    pub(crate) tamper: Tamper,
    /// What the members of one file differ in.
    #[serde(rename = "matrix")]
    _matrix: Option<IgnoredAny>,
    /// Which member of its file it is; empty where the file has no matrix.
    #[serde(skip)]
    member: String,
    /// Where it was read from.
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// The text of the file, for reports.
    #[serde(skip)]
    pub(crate) text: String,
}

/// The emulated machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Machine {
    /// The board that it is.
    pub(crate) board: Board,
    /// Physical CPUs, 1 to 8.
    pub(crate) cpus: u32,
    /// RAM, MiB.
    pub(crate) memory_mib: u64,
    /// Version of ARM's interrupt controller: 2 or 3, which is what guests see too.
    pub(crate) gic: u32,
    /// Model of the CPUs; the board's usual one if absent.
    cpu: Option<Cpu>,
    /// What its network card, if it has one, is connected to.
    network: Network,
    /// Further devices, in the emulator's words.
    pub(crate) devices: Vec<String>,
}

impl Machine {
    /// Model of the CPUs.
    pub(crate) fn cpu(&self) -> Cpu {
        self.cpu.unwrap_or(match self.board {
            Board::QemuVirt => Cpu::CortexA57,
            Board::X86 => Cpu::Max,
        })
    }

    /// Its network card reaches this host, by threads that know nothing of virtual time.
    pub(crate) fn has_user_network(&self) -> bool {
        self.network != Network::Hub
    }

    /// What it receives from there comes in bursts.
    pub(crate) fn has_paced_network(&self) -> bool {
        self.network == Network::Paced
    }

    /// Takes another model.
    pub(crate) fn set_cpu(&mut self, cpu: Cpu) {
        self.cpu = Some(cpu);
    }
}

impl Default for Machine {
    fn default() -> Self {
        let network = Network::default();
        Self { board: Board::default(), cpus: 1, memory_mib: 1024, gic: 3, cpu: None, network, devices: Vec::new() }
    }
}

/// Options of the hypervisor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hypervisor {
    /// Form of the log; the hypervisor's own default if absent.
    pub(crate) log: Option<Log>,
    /// Scheduler of vCPUs that nothing is promised; the hypervisor's own default if absent.
    pub(crate) scheduler: Option<Scheduler>,
    /// What is added to the peer's command line where the peer gets the machine; nothing if absent.
    pub(crate) peer: Option<String>,
    /// It says at the end how long it ran in one go at most.
    pub(crate) measure_stretches: bool,
    /// There is none: the only guest has the machine to itself, which shows what its runtime does by itself.
    pub(crate) none: bool,
}

/// Form of the hypervisor's log.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Log {
    /// Readable on any terminal.
    Plain,
    /// Compact frames, decoded by `cargo xtask run`.
    Defmt,
}

/// A guest built from this repository.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of the guests")]
pub(crate) enum Program {
    Player,
    Hog,
    Probe,
    Measure,
    Iod,
}

impl Program {
    /// Name of its package and image.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Hog => "hog",
            Self::Probe => "probe",
            Self::Measure => "measure",
            Self::Iod => "iod",
        }
    }
}

/// What follows when a guest stops.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of the device-tree binding")]
pub(crate) enum Action {
    Destroy,
    Restart,
    MachineOff,
}

impl Action {
    /// Its word in the device tree.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::MachineOff => "machine-off",
        }
    }
}

/// One guest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guest {
    /// Name of the domain.
    pub(crate) name: String,
    /// A guest of this repository; or `image`.
    pub(crate) program: Option<Program>,
    /// Path of an arm64 Image, relative to the scenario, or `linux-cloud` or `linux-full` for Debian's kernels; or
    /// `program`.
    pub(crate) image: Option<PathBuf>,
    /// The loader has its kernel packed by gzip.
    #[serde(default)]
    pub(crate) gzip: bool,
    /// RAM, MiB.
    pub(crate) memory_mib: u64,
    /// Virtual CPUs.
    #[serde(default = "one")]
    pub(crate) vcpus: u32,
    /// It has an emulated serial port as its console.
    #[serde(default)]
    pub(crate) vpl011: bool,
    /// Command line.
    #[serde(default)]
    pub(crate) bootargs: String,
    /// Path of a ramdisk relative to the scenario, `clip` for the test clip, `clip-start` for its first second, `busybox`
    /// for a user land for Linux, `cyclictest` for one that measures wake-ups too, or `pv` for the full kernel with its root file
    /// system on the disk that `root=` names (`bench-io` if it measures requests).
    pub(crate) ramdisk: Option<PathBuf>,
    /// Weight in the `credit` class; 256 if absent.
    pub(crate) weight: Option<u32>,
    /// Class of its vCPUs; `credit` if absent.
    pub(crate) sched: Option<Class>,
    /// What each of its vCPUs may run in a period, ns.
    pub(crate) budget_ns: Option<u64>,
    /// That period, ns.
    pub(crate) period_ns: Option<u64>,
    /// How long after the start of a period it has run its budget at the latest, ns; the period if absent.
    pub(crate) deadline_ns: Option<u64>,
    /// It may use what others are promised and leave.
    #[serde(default)]
    pub(crate) reclaim: bool,
    /// Past its budget it does not run at all.
    #[serde(default)]
    pub(crate) hard: bool,
    /// Budget and period are found by looking at it.
    #[serde(default)]
    pub(crate) auto_reserve: bool,
    /// Physical CPUs it may run on; all if absent.
    pub(crate) affinity: Option<Vec<u32>>,
    /// When it powers off.
    pub(crate) on_poweroff: Option<Action>,
    /// When it asks for a reboot.
    pub(crate) on_reboot: Option<Action>,
    /// When it crashes.
    pub(crate) on_crash: Option<Action>,
    /// Groups of hypercalls it may make; all if absent.
    pub(crate) allow: Option<Vec<String>>,
    /// Domains it may join event channels with.
    pub(crate) peers: Option<Vec<String>>,
    /// Host memory that is its RAM; any if absent.
    #[serde(default)]
    pub(crate) static_memory: Vec<StaticMemory>,
    /// Its addresses are those of the host.
    #[serde(default)]
    pub(crate) direct_map: bool,
    /// Ports of the machine's that it has, on a PC: the first, and how many.
    #[serde(default)]
    pub(crate) ioports: Vec<[u32; 2]>,
    /// Registers of the machine's devices that it has, on a PC: address and bytes.
    #[serde(default)]
    pub(crate) iomem: Vec<[u64; 2]>,
    /// Interrupts of the machine's devices that it has, on a PC.
    #[serde(default)]
    pub(crate) irqs: Vec<u32>,
    /// Memory that it shares.
    #[serde(default)]
    pub(crate) shared: Vec<Shared>,
    /// Event channels that are there when it starts.
    #[serde(default, rename = "channel")]
    pub(crate) channels: Vec<Channel>,
    /// What its partial device tree has.
    #[serde(default)]
    pub(crate) device_tree: Vec<Setting>,
    /// It serves the devices of other guests, and has the machine's.
    #[serde(default)]
    pub(crate) io_domain: bool,
    /// Its disks.
    #[serde(default, rename = "disk")]
    pub(crate) disks: Vec<Disk>,
    /// Its network cards.
    #[serde(default, rename = "nic")]
    pub(crate) nics: Vec<Nic>,
    /// It has sound.
    #[serde(default)]
    pub(crate) sound: bool,
    /// It has a display of this many pixels, `800x600`.
    pub(crate) display: Option<Resolution>,
    /// It has a keyboard.
    #[serde(default)]
    pub(crate) keyboard: bool,
}

fn one() -> u32 {
    1
}

impl Scenario {
    /// Reads the scenarios of a file: one, or all of its matrix.
    ///
    /// # Errors
    /// Says file, line, and what is wrong.
    pub(crate) fn read(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read scenario {}", path.display()))?;
        let members = matrix::members(&text).with_context(|| path.display().to_string())?;
        members.into_iter().map(|(member, text)| Self::parse(&text, path, member)).collect()
    }

    fn parse(text: &str, path: &Path, member: String) -> Result<Self> {
        let mut scenario: Self = match toml::from_str(text) {
            Ok(scenario) => scenario,
            Err(error) => bail!("{}", explain(path, text, &error)),
        };
        scenario.path = path.to_owned();
        scenario.text = text.to_owned();
        scenario.member = member;
        scenario.check()?;
        Ok(scenario)
    }

    /// Name: the file's without its ending, and which member of the file it is.
    pub(crate) fn name(&self) -> String {
        let file = self.path.file_stem().unwrap_or_default().to_string_lossy();
        if self.member.is_empty() { file.into_owned() } else { format!("{file}-{}", self.member) }
    }

    /// It is about frames or sound that come too late, and says how many must.
    pub(crate) fn expects_losses(&self) -> bool {
        let some = |pattern: &String| pattern.starts_with('>');
        let lost = |name: &str| self.expect.iter().any(|expect| expect.fields.get(name).is_some_and(some));
        ["late", "dropped", "audio_late"].into_iter().any(lost)
    }

    /// Limit in whole virtual seconds, rounded up.
    pub(crate) fn limit_seconds(&self) -> u64 {
        self.limit_ns.div_ceil(1_000_000_000)
    }

    /// A path of the scenario, relative to its file.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(path)
    }

    fn check(&self) -> Result<()> {
        let place = |needle: &str| format!("{}:{}", self.path.display(), line_of(&self.text, needle));
        if !(1..=8).contains(&self.machine.cpus) {
            bail!("{}: cpus = {} is not between 1 and 8", place("cpus"), self.machine.cpus);
        }
        if !matches!(self.machine.gic, 2 | 3) {
            bail!("{}: gic = {} is not supported; the hypervisor drives 2 and 3", place("gic"), self.machine.gic);
        }
        if self.hypervisor.none && (self.machine.board != Board::X86 || self.guests.len() != 1) {
            bail!("{}: a machine without a hypervisor is one of x86 with one guest", place("none"));
        }
        if !self.machine.cpu().is_of(self.machine.board) {
            let board = self.machine.board.name();
            bail!("{}: cpu = \"{}\" is not one of board {board}", place("cpu ="), self.machine.cpu().name());
        }
        for guest in &self.guests {
            let here = place(&format!("\"{}\"", guest.name));
            self.check_guest(guest).with_context(|| format!("{here}: guest `{}`", guest.name))?;
        }
        self.check_served().with_context(|| place("[[http]]"))?;
        self.check_hands().with_context(|| place(if self.keys.is_empty() { "[[picture]]" } else { "[[key]]" }))?;
        for (number, after) in self.after.iter().enumerate() {
            self.check_after(after).with_context(|| self.nth("[[after]]", number))?;
        }
        for expect in self.expect.iter().chain(&self.forbid) {
            let needle = expect.event.as_ref().or(expect.text.as_ref()).map(String::as_str).unwrap_or("[[expect]]");
            expect.check().with_context(|| format!("{}: expectation", place(needle)))?;
        }
        Ok(())
    }

    /// File and line of a table, by its header's place among those.
    fn nth(&self, header: &str, number: usize) -> String {
        let mut lines = self.text.lines().enumerate().filter(|(_, line)| line.trim() == header);
        format!("{}:{}: {header}", self.path.display(), lines.nth(number).map_or(1, |(at, _)| at + 1))
    }

    fn check_guest(&self, guest: &Guest) -> Result<()> {
        let word = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if guest.name.is_empty() || !word(&guest.name) || guest.name == "hyp" {
            bail!("a name has letters, digits, `-` and `_`, and is not `hyp`");
        }
        if self.guests.iter().filter(|other| other.name == guest.name).count() > 1 {
            bail!("two guests have this name");
        }
        match (&guest.program, &guest.image) {
            (None, None) => bail!("it needs `program` (player, hog, probe, measure, iod) or `image` (a path)"),
            (Some(_), Some(_)) => bail!("it has both `program` and `image`; take one away"),
            _ => {}
        }
        if guest.memory_mib == 0 {
            bail!("memory_mib = 0: it needs memory");
        }
        if let Some(cpu) = guest.affinity.iter().flatten().find(|&&cpu| cpu >= self.machine.cpus) {
            bail!("affinity names CPU {cpu}, but the machine has {} (from 0)", self.machine.cpus);
        }
        self.check_fixed(guest)?;
        self.check_devices(guest)?;
        for peer in guest.peers.iter().flatten() {
            if !self.guests.iter().any(|other| other.name == *peer) {
                let hint = closest(peer, self.guests.iter().map(|other| other.name.as_str()));
                bail!("peer `{peer}` is no guest of this scenario{hint}");
            }
        }
        for group in guest.allow.iter().flatten() {
            const GROUPS: [&str; 8] = ["version", "console", "sched", "events", "vcpu", "params", "memory", "control"];
            if !GROUPS.contains(&group.as_str()) {
                bail!("allow names `{group}`{}; known: {}", closest(group, GROUPS), GROUPS.join(", "));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
