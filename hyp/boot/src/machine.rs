//! What the machine is, read from the loader's device tree.
//!
//! What every machine has is a [`Host`]; on a PC that comes from the firmware's tables, and the tree only names the guests.
//! A [`Machine`] is one that the tree describes.
//!
//! The hypervisor drives few devices; everything it needs to know of them is in the tree, so that a board needs no table
//! of addresses. Bindings: Devicetree Specification 3.4 (memory), 3.5 (reserved memory), 3.8 (cpus), and Linux's
//! `arm,gic`, `arm,gic-v3`, `arm,arch_timer` and `arm,psci`.

use dtoolkit::Node;
use heapless::Vec;

use crate::assigned::Kind;
use crate::limits::{MAX_CPUS, MAX_MODULES, MAX_RAM, MAX_RESERVED};
use crate::plan::Banks;
use crate::tree::{self, Buses, Device, Spot, StringList, device_and_below, each_device, number};
use crate::{BootError, Region};

/// How to call the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// By `hvc #0`.
    Hvc,
    /// By `smc #0`.
    Smc,
}

/// The interrupt controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv3 or v4.
    V3(GicV3),
    /// GICv2 with virtualization extensions.
    V2(GicV2),
}

/// A GICv3. INTIDs as in the GIC architecture: PPI n is 16 + n, SPI n is 32 + n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GicV3 {
    /// The distributor's registers, 64 KiB.
    pub distributor: Region,
    /// Regions of redistributors, each holding one frame after another.
    pub redistributors: Vec<Region, 4>,
    /// Bytes from one redistributor to the next, where the tree says; else as the first of them tells.
    pub stride: Option<u64>,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// A GICv2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GicV2 {
    /// The distributor's registers.
    pub distributor: Region,
    /// Those of the CPU interface.
    pub cpu: Region,
    /// Those by which a hypervisor shows interrupts to guests.
    pub hypervisor: Region,
    /// Those that guests see as their CPU interface.
    pub virtual_cpu: Region,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// INTIDs of the architected timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The hypervisor's own.
    pub hypervisor: u32,
    /// The virtual one.
    pub virtual_: u32,
    /// The non-secure physical one.
    pub physical: u32,
}

/// The serial port that `/chosen/stdout-path` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uart<'a> {
    /// Its node's name.
    pub node: &'a str,
    /// What it is.
    pub compatible: StringList<'a>,
    /// Its registers.
    pub registers: Region,
    /// Registers lie `1 << register_shift` bytes apart (`reg-shift`; 16550 only).
    pub register_shift: u32,
    /// Its INTID.
    pub interrupt: Option<u32>,
}

/// What guests are given of any machine, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// RAM, sorted, without overlaps, neighbours joined.
    pub ram: Vec<Region, MAX_RAM>,
    /// Ranges of RAM that belong to somebody else: `/reserved-memory` and the blob's reservation block.
    pub reserved: Vec<Region, MAX_RESERVED>,
    /// What the CPUs are called: affinity in the tree's order, or APIC identifiers. The CPU that boots need not be the
    /// first.
    pub cpus: Vec<u64, MAX_CPUS>,
    /// CPUs beyond those that the hypervisor has room for.
    pub cpus_left_out: u32,
    /// Files that the loader put into memory without saying in the tree where: they belong to the modules without `reg`, in
    /// the tree's order.
    pub loose: Vec<Region, MAX_MODULES>,
    /// Where guests of this architecture have their RAM.
    pub banks: Banks,
    /// The hypervisor's command line.
    pub options: &'a str,
    /// Properties that guests of this architecture alone can have.
    pub(crate) properties: &'static [&'static str],
    /// `/chosen`: going through a tree is most of the work of reading it, so that it is looked for once.
    pub(crate) chosen: Option<Spot<'a>>,
}

