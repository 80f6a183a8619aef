//! A group of operations that happens at once or not at all.
//!
//! A transaction keeps a copy of each node that it looked at, with the node's generation, and makes its changes in the
//! copies. It is committed if each of these nodes is still of that generation: then everything that it saw is true now,
//! as if all of it happened at this moment. Otherwise the guest tries again (`EAGAIN`); what others do elsewhere in the
//! tree does not disturb it. An operation outside of transactions is a transaction of one operation, so that one which
//! fails half way leaves nothing behind.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;

use super::permissions::{Caller, Permissions};
use super::quota::Quota;
use super::tree::{Node, Tree, Usage};

/// Whom a change is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// Nobody: only the list of children changed.
    Nobody,
    /// Watches of just this path: it went because something above was removed.
    Exact,
    /// Watches of this path and above.
    Above,
}

/// A change that was committed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: Box<str>,
    pub(super) notice: Notice,
    /// Permissions before and after; who could read it, or can, is told.
    pub(super) permissions: [Option<Permissions>; 2],
}

/// A node as the transaction has it.
struct Entry {
    /// The generation in the tree; `None` was no node.
    base: Option<u64>,
    node: Option<Node>,
    /// Whether the transaction changed it, and who is told.
    change: Option<Notice>,
}

/// A transaction that goes on.
pub(super) struct Transaction {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
    /// Most nodes and bytes.
    most: (usize, usize),
    /// It looked at more than it may, and cannot be committed.
    overdrawn: bool,
    /// What it did before is not known any more, and cannot be committed.
    lost: bool,
}

impl Transaction {
    /// One with a quota.
    pub(super) const fn new(quota: &Quota) -> Self {
        let most = (quota.transaction_nodes, quota.transaction_bytes);
        Self { entries: BTreeMap::new(), bytes: 0, most, overdrawn: false, lost: false }
    }

    /// One that went on in a server that is no more.
    pub(super) fn lost(quota: &Quota) -> Self {
        Self { lost: true, ..Self::new(quota) }
    }

    /// One of a single operation, which ends with it.
    pub(super) const fn single() -> Self {
        let most = (usize::MAX, usize::MAX);
        Self { entries: BTreeMap::new(), bytes: 0, most, overdrawn: false, lost: false }
    }

    /// The node as the transaction sees it.
    ///
    /// # Errors
    /// `ENOSPC` if it looked at too much.
    pub(super) fn node(&mut self, tree: &Tree, path: &str) -> Result<Option<&Node>, Errno> {
        self.entry(tree, path).map(|entry| entry.node.as_ref())
    }

    /// Makes, changes or removes a node.
    ///
    /// # Errors
    /// As of [`node`](Self::node).
    pub(super) fn change(&mut self, tree: &Tree, path: &str, node: Option<Node>, notice: Notice) -> Result<(), Errno> {
        self.count(node.as_ref().map_or(0, |node| node.value.len()))?;
        let entry = self.entry(tree, path)?;
        entry.node = node;
        entry.change = entry.change.max(Some(notice));
        Ok(())
    }

    fn entry(&mut self, tree: &Tree, path: &str) -> Result<&mut Entry, Errno> {
        if !self.entries.contains_key(path) {
            let node = tree.get(path).cloned();
            let names = |node: &Node| node.children.iter().map(|name| name.len()).sum::<usize>() + node.value.len();
            self.count(Quota::NODE + path.len() + node.as_ref().map_or(0, names))?;
            let entry = Entry { base: node.as_ref().map(|node| node.generation), node, change: None };
            self.entries.insert(path.into(), entry);
        }
        self.entries.get_mut(path).ok_or(Errno::EIO)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Errno> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.overdrawn |= self.bytes > self.most.1 || self.entries.len() >= self.most.0;
        if self.overdrawn { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Makes its changes in the tree.
    ///
    /// # Errors
    /// `EAGAIN` if somebody changed what it looked at or it is lost, `ENOSPC` if a domain would own more than it may, or if the
    /// transaction looked at more than it may. Then the tree is as before.
    pub(super) fn commit(self, tree: &mut Tree, caller: Caller, quota: &Quota) -> Result<Vec<Change>, Errno> {
        if self.overdrawn {
            return Err(Errno::ENOSPC);
        }
        let same = |(path, entry): (&String, &Entry)| tree.get(path).map(|node| node.generation) == entry.base;
        if self.lost || !self.entries.iter().all(same) {
            return Err(Errno::EAGAIN);
        }
        if !caller.privileged && !self.fits(tree, quota) {
            return Err(Errno::ENOSPC);
        }
        let mut changes = Vec::new();
        for (path, Entry { base, node, change }) in self.entries {
            let Some(notice) = change.filter(|_| base.is_some() || node.is_some()) else { continue };
            let permissions = |node: Option<&Node>| node.map(|node| node.permissions.clone());
            let permissions = [permissions(tree.get(&path)), permissions(node.as_ref())];
            tree.set(&path, node);
            if notice != Notice::Nobody {
                changes.push(Change { path: path.into(), notice, permissions });
            }
        }
        Ok(changes)
    }

    /// Whether every owner can pay for what its nodes become.
    fn fits(&self, tree: &Tree, quota: &Quota) -> bool {
        let mut growth = BTreeMap::<DomId, Usage>::new();
        let mut add = |owner, usage: Usage| {
            let sum: &mut Usage = growth.entry(owner).or_default();
            *sum = sum.plus(usage);
        };
        for (path, entry) in self.entries.iter().filter(|(_, entry)| entry.change.is_some()) {
            tree.get(path).into_iter().for_each(|old| add(old.permissions.owner, old.cost(path).negated()));
            entry.node.iter().for_each(|new| add(new.permissions.owner, new.cost(path)));
        }
        growth.iter().all(|(owner, growth)| tree.usage(*owner).plus(*growth).fits(*growth, quota))
    }
}
