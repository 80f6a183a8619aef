//! Composing a machine from a scenario: the board's own device tree, as the emulator describes it, plus the guests
//! under `/chosen` by Xen's dom0less bindings, plus the place of every module in RAM. The hypervisor gets exactly
//! what a real loader would give it.

mod base;
mod fixed;
mod io_domain;
mod layout;
mod tamper;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTreeNode, DeviceTreeProperty};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::board::Board;
use crate::kernel::Flavour;
use crate::peer;
use crate::qemu::Qemu;
use crate::scenario::{Guest, Log, Scenario, Word};
use layout::Layout;
pub(crate) use layout::{Module, tree_address};

/// First address of RAM on QEMU's `virt`.
pub(crate) const RAM_BASE: u64 = 0x4000_0000;

/// Whose hypervisor gets the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This project's.
    Ours,
    /// Xen; it takes no notice of properties that are this project's own.
    Peers,
    /// Nobody's: the guest has it.
    Nobody,
}

/// Files that a scenario's words stand for.
pub(crate) struct Sources<'s> {
    /// Who reads the tree.
    pub(crate) whose: Whose,
    /// The image of a guest of this repository, by its name.
    pub(crate) program: &'s dyn Fn(&str) -> PathBuf,
    /// The test clip, as the player's ramdisk.
    pub(crate) clip: &'s dyn Fn() -> Result<PathBuf>,
    /// The start of it.
    pub(crate) clip_start: &'s dyn Fn() -> Result<PathBuf>,
    /// A stock kernel.
    pub(crate) kernel: &'s dyn Fn(Flavour, Board) -> Result<PathBuf>,
    /// The ramdisk with busybox.
    pub(crate) busybox: &'s dyn Fn(Board) -> Result<PathBuf>,
    /// The ramdisk for a root file system on a disk.
    pub(crate) pv: &'s dyn Fn(Board) -> Result<PathBuf>,
    /// The same with what measures requests.
    pub(crate) bench_io: &'s dyn Fn(Board) -> Result<PathBuf>,
    /// The ramdisk of the peer's domain 0.
    pub(crate) domain0: &'s dyn Fn() -> Result<PathBuf>,
    /// The ramdisk with busybox and cyclictest.
    pub(crate) cyclictest: &'s dyn Fn() -> Result<PathBuf>,
}

/// The random bytes that a loader leaves in `/chosen`: here the same ones for every run, as runs are to be the same.
const SEED: [u8; 32] = *b"random bytes, equal in all runs.";

/// A composed machine, ready for the emulator.
pub(crate) struct Composed {
    /// The device tree's file.
    pub(crate) tree: PathBuf,
    /// Files and where they go.
    pub(crate) modules: Vec<Module>,
    /// Words in memory beside them.
    pub(crate) words: Vec<Word>,
    /// Whether the tree must reach the hypervisor untouched by the emulator's own loader.
    pub(crate) verbatim: bool,
}

/// Writes the device tree of a scenario into `folder`, and lays out its modules.
///
/// # Errors
/// Names the guest or file that does not fit.
pub(crate) fn compose(scenario: &Scenario, qemu: &Qemu, sources: &Sources<'_>, folder: &Path) -> Result<Composed> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut tree = base::tree(qemu, &scenario.machine, folder)?;
    let ram = scenario.machine.memory_mib << 20;
    let mut layout = match scenario.machine.board {
        Board::QemuVirt => Layout::new(ram),
        Board::X86 => Layout::in_order(ram),
    };
    check_memory(scenario)?;
    // Scenarios run beside each other, and guests of the same name stand in many of them.
    let own = folder.join(scenario.name());
    std::fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
    let mut domains = Vec::new();
    for guest in &io_domain::equipped(scenario, &mut layout)? {
        if sources.whose == Whose::Peers && guest.io_domain {
            domains.extend(domain0(scenario, sources, &mut layout)?);
            continue;
        }
        let node = domain(scenario, guest, sources, &mut layout, &own);
        domains.push(node.with_context(|| format!("guest `{}`", guest.name))?);
    }
    let chosen = match tree.find_node_mut("/chosen") {
        Some(chosen) => chosen,
        None => tree.root.add_child_mut(DeviceTreeNode::new("chosen")?),
    };
    if let Some(options) = bootargs(scenario, sources.whose) {
        set(chosen, "xen,xen-bootargs", options)?;
    }
    if scenario.machine.board == Board::QemuVirt {
        set(chosen, "rng-seed", SEED.as_slice())?;
    }
    if sources.whose == Whose::Peers && scenario.io_domain().is_some() {
        // The numbers of domain 0's modules, which are in no node of a guest.
        set(chosen, "#address-cells", 2u32)?;
        set(chosen, "#size-cells", 2u32)?;
    }
    for node in domains {
        chosen.add_child(node);
    }
    tamper::tree(&mut tree, &scenario.tamper)?;
    let path = folder.join(format!("{}.dtb", scenario.name()));
    std::fs::write(&path, tree.to_dtb()).with_context(|| format!("cannot write {}", path.display()))?;
    let verbatim = !scenario.tamper.remove.is_empty();
    Ok(Composed { tree: path, modules: layout.modules, words: scenario.words.clone(), verbatim })
}

