//! Damage on purpose: tests of bad input compose a good machine and then break exactly one thing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use crate::scenario::{Setting, Tamper};

/// Applies the damage to the tree.
///
/// # Errors
/// If the thing to break is not there: the test would prove nothing.
pub(crate) fn tree(tree: &mut DeviceTree, tamper: &Tamper) -> Result<()> {
    for place in &tamper.remove {
        let gone = match &place.property {
            Some(property) => find(tree, &place.node)?.remove_property(property).is_some(),
            None => {
                let (parent, name) = place.node.rsplit_once('/').unwrap_or_default();
                find(tree, if parent.is_empty() { "/" } else { parent })?.remove_child(name).is_some()
            }
        };
        if !gone {
            bail!("tamper: {} has no such node or property to remove", place.node);
        }
    }
    for setting in &tamper.set {
        set(find(tree, &setting.node)?, setting)?;
    }
    Ok(())
}

/// Sets a property of a node, whatever it was before.
///
/// # Errors
/// If the setting has no value, or two.
pub(super) fn set(node: &mut DeviceTreeNode, setting: &Setting) -> Result<()> {
    let value = match (&setting.text, &setting.cells) {
        (Some(text), None) => text.bytes().chain([0]).collect(),
        (None, Some(cells)) => cells.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>(),
        _ => bail!("{} {} needs exactly one of `text` and `cells`", setting.node, setting.property),
    };
    let _ = node.remove_property(&setting.property);
    node.add_property(DeviceTreeProperty::new_unchecked(setting.property.as_str(), value));
    Ok(())
}

/// The file of a guest's kernel, replaced or cut if the scenario says so.
///
/// # Errors
/// If the scenario says neither or both, or a file cannot be read or written.
pub(crate) fn kernel(tamper: &Tamper, guest: &str, kernel: PathBuf, folder: &Path) -> Result<PathBuf> {
    let Some(replacement) = tamper.module.iter().find(|replacement| replacement.guest == guest) else {
        return Ok(kernel);
    };
    let path = folder.join(format!("{guest}-tampered"));
    let bytes = match (&replacement.bytes, replacement.cut) {
        (Some(bytes), None) => bytes.clone().into_bytes(),
        (None, Some(cut)) => {
            let mut bytes = std::fs::read(&kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
            bytes.truncate(bytes.len().checked_sub(cut).context("tamper: the module is shorter than `cut`")?);
            bytes
        }
        _ => bail!("tamper: the module of {guest} needs exactly one of `bytes` and `cut`"),
    };
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn find<'t>(tree: &'t mut DeviceTree, path: &str) -> Result<&'t mut DeviceTreeNode> {
    tree.find_node_mut(path).with_context(|| format!("tamper: no node {path}"))
}
