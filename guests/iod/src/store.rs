//! Xenstore, as we serve it and as we use it ourselves.

use alloc::format;
use alloc::vec::Vec;

use hyp_pvio::xenstore::{self, Event, Message, Page, Quota, Server};
use rt::hypercall;
use xen_abi::io::xs_wire::{Sockmsg, XS_ERROR, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS, XS_WATCH, XS_WRITE};

use crate::shared::Fixed;

/// Messages of a guest that are handled in one go.
const BUDGET: u32 = 16;

/// A guest's page.
struct Client {
    domain: u16,
    memory: Fixed,
    port: u32,
    /// Both ends of it, while the guest is connected.
    page: Option<Page<Fixed>>,
}

/// The tree, and everybody's pages.
pub(crate) struct Store {
    server: Server,
    own: u16,
    clients: Vec<Client>,
}

impl Store {
    /// An empty tree, which is ours.
    pub(crate) fn new(own: u16) -> Self {
        Self { server: Server::new(own, Quota::default()), own, clients: Vec::new() }
    }

    /// A guest that will connect by this page, and be notified by this port.
    pub(crate) fn add(&mut self, domain: u16, memory: Fixed, port: u32) {
        self.clients.push(Client { domain, memory, port, page: None });
    }

    /// Has the guest begun anew, or not begun before? Then it is connected, and nothing is left of its connection before.
    pub(crate) fn connect(&mut self, domain: u16) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.domain == domain) else { return false };
        let begins = xenstore::wants_reset(client.memory);
        if begins {
            xenstore::reset(client.memory);
        } else if client.page.is_some() {
            return false;
        }
        client.page = Some(xenstore::server_page(client.memory));
        self.server.introduce(domain);
        // It waits for this.
        let _ = hypercall::send(client.port);
        begins
    }

    /// Handles what a guest asks, and tells it what it watches. Returns whether there may be more.
    pub(crate) fn serve(&mut self, domain: u16) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.domain == domain) else { return false };
        let Some(page) = &mut client.page else { return false };
        match self.server.serve(domain, page, BUDGET) {
            Ok(served) => {
                if served.notify {
                    let _ = hypercall::send(client.port);
                }
                served.again
            }
            Err(fault) => {
                rt::println!("guest {domain}: {fault}: disconnected until it begins anew");
                xenstore::disconnect(client.memory, fault);
                client.page = None;
                false
            }
        }
    }

    fn ask(&mut self, kind: u32, payload: Vec<u8>) -> Option<Vec<u8>> {
        let header = Sockmsg { kind, req_id: 0, tx_id: 0, len: payload.len() as u32 };
        let answer = self.server.handle(self.own, &Message { header, payload })?;
        (answer.header.kind != XS_ERROR).then_some(answer.payload)
    }

    /// The value of a node, if it is there.
    pub(crate) fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        self.ask(XS_READ, format!("{path}\0").into_bytes())
    }

    /// Sets a value, and makes the node if there is none. It cannot fail: the paths are ours, and we have no quota.
    pub(crate) fn write(&mut self, path: &str, value: &str) {
        let _ = self.ask(XS_WRITE, format!("{path}\0{value}").into_bytes());
    }

    /// Makes a node.
    pub(crate) fn make(&mut self, path: &str) {
        let _ = self.ask(XS_MKDIR, format!("{path}\0").into_bytes());
    }

    /// Removes a node and what is below it.
    pub(crate) fn remove(&mut self, path: &str) {
        let _ = self.ask(XS_RM, format!("{path}\0").into_bytes());
    }

    /// Whose a node is, and who may read it.
    pub(crate) fn permit(&mut self, path: &str, owner: u16, reader: u16) {
        let _ = self.ask(XS_SET_PERMS, format!("{path}\0n{owner}\0r{reader}\0").into_bytes());
    }

    /// Asks to hear of changes at and below a node.
    pub(crate) fn watch(&mut self, path: &str) {
        let _ = self.ask(XS_WATCH, format!("{path}\0\0").into_bytes());
    }

    /// What changed.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.server.next_event(self.own)
    }

    /// Guests for which there may be events.
    pub(crate) fn domains(&self) -> Vec<u16> {
        self.clients.iter().map(|client| client.domain).collect()
    }
}
