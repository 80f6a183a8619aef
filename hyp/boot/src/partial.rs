//! A device tree that comes with a guest, of which parts are merged into the one that we write.
//!
//! Xen takes `/passthrough` and `/aliases` of it, and from `/gic` the handle by which its nodes name the interrupt
//! controller (`docs/misc/arm/passthrough.txt`). So do we, as long as it gives the guest no device: nodes that only
//! describe something, such as a fixed clock or reserved names, are the guest's own business.

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};

use crate::BootError;
use crate::manifest::{Kind, Warning};
use crate::tree::{self, Path, Spot};
use crate::writer::Writer;

/// Largest partial tree, in bytes: a guest's own tree has to hold it.
pub const MAX_BYTES: usize = 32 << 10;
/// Levels of nodes below `/passthrough`.
const DEPTH: usize = 8;
/// Properties by which Xen gives a device to a guest.
const DEVICE: [&str; 3] = ["xen,reg", "xen,path", "xen,force-assign-without-iommu"];

/// The parts that are merged.
#[derive(Clone, Copy, Debug)]
pub struct Partial<'a> {
    module: Path<'a>,
    aliases: Option<FdtNode<'a>>,
    passthrough: Option<FdtNode<'a>>,
    ignored: Option<Path<'a>>,
    /// The handle of the interrupt controller, where the tree names it.
    pub(crate) gic: Option<u32>,
    /// Bytes that it may add to a tree.
    pub(crate) size: usize,
}

impl<'a> Partial<'a> {
    /// Reads a partial tree: the bytes of the module `module`.
    ///
    /// # Errors
    ///
    /// It is damaged, too large or too deep, or gives a device to the guest.
    #[inline(never)]
    pub fn parse(module: Path<'a>, blob: &'a [u8]) -> Result<Self, BootError<'a>> {
        let (root, _) = tree::open(blob).map_err(|error| match error {
            BootError::Damaged(why) => BootError::DamagedModule { path: module, why },
            other => other,
        })?;
        let size = tree::blob_size(blob).unwrap_or(0);
        let bad = |what| BootError::BadNode { path: module, what };
        if size > MAX_BYTES {
            return Err(bad(": the tree has more than 32 KiB: remove what is not for the guest"));
        }
        let mut partial = Self { module, aliases: None, passthrough: None, ignored: None, gic: None, size };
        for child in root.children()? {
            match child.node.name() {
                "aliases" => partial.aliases = Some(child.node),
                "passthrough" => partial.passthrough = Some(child.node),
                "gic" => partial.gic = child.cell("phandle")?,
                _ => partial.ignored = partial.ignored.or(Some(child.path)),
            }
            check(module, child, DEPTH)?;
        }
        Ok(partial)
    }

    /// What of it is not merged, if there is something.
    pub fn warning(&self) -> Option<Warning<'a>> {
        self.ignored.map(|node| Warning(Kind::Partial(self.module, node)))
    }

    /// Writes its parts as children of the node that is open, which is the root.
    pub(crate) fn write(&self, tree: &mut Writer<'_>) {
        self.aliases.iter().chain(&self.passthrough).for_each(|node| copy(tree, node, DEPTH));
    }
}

/// Refuses devices, and more levels than [`copy`] may go down.
fn check<'a>(module: Path<'a>, node: Spot<'a>, levels: usize) -> Result<(), BootError<'a>> {
    if node.node.properties().any(|property| DEVICE.contains(&property.name())) {
        return Err(BootError::Device { path: module, node: node.path });
    }
    for child in node.children()? {
        let Some(levels) = levels.checked_sub(1) else {
            return Err(BootError::BadNode { path: module, what: ": the tree has more than 8 levels: flatten it" });
        };
        check(module, child, levels)?;
    }
    Ok(())
}

fn copy(tree: &mut Writer<'_>, node: &FdtNode<'_>, levels: usize) {
    tree.begin(node.name());
    for property in node.properties() {
        tree.property(property.name(), property.value());
    }
    if let Some(levels) = levels.checked_sub(1) {
        node.children().for_each(|child| copy(tree, &child, levels));
    }
    tree.end();
}