impl<'a> Host<'a> {
    /// A machine that its firmware describes, with the guests that a tree names. `blob` may be longer than the tree.
    ///
    /// # Errors
    ///
    /// The tree is damaged, or there is no RAM or no CPU.
    pub fn described(
        blob: &'a [u8],
        ram: &[Region],
        cpus: Vec<u64, MAX_CPUS>,
        loose: Vec<Region, MAX_MODULES>,
    ) -> Result<Self, BootError<'a>> {
        let (root, _) = tree::open(blob)?;
        let chosen = root.child("chosen")?;
        let options = chosen.as_ref().map_or(Ok(""), read_options)?;
        let (mut sorted, mut reserved) = (Vec::new(), Vec::new());
        for region in ram {
            note_memory(&mut sorted, *region, root)?;
        }
        for region in &loose {
            note_reserved(&mut reserved, *region, root)?;
        }
        join(&mut sorted);
        let (banks, properties) = (Banks::PC, Kind::PROPERTIES.as_slice());
        Self { ram: sorted, reserved, cpus, cpus_left_out: 0, loose, banks, options, properties, chosen }.checked()
    }

    fn checked(self) -> Result<Self, BootError<'a>> {
        if self.ram.is_empty() {
            return Err(BootError::NoMemory);
        }
        if self.cpus.is_empty() {
            return Err(BootError::NoCpu);
        }
        Ok(self)
    }
}

/// A machine that its tree describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine<'a> {
    /// What every machine has.
    pub host: Host<'a>,
    /// How to call PSCI; `None` without PSCI.
    pub psci: Option<Conduit>,
    /// The interrupt controller.
    pub gic: Gic,
    /// The timers.
    pub timer: Timer,
    /// The console, where the tree names one.
    pub uart: Option<Uart<'a>>,
    /// Random bytes from the loader, none if it gives none.
    pub seed: &'a [u8],
}

/// Whoever asks about a machine mostly asks about its memory and its CPUs.
impl<'a> core::ops::Deref for Machine<'a> {
    type Target = Host<'a>;

    fn deref(&self) -> &Host<'a> {
        &self.host
    }
}

impl<'a> Machine<'a> {
    /// Reads the machine from a tree. `blob` may be longer than the tree.
    ///
    /// # Errors
    ///
    /// The first thing found without which the hypervisor cannot run.
    #[inline(never)]
    pub fn parse(blob: &'a [u8]) -> Result<Self, BootError<'a>> {
        let (root, reservations) = tree::open(blob)?;
        let (mut ram, mut reserved) = (Vec::new(), Vec::new());
        for reservation in reservations {
            note_reserved(&mut reserved, reservation, root)?;
        }
        let (mut cpus, mut cpus_left_out) = (Vec::new(), 0);
        let (mut options, mut chosen) = ("", None);
        let (mut found, mut buses) = (Found::default(), Vec::new());
        for node in root.children()? {
            device_and_below(node, &mut buses, &mut |spot, compatible, buses| found.look(spot, compatible, buses))?;
            match node.stem() {
                "memory" => read_memory(&node, &mut ram)?,
                "reserved-memory" => read_reserved(&node, &mut reserved)?,
                "cpus" => cpus_left_out = read_cpus(&node, &mut cpus)?,
                "chosen" => {
                    options = read_options(&node)?;
                    chosen = Some(node);
                }
                _ => {}
            }
        }
        join(&mut ram);
        let banks = Banks::ARM;
        let (loose, properties) = (Vec::new(), [].as_slice());
        let host = Host { ram, reserved, cpus, cpus_left_out, loose, banks, options, properties, chosen };
        Ok(Self {
            host: host.checked()?,
            psci: found.psci()?,
            gic: found.gic()?,
            timer: found.timer()?,
            uart: read_uart(root, chosen, options)?,
            seed: chosen.and_then(|chosen| chosen.value("rng-seed")).unwrap_or_default(),
        })
    }

    /// Finds the console and the way to call firmware in a tree that may lack everything else, so that what is wrong with
    /// it can be said and the machine switched off.
    #[inline(never)]
    pub fn last_words(blob: &'a [u8]) -> (Option<Uart<'a>>, Option<Conduit>) {
        let Ok((root, _)) = tree::open(blob) else { return (None, None) };
        let chosen = root.child("chosen").ok().flatten();
        let conduit = Found::search(root).and_then(|found| found.psci());
        (read_uart(root, chosen, "").ok().flatten(), conduit.ok().flatten())
    }
}

fn read_memory<'a>(node: &Spot<'a>, ram: &mut Vec<Region, MAX_RAM>) -> Result<(), BootError<'a>> {
    if !node.enabled() {
        return Ok(());
    }
    node.reg()?.filter(|region| region.size != 0).try_for_each(|region| note_memory(ram, region, *node))
}

/// Kept sorted. A sort of the library would be larger than the rest of this file.
fn note_memory<'a>(ram: &mut Vec<Region, MAX_RAM>, region: Region, node: Spot<'a>) -> Result<(), BootError<'a>> {
    let full = BootError::TooMany { path: node.path, what: "ranges of RAM", limit: MAX_RAM };
    let at = ram.iter().position(|other| other.start > region.start).unwrap_or(ram.len());
    ram.insert(at, region).map_err(|_| full)
}

