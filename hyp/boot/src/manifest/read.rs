//! Reads a guest's node and its modules, property by property.

use dtoolkit::{Node, Property};
use heapless::Vec;

use super::domain::GROUPS;
use super::{Allow, DomainSpec, EndAction, MAX_WARNINGS, Module, Warning, warn};
use crate::BootError;
use crate::limits::{MAX_CPUS, MAX_DOMAINS, MAX_VCPUS_PER_DOMAIN};
use crate::machine::Machine;
use crate::tree::{Spot, StringList, number};

/// The properties with our prefix, in a guest's node.
const OURS: [&str; 8] = [
    "makuhari,weight",
    "makuhari,cpu-affinity",
    "makuhari,on-poweroff",
    "makuhari,on-reboot",
    "makuhari,on-crash",
    "makuhari,on-watchdog",
    "makuhari,allow",
    "makuhari,peers",
];

/// Reads a guest. Its peers are found later, when all guests are known.
pub(super) fn read_domain<'a>(
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
        // Who says what follows a crash means this one too.
        on_watchdog: end_action(node, "makuhari,on-crash", EndAction::Destroy)
            .and_then(|crash| end_action(node, "makuhari,on-watchdog", crash))?,
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
        let want = "of \"version\", \"console\", \"sched\", \"events\", \"vcpu\", \"params\", \"memory\", \"control\"";
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
