//! Reads a guest's node, property by property.

use dtoolkit::{Node, Property};
use hyp_core::sched::Share;

use super::domain::GROUPS;
use super::modules::read_modules;
use super::schedule::read_promise;
use super::{Allow, DomainSpec, EndAction, Fixed, Group, Kind, Loose, Warnings, warn};
use crate::BootError;
use crate::limits::{MAX_CPUS, MAX_DOMAINS, MAX_VCPUS_PER_DOMAIN};
use crate::machine::Host;
use crate::tree::{Spot, number};

/// The properties with our prefix, in a guest's node.
const OURS: [&str; 21] = [
    "makuhari,weight",
    "makuhari,sched",
    "makuhari,budget-ns",
    "makuhari,period-ns",
    "makuhari,deadline-ns",
    "makuhari,reclaim",
    "makuhari,hard",
    "makuhari,auto-reserve",
    "makuhari,cpu-affinity",
    "makuhari,on-poweroff",
    "makuhari,on-reboot",
    "makuhari,on-crash",
    "makuhari,on-watchdog",
    "makuhari,allow",
    "makuhari,peers",
    "makuhari,io-domain",
    // An I/O domain reads these.
    "makuhari,disk",
    "makuhari,nic",
    "makuhari,sound",
    "makuhari,display",
    "makuhari,keyboard",
];

/// Reads guest `domain`. Its peers are found later, when all guests are known.
pub(super) fn read_domain<'a>(
    node: &Spot<'a>,
    domain: u8,
    host: &Host<'a>,
    loose: &mut Loose<'_>,
    (fixed, warnings): (&mut Fixed<'a>, &mut Warnings<'a>),
) -> Result<DomainSpec<'a>, BootError<'a>> {
    check_names(node, host.properties, warnings)?;
    if node.stem() == "hyp" {
        let what = ": the hypervisor's own lines on the console begin with [hyp]: give the guest another name";
        return Err(BootError::BadNode { path: node.path, what });
    }
    let memory = read_memory(node)?;
    let direct_map = fixed.read_memory(node, domain, memory)?;
    let modules = read_modules(node, domain, loose, fixed, warnings)?;
    let (enhanced, xenstore) = read_enhanced(node)?;
    check_passthrough(node)?;
    Ok(DomainSpec {
        name: node.stem(),
        path: node.path,
        memory,
        cpus: read_cpus(node)?,
        share: Share { weight: read_weight(node)?, promise: read_promise(node)? },
        affinity: read_affinity(node, host.cpus.len())?,
        vpl011: node.value("vpl011").is_some(),
        enhanced,
        xenstore,
        direct_map,
        on_poweroff: end_action(node, "makuhari,on-poweroff", EndAction::Destroy)?,
        on_reboot: end_action(node, "makuhari,on-reboot", EndAction::Restart)?,
        on_crash: end_action(node, "makuhari,on-crash", EndAction::Destroy)?,
        // Who says what follows a crash means this one too.
        on_watchdog: end_action(node, "makuhari,on-crash", EndAction::Destroy)
            .and_then(|crash| end_action(node, "makuhari,on-watchdog", crash))?,
        io_domain: node.value("makuhari,io-domain").is_some(),
        allow: read_allow(node)?,
        peers: 0,
        kernel: modules.kernel,
        ramdisk: modules.ramdisk,
        tree: modules.tree,
        bootargs: modules.bootargs,
    })
}

/// Xen's properties that have their effect here.
const XENS: [&str; 13] = [
    "compatible",
    "#address-cells",
    "#size-cells",
    "phandle",
    "memory",
    "cpus",
    "vpl011",
    "xen,enhanced",
    "passthrough",
    "xen,static-mem",
    "#xen,static-mem-address-cells",
    "#xen,static-mem-size-cells",
    "direct-map",
];

/// Has a guest's property an effect here, or asks it for what every guest has?
pub(super) fn is_known(node: &Spot<'_>, name: &str) -> bool {
    match name {
        "max_grant_version" => matches!(node.cell("max_grant_version"), Ok(Some(1))),
        _ => XENS.contains(&name) || OURS.contains(&name),
    }
}

/// Refuses what looks like ours and is not; notes what is nobody's.
fn check_names<'a>(node: &Spot<'a>, more: &[&'static str], warnings: &mut Warnings<'a>) -> Result<(), BootError<'a>> {
    let mut odd = false;
    for property in node.node.properties() {
        let name = property.name();
        if is_known(node, name) || more.contains(&name) {
            continue;
        }
        if name.starts_with("makuhari,") {
            return Err(BootError::UnknownProperty { path: node.path, property, near: nearest(name, more) });
        }
        odd = true;
    }
    if odd {
        warn(warnings, Kind::Guest(*node));
    }
    Ok(())
}

/// There is no driver for an IOMMU.
fn check_passthrough<'a>(node: &Spot<'a>) -> Result<(), BootError<'a>> {
    let property = "passthrough";
    match node.text(property)? {
        None | Some("disabled") => Ok(()),
        Some(word) => {
            let want = "\"disabled\": no IOMMU is driven";
            Err(BootError::BadWord { path: node.path, property, word, want })
        }
    }
}

fn read_memory<'a>(node: &Spot<'a>) -> Result<u64, BootError<'a>> {
    let want = "one or two 32-bit cells, a number of KiB";
    let value = node.value("memory").ok_or(BootError::Missing { path: node.path, property: "memory = <0 KiB>" })?;
    let value = number(value).ok_or(node.bad("memory", want))?;
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

/// Does the guest see the hypervisor, and is it to have xenstore?
fn read_enhanced<'a>(node: &Spot<'a>) -> Result<(bool, bool), BootError<'a>> {
    let property = "xen,enhanced";
    if node.value(property).is_some_and(<[u8]>::is_empty) {
        return Ok((true, true));
    }
    match node.text(property)? {
        None | Some("disabled") => Ok((false, false)),
        Some("no-xenstore") => Ok((true, false)),
        Some("enabled" | "legacy" | "") => Ok((true, true)),
        Some(word) => {
            let want = "\"enabled\", \"no-xenstore\" or \"disabled\"";
            Err(BootError::BadWord { path: node.path, property, word, want })
        }
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
    let mut allow = if node.value(property).is_some() { Allow(0) } else { Allow::ALL };
    for word in node.strings(property).iter() {
        let want = "of \"version\", \"console\", \"sched\", \"events\", \"vcpu\", \"params\", \"memory\", \"control\"";
        let bad = BootError::BadWord { path: node.path, property, word, want };
        let (group, _) = GROUPS.iter().find(|(_, name)| *name == word).ok_or(bad)?;
        allow = allow.with(*group);
    }
    // A frame buffer is named by its frames.
    Ok(if node.value("makuhari,display").is_some() { allow.with(Group::Frames) } else { allow })
}

/// The property of ours that a misspelt one was probably meant to be.
fn nearest(name: &str, more: &[&'static str]) -> Option<&'static str> {
    let known = OURS.iter().chain(more);
    let (distance, near) = known.map(|known| (distance(name.as_bytes(), known.as_bytes()), *known)).min()?;
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
