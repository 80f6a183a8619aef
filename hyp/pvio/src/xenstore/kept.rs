//! What a server keeps for its next life, as records: nodes, the guests' watches, and what is under way between them and
//! the server. A later record about the same thing takes the place of an earlier one.
//!
//! Transactions are kept by their numbers only. In the next life they see the tree as it is then, and cannot be
//! committed (`EAGAIN`), upon which guests begin them anew.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::domid::DomId;

use super::bytes::{Decoder, Encoder};
use super::connection::Connection;
use super::permissions::{Access, Caller, Permissions};
use super::quota::Quota;
use super::server::Server;
use super::transaction::Transaction;
use super::tree::{Node, Tree};
use super::watch::{Watch, Watches};
use super::wire::{Incoming, Outgoing};

const NODE: u8 = 1;
const NO_NODE: u8 = 2;
const WATCHES: u8 = 3;
const EXCHANGE: u8 = 4;
const NO_GUEST: u8 = 5;

/// What changed of a server since the last time, as one batch; nothing if nothing changed. `released` are guests that
/// went since.
pub(super) fn changes(server: &mut Server, released: &[DomId]) -> Option<Vec<u8>> {
    let mut out = Encoder::default();
    out.number(server.tree.generation);
    let empty = out.0.len();
    for domain in released {
        out.number(NO_GUEST);
        out.number(*domain);
    }
    for path in server.tree.changed.replace(BTreeSet::new()).into_iter().flatten() {
        node(&mut out, &path, server.tree.get(&path));
    }
    for connection in guests(server) {
        if core::mem::take(&mut connection.watches.list_changed) {
            watches(&mut out, connection);
        }
        let pending = core::mem::take(&mut connection.watches.pending_changed);
        if core::mem::take(&mut connection.changed) | pending {
            exchange(&mut out, connection);
        }
    }
    (out.0.len() > empty).then_some(out.0)
}

/// Everything of a server, as one batch.
pub(super) fn all(server: &mut Server) -> Vec<u8> {
    let mut out = Encoder::default();
    out.number(server.tree.generation);
    for (path, it) in server.tree.iter() {
        node(&mut out, path, Some(it));
    }
    for connection in guests(server) {
        watches(&mut out, connection);
        exchange(&mut out, connection);
    }
    out.0
}

/// The connections that are kept: not the manager's, which is the process itself and begins anew with it.
fn guests(server: &mut Server) -> impl Iterator<Item = &mut Connection> {
    server.connections.values_mut().filter(|connection| !connection.caller.privileged)
}

fn node(out: &mut Encoder, path: &str, node: Option<&Node>) {
    out.number(if node.is_some() { NODE } else { NO_NODE });
    out.bytes(path.as_bytes());
    let Some(node) = node else { return };
    let Permissions { owner, others, listed } = &node.permissions;
    out.number(node.generation);
    out.bytes(&node.value);
    out.number(*owner);
    out.number(others.bits());
    out.number(listed.len() as u32);
    for (domain, access) in listed {
        out.number(*domain);
        out.number(access.bits());
    }
}

fn watches(out: &mut Encoder, connection: &Connection) {
    let watches = &connection.watches;
    out.number(WATCHES);
    out.number(connection.caller.domain);
    out.number(watches.next);
    out.number(watches.list.len() as u32);
    for watch in &watches.list {
        out.number(watch.number);
        out.number(watch.cut as u32);
        out.bytes(watch.path.as_bytes());
        out.bytes(&watch.token);
    }
}

fn exchange(out: &mut Encoder, connection: &Connection) {
    out.number(EXCHANGE);
    out.number(connection.caller.domain);
    out.number(connection.indices);
    out.bytes(connection.incoming.bytes());
    out.bytes(connection.outgoing.bytes());
    out.number(connection.last);
    out.number(connection.transactions.len() as u32);
    connection.transactions.keys().for_each(|number| out.number(*number));
    out.number(connection.watches.pending.len() as u32);
    for (number, path) in &connection.watches.pending {
        out.number(*number);
        out.bytes(path.as_bytes());
    }
}

/// What is known of a server that is no more.
#[derive(Default)]
struct Kept {
    generation: u64,
    nodes: BTreeMap<String, Node>,
    connections: BTreeMap<DomId, Connection>,
}

/// The server that left these batches; nothing if they are none of a server.
pub(super) fn resume(batches: &[Vec<u8>], manager: DomId, quota: Quota) -> Option<Server> {
    let mut kept = Kept::default();
    for batch in batches {
        let rest = &mut Decoder(batch);
        kept.generation = rest.number()?;
        while !rest.0.is_empty() {
            kept.apply(rest, &quota)?;
        }
    }
    let Kept { generation, nodes, connections } = kept;
    Some(Server::resume(manager, quota, Tree::resume(nodes, generation)?, connections))
}

impl Kept {
    /// Takes a record.
    fn apply(&mut self, rest: &mut Decoder<'_>, quota: &Quota) -> Option<()> {
        let kind: u8 = rest.number()?;
        match kind {
            NODE => {
                let path = rest.text()?.into();
                self.nodes.insert(path, take_node(rest)?);
            }
            NO_NODE => _ = self.nodes.remove(rest.text()?),
            NO_GUEST => _ = self.connections.remove(&rest.number()?),
            WATCHES => {
                let watches = &mut self.connection(rest.number()?).watches;
                let next = rest.number()?;
                *watches = Watches::resume(rest.list(take_watch)?, next, core::mem::take(&mut watches.pending));
            }
            EXCHANGE => {
                let connection = self.connection(rest.number()?);
                connection.indices = rest.number()?;
                connection.incoming = Incoming::resume(rest.bytes()?);
                connection.outgoing = Outgoing::resume(rest.bytes()?);
                connection.last = rest.number()?;
                let numbers = rest.list(Decoder::number)?;
                connection.transactions =
                    numbers.into_iter().map(|number| (number, Transaction::lost(quota))).collect();
                let pending = rest.list(|rest| Some((rest.number()?, rest.text()?.into())))?;
                let watches = core::mem::take(&mut connection.watches);
                connection.watches = Watches::resume(watches.list, watches.next, pending.into());
            }
            _ => return None,
        }
        Some(())
    }

    fn connection(&mut self, domain: DomId) -> &mut Connection {
        let caller = Caller { domain, privileged: false };
        self.connections.entry(domain).or_insert_with(|| Connection::new(caller))
    }
}

fn take_node(rest: &mut Decoder<'_>) -> Option<Node> {
    let generation = rest.number()?;
    let value = rest.bytes()?.into();
    let (owner, others) = (rest.number()?, Access::from_bits(rest.number()?));
    let listed = rest.list(|rest| Some((rest.number()?, Access::from_bits(rest.number()?))))?;
    Some(Node { value, permissions: Permissions { owner, others, listed }, children: BTreeSet::new(), generation })
}

fn take_watch(rest: &mut Decoder<'_>) -> Option<Watch> {
    let (number, cut) = (rest.number()?, rest.number::<u32>()? as usize);
    let (path, token): (String, Box<[u8]>) = (rest.text()?.into(), rest.bytes()?.into());
    Some(Watch { number, path, cut, token })
}
