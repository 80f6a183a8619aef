//! The nodes and properties of what a scenario fixes before its guests run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dtoolkit::model::{DeviceTree, DeviceTreeNode};

use super::{cells, set, tamper};
use crate::scenario::{Guest, Scenario, Setting};

/// Adds a guest's static memory, shared memory and event channels to its node.
pub(super) fn describe(node: &mut DeviceTreeNode, scenario: &Scenario, guest: &Guest) -> Result<()> {
    if !guest.static_memory.is_empty() {
        set(node, "#xen,static-mem-address-cells", 2u32)?;
        set(node, "#xen,static-mem-size-cells", 2u32)?;
        let numbers: Vec<u64> =
            guest.static_memory.iter().flat_map(|piece| [piece.address, piece.size_mib << 20]).collect();
        set(node, "xen,static-mem", cells(&numbers).as_slice())?;
    }
    if guest.direct_map {
        set(node, "direct-map", cells(&[]).as_slice())?;
    }
    for shared in &guest.shared {
        let mut child = DeviceTreeNode::new(format!("shared-memory@{:x}", shared.guest))?;
        set(&mut child, "compatible", "xen,domain-shared-memory-v1")?;
        set(&mut child, "xen,shm-id", shared.id.as_str())?;
        let numbers: Vec<u64> = shared.host.into_iter().chain([shared.guest, shared.size_kib << 10]).collect();
        set(&mut child, "xen,shared-mem", cells(&numbers).as_slice())?;
        node.add_child(child);
    }
    for end in &guest.channels {
        let handle = |guest: &str, port| scenario.channel_handle(guest, port).context("an event channel has one end");
        let mut child = DeviceTreeNode::new(format!("evtchn@{:x}", end.port))?;
        set(&mut child, "compatible", "xen,evtchn-v1")?;
        set(&mut child, "phandle", handle(&guest.name, end.port)?)?;
        set(&mut child, "xen,evtchn", [end.port, handle(&end.to, end.remote_port)?].as_slice())?;
        node.add_child(child);
    }
    Ok(())
}

/// Writes a guest's partial device tree into `folder`.
pub(super) fn partial(settings: &[Setting], guest: &str, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{guest}-partial.dtb"));
    let tree = tree_of(settings)?;
    std::fs::write(&path, tree.to_dtb()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A tree that has these properties, and nothing else.
pub(super) fn tree_of(settings: &[Setting]) -> Result<DeviceTree> {
    let mut tree = DeviceTree::new();
    for setting in settings {
        let mut node = &mut tree.root;
        for name in setting.node.split('/').filter(|name| !name.is_empty()) {
            if node.child_mut(name).is_none() {
                node.add_child(DeviceTreeNode::new(name)?);
            }
            node = node.child_mut(name).context("a node that was just added is not there")?;
        }
        tamper::set(node, setting)?;
    }
    Ok(tree)
}
