//! The machine's own device tree, as the emulator writes it. It costs a start of the emulator, so it is kept per
//! machine and version. A PC has none, so that its tree holds nothing but what is added.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;

use super::set;
use crate::board::Board;
use crate::qemu::Qemu;
use crate::scenario::Machine;

/// Reads the machine's tree, from the cache if it is there.
pub(crate) fn tree(qemu: &Qemu, machine: &Machine, folder: &Path) -> Result<DeviceTree> {
    if machine.board == Board::X86 {
        return empty();
    }
    let Machine { cpus, memory_mib, gic, .. } = machine;
    let cpu = machine.cpu();
    let path = folder.join(format!("base-{}-{}-{cpus}cpu-{memory_mib}m-gic{gic}.dtb", qemu.version, cpu.name()));
    if !path.exists() {
        // Two tests may want the same tree at once: write aside, then rename.
        let aside = path.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
        qemu.dump_tree(machine, &aside)?;
        std::fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let fdt = Fdt::new(&bytes).map_err(|error| anyhow!("{} is no device tree: {error:?}", path.display()))?;
    Ok(DeviceTree::from_fdt(&fdt))
}

/// A tree of its own for a machine that has none.
fn empty() -> Result<DeviceTree> {
    let mut tree = DeviceTree::new();
    set(&mut tree.root, "#address-cells", 2u32)?;
    set(&mut tree.root, "#size-cells", 2u32)?;
    set(&mut tree.root, "compatible", "makuhari,x86")?;
    Ok(tree)
}