/// Guests larger than the machine are refused here, where the file can be named; the hypervisor checks again.
fn check_memory(scenario: &Scenario) -> Result<()> {
    let wanted: u64 = scenario.guests.iter().map(|guest| guest.memory_mib).sum();
    let machine = scenario.machine.memory_mib;
    if wanted >= machine {
        bail!("{}: guests want {wanted} MiB together, but the machine has {machine} MiB", scenario.path.display());
    }
    Ok(())
}

fn bootargs(scenario: &Scenario, whose: Whose) -> Option<String> {
    if whose == Whose::Peers {
        return Some(peer::options(scenario));
    }
    let log = scenario.hypervisor.log.map(|log| match log {
        Log::Plain => "log=plain".to_owned(),
        Log::Defmt => "log=defmt".to_owned(),
    });
    let scheduler = scenario.hypervisor.scheduler.map(|scheduler| format!("sched={}", scheduler.word()));
    let measure = scenario.hypervisor.measure_stretches.then(|| "measure=stretches".to_owned());
    log.into_iter().chain(scheduler).chain(measure).reduce(|words, word| format!("{words} {word}"))
}

fn domain(
    scenario: &Scenario,
    guest: &Guest,
    sources: &Sources<'_>,
    layout: &mut Layout,
    folder: &Path,
) -> Result<DeviceTreeNode> {
    let mut node = DeviceTreeNode::new(guest.name.as_str())?;
    set(&mut node, "compatible", "xen,domain")?;
    set(&mut node, "#address-cells", 2u32)?;
    set(&mut node, "#size-cells", 2u32)?;
    set(&mut node, "memory", guest.memory_mib * 1024)?;
    set(&mut node, "cpus", guest.vcpus)?;
    set(&mut node, "xen,enhanced", if sources.whose == Whose::Peers { peer::enhanced(scenario) } else { "enabled" })?;
    if guest.vpl011 {
        set(&mut node, "vpl011", cells(&[]).as_slice())?;
    }
    policies(&mut node, guest)?;
    fixed::describe(&mut node, scenario, guest)?;
    io_domain::describe(&mut node, guest)?;
    let kernel = kernel(scenario, guest, sources)?;
    let kernel = if guest.gzip { packed(&kernel, &guest.name, folder)? } else { kernel };
    let kernel = tamper::kernel(&scenario.tamper, &guest.name, kernel, folder)?;
    let mut kernel = module(layout, &kernel, "multiboot,kernel")?;
    if !guest.bootargs.is_empty() {
        set(&mut kernel, "bootargs", guest.bootargs.as_str())?;
    }
    node.add_child(kernel);
    if let Some(path) = ramdisk(scenario, guest, sources)? {
        node.add_child(module(layout, &path, "multiboot,ramdisk")?);
    }
    if !guest.device_tree.is_empty() {
        let path = fixed::partial(&guest.device_tree, &guest.name, folder)?;
        node.add_child(module(layout, &path, "multiboot,device-tree")?);
    }
    Ok(node)
}

/// The peer's domain 0, in an I/O domain's place: its modules, which lie in no node of their own.
fn domain0(scenario: &Scenario, sources: &Sources<'_>, layout: &mut Layout) -> Result<[DeviceTreeNode; 2]> {
    let kernel = (sources.kernel)(Flavour::Full, scenario.machine.board)?;
    let mut kernel = module(layout, &kernel, "multiboot,kernel")?;
    set(&mut kernel, "bootargs", "console=hvc0 quiet")?;
    Ok([kernel, module(layout, &(sources.domain0)()?, "multiboot,ramdisk")?])
}

