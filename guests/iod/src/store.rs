//! Xenstore, as we serve it and as we use it ourselves. What is in it outlives us, where there is memory that does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hyp_pvio::xenstore::{Access, Event, Found, Keeper, Look, Manager, Quota};
use rt::hypercall;
use rt::window::Window;

/// Messages of a guest that are handled in one go.
const BUDGET: u32 = 16;

/// Bytes, by far not so many, of our own nodes for each guest and for each device.
const GUEST: usize = 2 << 10;
const DEVICE: usize = 6 << 10;

/// A guest's page, and our port of it.
struct Client {
    domain: u16,
    memory: Window,
    port: u32,
}

/// What came of a look at a guest's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// There was nothing.
    Nothing,
    /// Something moved.
    Something,
    /// The guest has begun anew: nothing is left of its connection.
    Anew,
}

/// The tree, and everybody's pages.
pub(crate) struct Store {
    keeper: Keeper<Window, Window>,
    own: u16,
    clients: Vec<Client>,
    /// Something may be in a guest's page, or is to be put there: all are looked at in the next round.
    touched: bool,
}

impl Store {
    /// The tree that is kept in this memory, or a new one, which is ours. So many guests are to have so many devices in it.
    pub(crate) fn open(own: u16, memory: Window, guests: usize, devices: usize) -> Self {
        let ours = guests * GUEST + devices * DEVICE;
        let quota = Quota::fitting(memory.size(), guests, ours);
        if quota.memory(guests, ours) > memory.size() {
            rt::println!(
                "the shared memory \"iod\" is too small: a guest may fill it, so that no next life of ours finds anything"
            );
        }
        let (keeper, found) = Keeper::open(memory, own, quota);
        match found {
            Found::Nothing => {}
            Found::Everything => rt::println!("goes on where the last life of this domain ended"),
            Found::Rubbish => rt::println!("what was kept cannot be read: all guests' devices begin anew"),
        }
        Self { keeper, own, clients: Vec::new(), touched: true }
    }

    /// A guest, connected by this page, and notified by this port. Whether it is connected anew.
    pub(crate) fn add(&mut self, domain: u16, memory: Window, port: u32) -> bool {
        self.clients.push(Client { domain, memory, port });
        self.keeper.attach(domain, memory)
    }

    /// A port was notified.
    pub(crate) fn event(&mut self, port: u32) {
        self.touched |= self.clients.iter().any(|client| client.port == port);
    }

    /// Whether guests' pages are to be looked at. Most rounds are for devices only, and need not.
    pub(crate) fn begin_round(&mut self) -> bool {
        core::mem::take(&mut self.touched)
    }

    /// Handles what a guest asks.
    pub(crate) fn serve(&mut self, domain: u16) -> Served {
        match self.keeper.serve(domain, BUDGET) {
            Ok(Look::Nothing) => Served::Nothing,
            Ok(Look::Something | Look::More) => {
                // Others may have to be told, or there is more.
                self.touched = true;
                Served::Something
            }
            Ok(Look::Anew) => {
                self.touched = true;
                if let Some(client) = self.clients.iter().find(|client| client.domain == domain) {
                    self.keeper.attach(domain, client.memory);
                }
                Served::Anew
            }
            Err(fault) => {
                rt::println!("guest {domain}: {fault}: disconnected until it begins anew");
                Served::Nothing
            }
        }
    }

    /// Whether there is another round to be done at once.
    pub(crate) const fn has_more(&self) -> bool {
        self.touched
    }

    /// Keeps all that changed, and then lets the guests see it.
    pub(crate) fn commit(&mut self) {
        let clients = &self.clients;
        let mut notify = |domain| {
            if let Some(client) = clients.iter().find(|client| client.domain == domain) {
                // It is the hypervisor's and cannot be closed.
                let _ = hypercall::send(client.port);
            }
        };
        if self.keeper.commit(&mut notify).is_err() {
            rt::println!("no room to keep xenstore: if this domain ends now, all guests' devices begin anew");
        }
    }

    /// The tree, to be changed.
    fn manager(&mut self) -> Manager<'_> {
        self.touched = true;
        self.keeper.manager()
    }

    /// The value of a node, if it is there.
    pub(crate) fn read(&mut self, path: &str) -> Option<Vec<u8>> {
        self.keeper.manager().read(path).ok()
    }

    /// The names of a node's children; none if it is not there.
    pub(crate) fn directory(&mut self, path: &str) -> Vec<String> {
        self.keeper.manager().directory(path).unwrap_or_default()
    }

    /// Sets a value, and makes the node if there is none. It cannot fail: the paths are ours, and we have no quota.
    pub(crate) fn write(&mut self, path: &str, value: &str) {
        let _ = self.manager().write(path, value.as_bytes());
    }

    /// Makes a node.
    pub(crate) fn make(&mut self, path: &str) {
        let _ = self.manager().make(path);
    }

    /// Removes a node and what is below it.
    pub(crate) fn remove(&mut self, path: &str) {
        let _ = self.manager().remove(path);
    }

    /// Whose a node is, and who may read it.
    pub(crate) fn permit(&mut self, path: &str, owner: u16, reader: u16) {
        let _ = self.manager().set_permissions(path, owner, Access::NONE, &[(reader, Access::READ)]);
    }

    /// Makes what a guest finds of itself. `name` is that of its node.
    pub(crate) fn introduce(&mut self, domain: u16, name: &str) {
        let home = format!("/local/domain/{domain}");
        self.make(&home);
        self.permit(&home, self.own, domain);
        self.write(&format!("{home}/name"), name);
        self.write(&format!("{home}/domid"), &format!("{domain}"));
        for below in ["device", "control", "data"] {
            self.make(&format!("{home}/{below}"));
            self.permit(&format!("{home}/{below}"), domain, self.own);
        }
        self.write(&format!("{home}/control/shutdown"), "");
        self.permit(&format!("{home}/control/shutdown"), domain, self.own);
    }

    /// Asks to hear of changes of a guest's devices.
    pub(crate) fn watch_devices(&mut self, domain: u16) {
        let _ = self.manager().watch(&format!("/local/domain/{domain}/device"), &[]);
    }

    /// What changed.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.keeper.manager().next_event()
    }

    /// All guests that are connected.
    pub(crate) fn domains(&self) -> Vec<u16> {
        self.clients.iter().map(|client| client.domain).collect()
    }
}
