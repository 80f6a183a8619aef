//! The nodes, and what each domain's cost. Changes come from transactions only, so there is one place that keeps the
//! accounts.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::domid::DomId;

use super::path::split;
use super::permissions::Permissions;
use super::quota::Quota;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) permissions: Permissions,
    pub(super) children: BTreeSet<Box<str>>,
    /// Another number after each change of anything here.
    pub(super) generation: u64,
}

impl Node {
    /// A node without value and children, which was never in the tree.
    pub(super) const fn new(permissions: Permissions) -> Self {
        Self { value: Vec::new(), permissions, children: BTreeSet::new(), generation: 0 }
    }

    /// What it costs its owner, whose children's names are paid by who made them.
    pub(super) fn cost(&self, path: &str) -> Usage {
        let text = path.len() + self.value.len() + size_of_val(self.permissions.listed.as_slice());
        Usage { nodes: 1, bytes: (Quota::NODE + text) as isize }
    }
}

/// What a domain has, or by how much that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) nodes: isize,
    pub(super) bytes: isize,
}

impl Usage {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self { nodes: self.nodes + other.nodes, bytes: self.bytes + other.bytes }
    }

    pub(super) const fn negated(self) -> Self {
        Self { nodes: -self.nodes, bytes: -self.bytes }
    }

    /// Whether the quota allows a change to this.
    pub(super) fn fits(self, change: Self, quota: &Quota) -> bool {
        let fits =
            |now: isize, change: isize, most: usize| change <= 0 || now <= isize::try_from(most).unwrap_or(isize::MAX);
        fits(self.nodes, change.nodes, quota.nodes) && fits(self.bytes, change.bytes, quota.bytes)
    }
}

/// All nodes. There is always a root.
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    usage: BTreeMap<DomId, Usage>,
    pub(super) generation: u64,
    /// Paths of what changed since it was kept; nothing where nobody keeps it.
    pub(super) changed: Option<BTreeSet<String>>,
}

impl Tree {
    /// A root that only `owner` sees.
    pub(super) fn new(owner: DomId) -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), usage: BTreeMap::new(), generation: 0, changed: None };
        tree.set("/", Some(Node::new(Permissions::private(owner))));
        tree
    }

    /// A tree of these nodes, whose children are not known yet; nothing if one has no parent, or there is no root.
    pub(super) fn resume(mut nodes: BTreeMap<String, Node>, generation: u64) -> Option<Self> {
        let paths: Vec<String> = nodes.keys().cloned().collect();
        for (parent, name) in paths.iter().filter_map(|path| split(path)) {
            nodes.get_mut(parent)?.children.insert(name.into());
        }
        nodes.get("/")?;
        let mut tree = Self { nodes: BTreeMap::new(), usage: BTreeMap::new(), generation, changed: None };
        for (path, node) in &nodes {
            tree.charge(node.permissions.owner, node.cost(path));
        }
        tree.nodes = nodes;
        Some(tree)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All paths and nodes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    /// What a domain has.
    pub(super) fn usage(&self, domain: DomId) -> Usage {
        self.usage.get(&domain).copied().unwrap_or_default()
    }

    /// Makes, changes or removes a node, and keeps its owner's account. The caller keeps the parent's names.
    pub(super) fn set(&mut self, path: &str, node: Option<Node>) {
        self.generation += 1;
        if let Some(changed) = &mut self.changed {
            changed.insert(path.into());
        }
        let old = match node {
            Some(mut node) => {
                node.generation = self.generation;
                self.charge(node.permissions.owner, node.cost(path));
                self.nodes.insert(path.into(), node)
            }
            None => self.nodes.remove(path),
        };
        if let Some(old) = old {
            self.charge(old.permissions.owner, old.cost(path).negated());
        }
    }

    fn charge(&mut self, domain: DomId, change: Usage) {
        let usage = self.usage(domain).plus(change);
        if usage == Usage::default() {
            self.usage.remove(&domain);
        } else {
            self.usage.insert(domain, usage);
        }
    }
}
