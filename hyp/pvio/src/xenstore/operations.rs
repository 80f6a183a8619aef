//! What can be done with nodes, with the permissions that each needs. All of it happens in a transaction.

use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::errno::Errno;

use super::path::{join, split};
use super::permissions::{Access, Caller, Permissions};
use super::transaction::{Notice, Transaction};
use super::tree::{Node, Tree};

/// A transaction, the tree that it is about, and who asks.
pub(super) struct Operation<'a> {
    pub(super) tree: &'a Tree,
    pub(super) transaction: &'a mut Transaction,
    pub(super) caller: Caller,
}

impl Operation<'_> {
    /// The node, if the caller may do what it needs to.
    ///
    /// # Errors
    /// `EACCES`, and `ENOENT` where there is none; but who may not see the nearest node above is not told that.
    pub(super) fn node(&mut self, path: &str, need: Access) -> Result<&Node, Errno> {
        let (mut nearest, mut missing) = (path, false);
        // At the latest the root is there.
        while self.transaction.node(self.tree, nearest)?.is_none() {
            missing = true;
            nearest = split(nearest).ok_or(Errno::EIO)?.0;
        }
        let node = self.transaction.node(self.tree, nearest)?.ok_or(Errno::EIO)?;
        match node.permissions.of(self.caller).covers(need) {
            true if missing => Err(Errno::ENOENT),
            true => Ok(node),
            false => Err(Errno::EACCES),
        }
    }

    fn exists(&mut self, path: &str) -> Result<bool, Errno> {
        self.transaction.node(self.tree, path).map(|node| node.is_some())
    }

    fn set(&mut self, path: &str, node: Option<Node>, notice: Notice) -> Result<(), Errno> {
        self.transaction.change(self.tree, path, node, notice)
    }

    /// Sets the value, and makes the node where there is none.
    ///
    /// # Errors
    /// `EACCES`, or a quota.
    pub(super) fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        let mut node = if self.exists(path)? { self.node(path, Access::WRITE)?.clone() } else { self.create(path)? };
        node.value = value.into();
        self.set(path, Some(node), Notice::Above)
    }

    /// Makes the node where there is none.
    ///
    /// # Errors
    /// `EACCES`, or a quota.
    pub(super) fn make(&mut self, path: &str) -> Result<(), Errno> {
        if self.exists(path)? {
            return self.node(path, Access::WRITE).map(|_| ());
        }
        let node = self.create(path)?;
        self.set(path, Some(node), Notice::Above)
    }

    /// A node for a path that has none, after those above are made and it is named in its parent. It has its parent's
    /// permissions, but who makes it owns it, unless that is who may do everything.
    fn create(&mut self, path: &str) -> Result<Node, Errno> {
        let mut missing: Vec<(&str, &str)> = Vec::new();
        let mut nearest = path;
        while !self.exists(nearest)? {
            let (parent, name) = split(nearest).ok_or(Errno::EIO)?;
            missing.push((parent, name));
            nearest = parent;
        }
        let mut permissions = self.node(nearest, Access::WRITE)?.permissions.clone();
        if !self.caller.privileged {
            permissions.owner = self.caller.domain;
        }
        for (parent, name) in missing.into_iter().rev() {
            let there = self.transaction.node(self.tree, parent)?.cloned();
            let notice = if there.is_some() { Notice::Nobody } else { Notice::Above };
            let mut node = there.unwrap_or_else(|| Node::new(permissions.clone()));
            node.children.insert(name.into());
            self.set(parent, Some(node), notice)?;
        }
        Ok(Node::new(permissions))
    }

    /// Removes the node and all that is below it. Where there is none but one above it, that is fine.
    ///
    /// # Errors
    /// `EINVAL` for the root, `ENOENT` if there is no parent either, `EACCES`, or a quota.
    pub(super) fn remove(&mut self, path: &str) -> Result<(), Errno> {
        let (parent, name) = split(path).ok_or(Errno::EINVAL)?;
        match self.node(path, Access::WRITE) {
            Err(Errno::ENOENT) => return if self.exists(parent)? { Ok(()) } else { Err(Errno::ENOENT) },
            other => other.map(|_| ())?,
        }
        let mut above = self.transaction.node(self.tree, parent)?.ok_or(Errno::EIO)?.clone();
        above.children.remove(name);
        self.set(parent, Some(above), Notice::Nobody)?;
        let mut notice = Notice::Above;
        let mut rest: Vec<String> = Vec::from([path.into()]);
        while let Some(path) = rest.pop() {
            let node = self.transaction.node(self.tree, &path)?.ok_or(Errno::EIO)?;
            rest.extend(node.children.iter().map(|name| join(&path, name)));
            self.set(&path, None, core::mem::replace(&mut notice, Notice::Exact))?;
        }
        Ok(())
    }

    /// Sets the permissions.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES` for who does not own the node, `EPERM` for who wants to give it away.
    pub(super) fn set_permissions(&mut self, path: &str, permissions: Permissions) -> Result<(), Errno> {
        let caller = self.caller;
        let mut node = self.node(path, Access::BOTH)?.clone();
        if !caller.privileged && node.permissions.owner != caller.domain {
            return Err(Errno::EACCES);
        }
        if !caller.privileged && node.permissions.owner != permissions.owner {
            return Err(Errno::EPERM);
        }
        node.permissions = permissions;
        self.set(path, Some(node), Notice::Above)
    }
}