/// Joins sorted ranges that touch or overlap.
fn join(ram: &mut Vec<Region, MAX_RAM>) {
    let mut joined: Vec<Region, MAX_RAM> = Vec::new();
    for region in ram.iter() {
        match joined.last_mut() {
            Some(last) if region.start <= last.end() => {
                *last = Region::between(last.start, last.end().max(region.end()));
            }
            // Cannot fail: there are no more than before.
            _ => drop(joined.push(*region)),
        }
    }
    *ram = joined;
}

fn read_reserved<'a>(node: &Spot<'a>, reserved: &mut Vec<Region, MAX_RESERVED>) -> Result<(), BootError<'a>> {
    // A child without reg asks the operating system to choose a place: no memory is taken yet.
    for child in node.children()?.filter(Spot::enabled) {
        for region in child.reg()? {
            note_reserved(reserved, region, child)?;
        }
    }
    Ok(())
}

fn note_reserved<'a>(
    reserved: &mut Vec<Region, MAX_RESERVED>,
    region: Region,
    node: Spot<'a>,
) -> Result<(), BootError<'a>> {
    let full = BootError::TooMany { path: node.path, what: "reserved ranges", limit: MAX_RESERVED };
    reserved.push(region).map_err(|_| full)
}

/// Reads `/cpus`. Returns how many CPUs found no room.
fn read_cpus<'a>(node: &Spot<'a>, cpus: &mut Vec<u64, MAX_CPUS>) -> Result<u32, BootError<'a>> {
    let mut left_out = 0u32;
    for cpu in node.children()?.filter(|child| child.stem() == "cpu") {
        // "disabled" means parked until PSCI starts it; "fail" means broken (Devicetree Specification, 3.8.1).
        if cpu.strings("status").iter().any(|status| status.starts_with("fail")) {
            continue;
        }
        if let Some(method) = cpu.text("enable-method")?
            && method != "psci"
        {
            return Err(BootError::BadWord {
                path: cpu.path,
                property: "enable-method",
                word: method,
                want: "\"psci\": use firmware that has PSCI",
            });
        }
        let affinity = cpu.reg()?.next().ok_or(BootError::Missing { path: cpu.path, property: "reg = <affinity>" })?;
        if cpus.push(affinity.start).is_err() {
            left_out = left_out.saturating_add(1);
        }
    }
    Ok(left_out)
}

/// The devices that one pass over the tree found.
#[derive(Default)]
struct Found<'a> {
    gic: Option<Device<'a>>,
    timer: Option<Device<'a>>,
    psci: Option<Device<'a>>,
}

impl<'a> Found<'a> {
    fn search(root: Spot<'a>) -> Result<Self, BootError<'a>> {
        let mut found = Self::default();
        each_device(root, &mut Vec::new(), &mut |spot, compatible, buses| found.look(spot, compatible, buses))?;
        Ok(found)
    }

    /// Notes a device if it is one of those, and the first.
    fn look(&mut self, spot: Spot<'a>, compatible: StringList<'a>, buses: &Buses<'a>) {
        for name in compatible.each() {
            let slot = match name {
                b"arm,gic-v3" | b"arm,gic-400" | b"arm,cortex-a15-gic" => &mut self.gic,
                b"arm,armv8-timer" => &mut self.timer,
                b"arm,psci-1.0" | b"arm,psci-0.2" => &mut self.psci,
                _ => continue,
            };
            slot.get_or_insert_with(|| Device { spot, buses: buses.clone() });
            return;
        }
    }

    fn psci(&self) -> Result<Option<Conduit>, BootError<'a>> {
        let Some(Device { spot, .. }) = &self.psci else { return Ok(None) };
        match spot.text("method")?.ok_or(BootError::Missing { path: spot.path, property: "method = \"smc\"" })? {
            "hvc" => Ok(Some(Conduit::Hvc)),
            "smc" => Ok(Some(Conduit::Smc)),
            word => Err(BootError::BadWord { path: spot.path, property: "method", word, want: "\"smc\" or \"hvc\"" }),
        }
    }

