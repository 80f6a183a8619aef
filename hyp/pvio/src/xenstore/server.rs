//! The server: takes guests' messages, does what they may, answers, and tells who watches.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;

use super::connection::Connection;
use super::operations::Operation;
use super::page::Page;
use super::path::{home, resolve};
use super::permissions::{Access, Caller, Permissions};
use super::quota::Quota;
use super::reply;
use super::request::{NodeRequest, Request};
use super::transaction::{Change, Transaction};
use super::tree::Tree;
use super::watch::{Event, INTRODUCE, RELEASE};
use super::wire::{Fault, Message};
use crate::memory::SharedMemory;

/// The tree, and everybody who is connected.
pub struct Server {
    pub(super) tree: Tree,
    pub(super) connections: BTreeMap<DomId, Connection>,
    pub(super) quota: Quota,
    pub(super) manager: DomId,
}

/// What a look at a guest's page came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The guest is to be notified: bytes came, or there is room.
    pub notify: bool,
    /// There may be more to do at once: the budget was used up.
    pub again: bool,
}

impl Server {
    /// An empty tree whose root belongs to `manager`, which is connected, may do everything, and has no quotas.
    pub fn new(manager: DomId, quota: Quota) -> Self {
        Self::resume(manager, quota, Tree::new(manager), BTreeMap::new())
    }

    /// A server with this tree, and these guests connected.
    pub(super) fn resume(manager: DomId, quota: Quota, tree: Tree, connections: BTreeMap<DomId, Connection>) -> Self {
        let mut server = Self { tree, connections, quota, manager };
        server.connect(Caller { domain: manager, privileged: true });
        server
    }

    /// Connects a guest, or connects it anew: then its watches, transactions and unread messages are gone.
    pub fn introduce(&mut self, domain: DomId) {
        let privileged = self.connections.get(&domain).is_some_and(|connection| connection.caller.privileged);
        self.connect(Caller { domain, privileged });
    }

    fn connect(&mut self, caller: Caller) {
        self.connections.insert(caller.domain, Connection::new(caller));
        self.tell_special(INTRODUCE);
    }

    /// A guest, which is not the manager, is gone for good. So are its nodes and what others allowed it, because the next
    /// guest may get its number.
    pub fn release(&mut self, domain: DomId) {
        if self.connections.get(&domain).is_none_or(|connection| connection.caller.privileged) {
            return;
        }
        self.connections.remove(&domain);
        self.forget_permissions(domain);
        self.tell_special(RELEASE);
    }

    fn forget_permissions(&mut self, domain: DomId) {
        // Removed in one transaction of the manager's, so that who watches is told.
        let mut transaction = Transaction::single();
        let caller = Caller { domain, privileged: true };
        let mut operation = Operation { tree: &self.tree, transaction: &mut transaction, caller };
        for (path, node) in self.tree.iter() {
            let permissions = &node.permissions;
            // A single transaction has no bounds that could be passed, and these nodes are there.
            let _ = if permissions.owner == domain && path != "/" {
                operation.remove(path)
            } else if permissions.listed.iter().any(|(other, _)| *other == domain) {
                let mut permissions = permissions.clone();
                permissions.listed.retain(|(other, _)| *other != domain);
                operation.set_permissions(path, permissions)
            } else {
                Ok(())
            };
        }
        let changes = transaction.commit(&mut self.tree, caller, &self.quota).unwrap_or_default();
        self.tell(&changes);
    }

    /// Does what a message asks, and returns the answer; `None` if the guest is not connected.
    pub fn handle(&mut self, domain: DomId, message: &Message) -> Option<Message> {
        let connection = self.connections.get(&domain)?;
        let caller = connection.caller;
        let request = Request::parse(message.header.kind, &message.payload);
        let answer = request.and_then(|request| self.answer(caller, message.header.tx_id, &request));
        Some(reply::message(&message.header, answer))
    }

    /// The next event for a guest.
    pub fn next_event(&mut self, domain: DomId) -> Option<Event> {
        self.connections.get_mut(&domain)?.watches.next()
    }

    /// Handles what came through a guest's page, at most `budget` messages, and sends what there is for it.
    ///
    /// # Errors
    /// The guest broke the protocol. Its connection is to be left alone until it is introduced anew.
    pub fn serve<M: SharedMemory>(&mut self, domain: DomId, page: &mut Page<M>, budget: u32) -> Result<Served, Fault> {
        let again = self.exchange(domain, page, budget)?;
        Ok(Served { notify: page.show(), again })
    }