/// The file of a guest's kernel.
///
/// # Errors
/// It cannot be fetched.
pub(crate) fn kernel(scenario: &Scenario, guest: &Guest, sources: &Sources<'_>) -> Result<PathBuf> {
    match (guest.program, &guest.image) {
        (Some(program), _) => Ok((sources.program)(program.name())),
        (None, Some(image)) => match image.to_str().and_then(Flavour::of_word) {
            Some(flavour) => (sources.kernel)(flavour, scenario.machine.board),
            None => Ok(scenario.resolve(image)),
        },
        (None, None) => bail!("neither `program` nor `image`"),
    }
}

/// The file of a guest's RAM disk.
///
/// # Errors
/// It cannot be fetched.
pub(crate) fn ramdisk(scenario: &Scenario, guest: &Guest, sources: &Sources<'_>) -> Result<Option<PathBuf>> {
    let Some(ramdisk) = &guest.ramdisk else { return Ok(None) };
    Ok(Some(match ramdisk.to_str() {
        Some("clip") => (sources.clip)()?,
        Some("clip-start") => (sources.clip_start)()?,
        Some("busybox") => (sources.busybox)(scenario.machine.board)?,
        Some("bench-io") => (sources.bench_io)(scenario.machine.board)?,
        Some("pv") => (sources.pv)(scenario.machine.board)?,
        Some("cyclictest") if scenario.machine.board == Board::X86 => bail!("`cyclictest` is for arm64 only so far"),
        Some("cyclictest") => (sources.cyclictest)()?,
        _ => scenario.resolve(ramdisk),
    }))
}

/// The properties that are this project's own.
fn policies(node: &mut DeviceTreeNode, guest: &Guest) -> Result<()> {
    if let Some(weight) = guest.weight {
        set(node, "makuhari,weight", weight)?;
    }
    if let Some(class) = guest.sched {
        set(node, "makuhari,sched", class.word())?;
    }
    let times = [("budget-ns", guest.budget_ns), ("period-ns", guest.period_ns), ("deadline-ns", guest.deadline_ns)];
    for (name, time) in times {
        if let Some(time) = time {
            set(node, &format!("makuhari,{name}"), time)?;
        }
    }
    for (name, wanted) in [("reclaim", guest.reclaim), ("hard", guest.hard), ("auto-reserve", guest.auto_reserve)] {
        if wanted {
            set(node, &format!("makuhari,{name}"), cells(&[]).as_slice())?;
        }
    }
    if let Some(affinity) = &guest.affinity {
        set(node, "makuhari,cpu-affinity", affinity.as_slice())?;
    }
    for (name, list) in [("makuhari,ioports", guest.ioports.as_flattened()), ("makuhari,irqs", &guest.irqs)] {
        if !list.is_empty() {
            set(node, name, list)?;
        }
    }
    if !guest.iomem.is_empty() {
        set(node, "makuhari,iomem", cells(guest.iomem.as_flattened()).as_slice())?;
    }
    let actions = [("on-poweroff", guest.on_poweroff), ("on-reboot", guest.on_reboot), ("on-crash", guest.on_crash)];
    for (event, action) in actions {
        if let Some(action) = action {
            set(node, &format!("makuhari,{event}"), action.word())?;
        }
    }
    for (name, words) in [("makuhari,allow", &guest.allow), ("makuhari,peers", &guest.peers)] {
        if let Some(words) = words {
            set(node, name, strings(words).as_slice())?;
        }
    }
    Ok(())
}

/// A guest's kernel, packed by gzip.
fn packed(kernel: &Path, guest: &str, folder: &Path) -> Result<PathBuf> {
    let bytes = std::fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).context("cannot pack the kernel")?;
    let path = folder.join(format!("{guest}.gz"));
    let bytes = encoder.finish().context("cannot pack the kernel")?;
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn module(layout: &mut Layout, path: &Path, kind: &str) -> Result<DeviceTreeNode> {
    let place = layout.place(path)?;
    let name = match place {
        Some((address, _)) => format!("module@{address:x}"),
        None => kind.trim_start_matches("multiboot,").to_owned(),
    };
    let mut node = DeviceTreeNode::new(name)?;
    set(&mut node, "compatible", strings(&[kind.into(), "multiboot,module".into()]).as_slice())?;
    if let Some((address, size)) = place {
        set(&mut node, "reg", cells(&[address, size]).as_slice())?;
    }
    Ok(node)
}

fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) -> Result<()> {
    node.add_property(DeviceTreeProperty::new(name, value)?);
    Ok(())
}

/// A list of strings, each ended by a zero byte.
fn strings(words: &[String]) -> Vec<u8> {
    words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

/// 64-bit numbers as pairs of cells.
fn cells(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}
