//! The tree in the hands of who owns it, in the same process: the tools that make guests' devices known, and the back
//! ends. Each call happens at once for everybody else.

use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;

use super::permissions::{Access, Caller, Permissions};
use super::request::{NodeRequest, Request};
use super::server::Server;
use super::watch::Event;

/// The manager of a server. Paths are from the root; it may do everything, so an error is about what it asks for.
pub struct Manager<'a> {
    server: &'a mut Server,
}

impl Server {
    /// The tree, as who owns it may change it.
    pub const fn manager(&mut self) -> Manager<'_> {
        Manager { server: self }
    }
}

impl Manager<'_> {
    fn ask(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        let caller = Caller { domain: self.server.manager, privileged: true };
        self.server.answer(caller, 0, request)
    }

    fn node(&mut self, path: &str, request: NodeRequest<'_>) -> Result<Vec<u8>, Errno> {
        self.ask(&Request::Node(path.as_bytes(), request))
    }

    /// A node's value.
    ///
    /// # Errors
    /// `ENOENT` if there is none, `EINVAL` if the path is none.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        self.node(path, NodeRequest::Read)
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>, Errno> {
        let names = self.node(path, NodeRequest::Directory)?;
        let text = String::from_utf8(names).map_err(|_| Errno::EIO)?;
        Ok(text.split_terminator('\0').map(Into::into).collect())
    }

    /// Sets a node's value, and makes it where there is none, with its parent's permissions.
    ///
    /// # Errors
    /// `EINVAL` if the path is none.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Errno> {
        self.node(path, NodeRequest::Write(value)).map(drop)
    }

    /// Makes a node where there is none.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub fn make(&mut self, path: &str) -> Result<(), Errno> {
        self.node(path, NodeRequest::Make).map(drop)
    }

    /// Removes a node and all that is below it.
    ///
    /// # Errors
    /// `EINVAL` for the root or no path, `ENOENT` if there is not even a parent.
    pub fn remove(&mut self, path: &str) -> Result<(), Errno> {
        self.node(path, NodeRequest::Remove).map(drop)
    }

    /// Says whose a node is, what those may do with it that are listed, and what all others may.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn set_permissions(
        &mut self,
        path: &str,
        owner: DomId,
        others: Access,
        listed: &[(DomId, Access)],
    ) -> Result<(), Errno> {
        let mut entries = String::new();
        Permissions { owner, others, listed: listed.into() }.write(&mut entries);
        let entries = entries.trim_end_matches('\0').as_bytes();
        self.node(path, NodeRequest::SetPermissions(entries)).map(drop)
    }

    /// Watches a node and all that is below it, or `@introduceDomain`, or `@releaseDomain`; the first event comes at
    /// once. Watches end with the process.
    ///
    /// # Errors
    /// `EINVAL` if the path is none, `EEXIST` for the same watch twice.
    pub fn watch(&mut self, path: &str, token: &[u8]) -> Result<(), Errno> {
        self.ask(&Request::Watch { path: path.as_bytes(), token }).map(drop)
    }

    /// Watches no longer.
    ///
    /// # Errors
    /// `ENOENT` if there is no such watch.
    pub fn unwatch(&mut self, path: &str, token: &[u8]) -> Result<(), Errno> {
        self.ask(&Request::Unwatch { path: path.as_bytes(), token }).map(drop)
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.server.next_event(self.server.manager)
    }
}