    fn gic(&self) -> Result<Gic, BootError<'a>> {
        let device = self.gic.as_ref().ok_or(BootError::NoGic)?;
        let maintenance = device.interrupt(0).ok_or(BootError::NoGic)?;
        if device.spot.is("arm,gic-v3") { gic_v3(device, maintenance) } else { gic_v2(device, maintenance) }
    }

    fn timer(&self) -> Result<Timer, BootError<'a>> {
        let device = self.timer.as_ref().ok_or(BootError::NoTimer)?;
        let names = device.spot.strings("interrupt-names");
        // Without names the order is: secure, non-secure, virtual, hypervisor.
        let find = |name: &str, usual: usize| {
            device.interrupt(names.iter().position(|known| known == name).unwrap_or(usual)).ok_or(BootError::NoTimer)
        };
        Ok(Timer { physical: find("phys", 1)?, virtual_: find("virt", 2)?, hypervisor: find("hyp-phys", 3)? })
    }
}

fn gic_v3<'a>(device: &Device<'a>, maintenance: u32) -> Result<Gic, BootError<'a>> {
    let spot = &device.spot;
    let count = spot.cell("#redistributor-regions")?.unwrap_or(1);
    let registers: Vec<Region, 5> = device.registers()?;
    let mut registers = registers.into_iter();
    let distributor = registers.next().ok_or(BootError::NoGic)?;
    let redistributors: Vec<Region, 4> = registers.take(count as usize).collect();
    if count == 0 || redistributors.len() != count as usize {
        return Err(spot.bad("#redistributor-regions", "1 to 4, with a range in reg for each"));
    }
    let stride = spot.value("redistributor-stride").and_then(number);
    Ok(Gic::V3(GicV3 { distributor, redistributors, stride, maintenance }))
}

fn gic_v2<'a>(device: &Device<'a>, maintenance: u32) -> Result<Gic, BootError<'a>> {
    let registers: Vec<Region, 4> = device.registers()?;
    let &[distributor, cpu, hypervisor, virtual_cpu] = registers.as_slice() else {
        return Err(device.spot.bad("reg", "four ranges: distributor, CPU interface, and both virtual interfaces"));
    };
    Ok(Gic::V2(GicV2 { distributor, cpu, hypervisor, virtual_cpu, maintenance }))
}

/// The hypervisor's command line, where Xen finds it: `bootargs` are for it when there are others for a control domain.
fn read_options<'a>(chosen: &Spot<'a>) -> Result<&'a str, BootError<'a>> {
    if let Some(options) = chosen.text("xen,xen-bootargs")? {
        return Ok(options);
    }
    let kernel = |node: &Spot<'_>| node.is("multiboot,kernel") || node.is("xen,linux-zimage");
    let others = chosen.value("xen,dom0-bootargs").is_some()
        || chosen.heirs()?.any(|node| kernel(&node) && node.value("bootargs").is_some());
    Ok(if others { chosen.text("bootargs")?.unwrap_or_default() } else { "" })
}

/// Finds the console: a path or an alias, with options behind a colon. The command line's `dtuart` comes first.
fn read_uart<'a>(
    root: Spot<'a>,
    chosen: Option<Spot<'a>>,
    options: &'a str,
) -> Result<Option<Uart<'a>>, BootError<'a>> {
    let Some(chosen) = chosen else { return Ok(None) };
    let named = options.split_ascii_whitespace().find_map(|word| word.strip_prefix("dtuart="));
    let (property, stdout) = match (named, chosen.text("stdout-path")?) {
        (Some(named), _) => ("dtuart of the hypervisor's options", named),
        (None, Some(stdout)) => ("stdout-path", stdout),
        (None, None) => return Ok(None),
    };
    let name = stdout.split_once(':').map_or(stdout, |(name, _)| name);
    let path = if name.starts_with('/') {
        Some(name)
    } else {
        root.child("aliases")?.and_then(|aliases| aliases.value(name)).and_then(tree::text)
    };
    let device = path.map(|path| Device::at_path(root, path)).transpose()?.flatten();
    let registers: Vec<Region, 1> = device.as_ref().map(Device::registers).transpose()?.unwrap_or_default();
    let (Some(device), Some(registers)) = (device, registers.first()) else {
        let want = "the path or the alias of a serial port in this tree";
        return Err(BootError::BadWord { path: chosen.path, property, word: stdout, want });
    };
    Ok(Some(Uart {
        node: device.spot.node.name(),
        compatible: device.spot.strings("compatible"),
        registers: *registers,
        register_shift: device.spot.cell("reg-shift")?.unwrap_or(0),
        interrupt: device.interrupt(0),
    }))
}
