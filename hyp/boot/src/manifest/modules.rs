//! Reads the children of a guest's node: its modules, and what it has in common with other guests.

use dtoolkit::{Node, Property};

use super::{Fixed, Kind, Loose, Module, Warnings, warn};
use crate::BootError;
use crate::tree::{Spot, StringList};

/// Characters of a command line: twice what Linux takes.
const MAX_BOOTARGS: usize = 4095;

/// A guest's modules.
pub(super) struct Modules<'a> {
    pub(super) kernel: Module<'a>,
    pub(super) ramdisk: Option<Module<'a>>,
    pub(super) tree: Option<Module<'a>>,
    pub(super) bootargs: &'a str,
}

enum Role {
    Kernel,
    Ramdisk,
    Tree,
}

/// What a node is for. The second words are those of Xen 4.4, which Xen takes for its control domain only.
fn role(compatible: &StringList<'_>) -> Option<Role> {
    let has = |words: [&str; 2]| words.iter().any(|word| compatible.has(word));
    if has(["multiboot,kernel", "xen,linux-zimage"]) {
        Some(Role::Kernel)
    } else if has(["multiboot,ramdisk", "xen,linux-initrd"]) {
        Some(Role::Ramdisk)
    } else if compatible.has("multiboot,device-tree") {
        Some(Role::Tree)
    } else {
        None
    }
}

/// Is it a module of any kind?
pub(super) fn is_module(compatible: &StringList<'_>) -> bool {
    ["multiboot,module", "xen,multiboot-module"].iter().any(|word| compatible.has(word)) || role(compatible).is_some()
}

/// Reads the children of the node of guest `domain`.
pub(super) fn read_modules<'a>(
    node: &Spot<'a>,
    domain: u8,
    loose: &mut Loose<'_>,
    fixed: &mut Fixed<'a>,
    warnings: &mut Warnings<'a>,
) -> Result<Modules<'a>, BootError<'a>> {
    let (mut kernel, mut ramdisk, mut tree, mut bootargs) = (None, None, None, "");
    for child in node.heirs()? {
        let kinds = child.strings("compatible");
        let slot = match role(&kinds) {
            Some(Role::Kernel) => &mut kernel,
            Some(Role::Ramdisk) => &mut ramdisk,
            Some(Role::Tree) => &mut tree,
            None if is_module(&kinds) => {
                let what = ": compatible must name multiboot,kernel, multiboot,ramdisk or multiboot,device-tree";
                return Err(BootError::BadNode { path: child.path, what });
            }
            None if kinds.has("xen,evtchn-v1") => {
                fixed.read_event(&child, domain)?;
                continue;
            }
            None if kinds.has("xen,domain-shared-memory-v1") => {
                fixed.read_shared(&child, domain)?;
                continue;
            }
            None => {
                warn(warnings, Kind::Node(child.path));
                continue;
            }
        };
        let loose = if child.value("reg").is_none() { loose.next().copied() } else { None };
        let place = child
            .reg()?
            .next()
            .or(loose)
            .filter(|place| place.size != 0 && place.start.checked_add(place.size).is_some());
        let place = place.ok_or(child.bad("reg", "the module's address and its size, which is not 0"))?;
        if slot.replace(Module { path: child.path, place }).is_some() {
            let what = ": the guest has another module of this kind: remove one";
            return Err(BootError::BadNode { path: child.path, what });
        }
        if let Some(text) = child.text("bootargs")? {
            if text.len() > MAX_BOOTARGS {
                return Err(child.bad("bootargs", "a string of 4,095 characters at most"));
            }
            bootargs = text;
        }
        check_names(&child, warnings)?;
    }
    let what = " has no kernel: add a module with compatible = \"multiboot,kernel\", \"multiboot,module\"";
    let kernel = kernel.ok_or(BootError::BadNode { path: node.path, what })?;
    Ok(Modules { kernel, ramdisk, tree, bootargs })
}

pub(super) fn is_known(name: &str) -> bool {
    ["compatible", "reg", "bootargs", "phandle"].contains(&name)
}

fn check_names<'a>(module: &Spot<'a>, warnings: &mut Warnings<'a>) -> Result<(), BootError<'a>> {
    let mut odd = false;
    for property in module.node.properties() {
        let name = property.name();
        if name.starts_with("makuhari,") {
            return Err(BootError::UnknownProperty { path: module.path, property, near: None });
        }
        odd |= !is_known(name);
    }
    if odd {
        warn(warnings, Kind::Module(*module));
    }
    Ok(())
}