    /// The same, but the guest is not told of it yet. Whether there may be more to do at once.
    ///
    /// # Errors
    /// As of [`serve`](Self::serve).
    pub(super) fn exchange<M: SharedMemory>(
        &mut self,
        domain: DomId,
        page: &mut Page<M>,
        budget: u32,
    ) -> Result<bool, Fault> {
        for _ in 0..budget {
            let Some(connection) = self.connections.get_mut(&domain) else { return Ok(false) };
            // An event and a request by turns, so that neither keeps the other from its turn.
            if !connection.outgoing.push(&mut page.writer)? {
                return Ok(false);
            }
            let event = connection.watches.next();
            event.iter().for_each(|event| connection.outgoing.put(&reply::event(event)));
            if !connection.outgoing.push(&mut page.writer)? {
                return Ok(false);
            }
            match connection.incoming.pull(&mut page.reader)? {
                Some(message) => {
                    let answer = self.handle(domain, &message);
                    let Some(connection) = self.connections.get_mut(&domain) else { return Ok(false) };
                    answer.iter().for_each(|answer| connection.outgoing.put(answer));
                }
                None if event.is_none() => return Ok(false),
                None => {}
            }
        }
        Ok(true)
    }

    pub(super) fn answer(&mut self, caller: Caller, number: u32, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        match request {
            Request::Node(path, request) => return self.node(caller, number, path, request),
            Request::TransactionStart if number != 0 => return Err(Errno::EBUSY),
            Request::TransactionEnd { commit } => self.end(caller, number, *commit)?,
            Request::IsIntroduced(domain) => return Ok(reply::yes_or_no(self.connections.contains_key(domain))),
            Request::DomainPath(domain) => return Ok(format!("{}\0", home(*domain)).into_bytes()),
            _ => {
                let quota = self.quota;
                let connection = self.connections.get_mut(&caller.domain).ok_or(Errno::EIO)?;
                match request {
                    Request::Watch { path, token } => connection.watches.add(caller, path, token, &quota)?,
                    Request::Unwatch { path, token } => connection.watches.remove(caller, path, token)?,
                    Request::TransactionStart => {
                        return connection.start(&quota).map(|number| format!("{number}\0").into_bytes());
                    }
                    _ => connection.forget(),
                }
            }
        }
        Ok(reply::OK.into())
    }

    fn end(&mut self, caller: Caller, number: u32, commit: bool) -> Result<(), Errno> {
        let connection = self.connections.get_mut(&caller.domain).ok_or(Errno::EIO)?;
        let transaction = connection.transactions.remove(&number).ok_or(Errno::ENOENT)?;
        if commit {
            let changes = transaction.commit(&mut self.tree, caller, &self.quota)?;
            self.tell(&changes);
        }
        Ok(())
    }

    /// A request about a node, in its transaction or in one of its own.
    fn node(&mut self, caller: Caller, number: u32, path: &[u8], request: &NodeRequest<'_>) -> Result<Vec<u8>, Errno> {
        let path = resolve(path, caller.domain)?;
        let Self { tree, connections, quota, .. } = self;
        if number != 0 {
            let connection = connections.get_mut(&caller.domain).ok_or(Errno::EIO)?;
            let transaction = connection.transactions.get_mut(&number).ok_or(Errno::ENOENT)?;
            return operate(&mut Operation { tree, transaction, caller }, &path, request, quota);
        }
        let mut transaction = Transaction::single();
        let operation = &mut Operation { tree, transaction: &mut transaction, caller };
        let answer = operate(operation, &path, request, quota)?;
        let changes = transaction.commit(tree, caller, quota)?;
        self.tell(&changes);
        Ok(answer)
    }

    fn tell(&mut self, changes: &[Change]) {
        for change in changes {
            for connection in self.connections.values_mut() {
                connection.watches.tell(connection.caller, change, &self.quota);
            }
        }
    }

    fn tell_special(&mut self, path: &str) {
        for connection in self.connections.values_mut() {
            connection.watches.tell_special(connection.caller, path, &self.quota);
        }
    }
}

fn operate(
    operation: &mut Operation<'_>,
    path: &str,
    request: &NodeRequest<'_>,
    quota: &Quota,
) -> Result<Vec<u8>, Errno> {
    match request {
        NodeRequest::Directory => return operation.node(path, Access::READ).map(reply::directory),
        NodeRequest::DirectoryPart(offset) => {
            return reply::directory_part(operation.node(path, Access::READ)?, *offset);
        }
        NodeRequest::Read => return operation.node(path, Access::READ).map(|node| node.value.clone()),
        NodeRequest::GetPermissions => {
            let mut out = String::new();
            operation.node(path, Access::READ)?.permissions.write(&mut out);
            return Ok(out.into_bytes());
        }
        NodeRequest::Write(value) if value.len() > quota.value && !operation.caller.privileged => {
            return Err(Errno::ENOSPC);
        }
        NodeRequest::Write(value) => operation.write(path, value)?,
        NodeRequest::Make => operation.make(path)?,
        NodeRequest::Remove => operation.remove(path)?,
        NodeRequest::SetPermissions(entries) => {
            let permissions = Permissions::parse(entries.split(|byte| *byte == 0), quota.permissions)?;
            operation.set_permissions(path, permissions)?;
        }
    }
    Ok(reply::OK.into())
}
