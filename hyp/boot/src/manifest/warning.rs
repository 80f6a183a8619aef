//! What in the tree has no effect here: one line for each node, so that nothing that would change a guest is dropped
//! in silence.

use core::fmt;

use dtoolkit::{Node, Property};

use super::options::without_effect;
use super::{modules, read};
use crate::tree::{Path, Spot};

/// Something in the tree that has no effect here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warning<'a>(pub(crate) Kind<'a>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind<'a> {
    /// A guest with properties that have no effect.
    Guest(Spot<'a>),
    /// A module with properties that have no effect.
    Module(Spot<'a>),
    /// A whole node.
    Node(Path<'a>),
    /// Words of the command line; the string holds those known too.
    Options(&'a str),
    /// A node of a partial tree, which is not part of what guests are given.
    Partial(Path<'a>, Path<'a>),
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Guest(node) => {
                write!(f, "{} has properties without effect here:", node.path)?;
                // One of ours that is unknown would have been an error.
                names(f, node, |name| !read::is_known(node, name) && !name.starts_with("makuhari,"))
            }
            Kind::Module(node) => {
                write!(f, "{} has properties without effect here:", node.path)?;
                names(f, node, |name| !modules::is_known(name))
            }
            Kind::Node(path) => write!(f, "{path} is of no use to this hypervisor and ignored"),
            Kind::Partial(module, path) => {
                write!(f, "{module}: its node {path} is ignored, only /aliases and /passthrough are for the guest")
            }
            Kind::Options(words) => {
                f.write_str("/chosen: options of the hypervisor without effect here:")?;
                for (word, remark) in without_effect(words) {
                    write!(f, " {word}{remark}")?;
                }
                Ok(())
            }
        }
    }
}

fn names(f: &mut fmt::Formatter<'_>, node: &Spot<'_>, wanted: impl Fn(&str) -> bool) -> fmt::Result {
    let mut names = node.node.properties().filter(|property| wanted(property.name()));
    names.try_for_each(|property| write!(f, " {}", property.name()))
}
