//! A device tree that comes with a guest, of which parts are merged into the one that we write.
//!
//! Xen takes `/passthrough` and `/aliases` of it, and from `/gic` the handle by which its nodes name the interrupt
//! controller (`docs/misc/arm/passthrough.txt`). So do we. Which of its nodes give the guest a device, [`crate::devices`]
//! reads; those that only describe something, such as a fixed clock or reserved names, are the guest's own business.

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};

use crate::BootError;
use crate::devices;
use crate::manifest::{Kind, Warning};
use crate::tree::{self, Path, Spot};
use crate::writer::Writer;

/// Largest partial tree, in bytes: a guest's own tree has to hold it.
pub const MAX_BYTES: usize = 32 << 10;
/// Levels of nodes below `/passthrough`.
pub(crate) const DEPTH: usize = 8;

/// The parts that are merged.
#[derive(Clone, Copy, Debug)]
pub struct Partial<'a> {
    pub(crate) module: Path<'a>,
    aliases: Option<FdtNode<'a>>,
    pub(crate) passthrough: Option<Spot<'a>>,
    ignored: Option<Path<'a>>,
    /// The handle of the interrupt controller, where the tree names it.
    pub(crate) gic: Option<u32>,
    /// The handle of the interrupt controller of nodes that do not say otherwise.
    pub(crate) interrupt_parent: Option<&'a [u8]>,
    /// Bytes that it may add to a tree.
    pub(crate) size: usize,
}

impl<'a> Partial<'a> {
    /// Reads a partial tree: the bytes of the module `module`.
    ///
    /// # Errors
    ///
    /// It is damaged, too large or too deep, or has a handle that is none.
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
        let mut partial =
            Self { module, aliases: None, passthrough: None, ignored: None, gic: None, interrupt_parent: None, size };
        for child in root.children()? {
            match child.node.name() {
                "aliases" => partial.aliases = Some(child.node),
                "passthrough" => {
                    partial.passthrough = Some(child);
                    partial.interrupt_parent = child.value("interrupt-parent").or(root.value("interrupt-parent"));
                }
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
        self.aliases
            .iter()
            .chain(self.passthrough.as_ref().map(|spot| &spot.node))
            .for_each(|node| copy(tree, node, DEPTH));
    }
}

/// Refuses more levels than [`copy`] may go down.
fn check<'a>(module: Path<'a>, node: Spot<'a>, levels: usize) -> Result<(), BootError<'a>> {
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
    for property in node.properties().filter(|property| !devices::PROPERTIES.contains(&property.name())) {
        tree.property(property.name(), property.value());
    }
    if let Some(levels) = levels.checked_sub(1) {
        node.children().for_each(|child| copy(tree, &child, levels));
    }
    tree.end();
}
