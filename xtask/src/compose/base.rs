//! The machine's own device tree, as the emulator writes it. It costs a start of the emulator, so it is kept per
//! machine and version.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;

use crate::qemu::Qemu;
use crate::scenario::Machine;

/// Reads the machine's tree, from the cache if it is there.
pub(crate) fn tree(qemu: &Qemu, machine: &Machine, folder: &Path) -> Result<DeviceTree> {
    let Machine { cpus, memory_mib, gic, cpu } = machine;
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
