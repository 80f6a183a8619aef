//! A server that may end at any instruction: its next life goes on where it was, and no guest notices.
//!
//! Nothing that a guest sees happens before it is kept. [`Keeper::serve`] takes requests and puts answers into the
//! guests' pages, but leaves the pages' indices as they are, so that the guests see neither; [`Keeper::commit`] writes
//! down what changed ([`Log`], records of [`kept`]), and only then shows the indices, which are among what it wrote. A
//! life that ends before this was written is as if it had not begun: the requests are still in the pages. One that ends
//! later left indices that the next life shows once more.
//!
//! What it costs: a request that changes no node makes a record of some 40 bytes; one that changes nodes, one more of
//! the size of each node, and for each guest that is told, one of its events. When half of the memory is full,
//! everything is written once into the other half.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use xen_abi::domid::DomId;

use super::kept;
use super::log::Log;
use super::manager::Manager;
use super::page::{Page, disconnect, reset, server_page, wants_reset};
use super::quota::Quota;
use super::server::Server;
use super::wire::Fault;
use crate::memory::SharedMemory;

/// What was found in the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: this is the first life.
    Nothing,
    /// All that the last life kept.
    Everything,
    /// Something that is no server's. It is as if nothing had been there.
    Rubbish,
}

/// The memory is too small for all that there is. The server goes on, but a next life would find nothing, until there is
/// less again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// What a look at a guest's page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is nothing to do.
    Nothing,
    /// [`Keeper::commit`] is to be called.
    Something,
    /// The same, and then there may be more: the budget was used up.
    More,
    /// The guest begins anew and asks for an empty page: [`Keeper::attach`] it again.
    Anew,
}

/// A guest's page.
struct Attached<P> {
    memory: P,
    page: Page<P>,
    /// It is to be emptied, as soon as it is kept that the guest begins anew.
    reset: bool,
    /// The guest broke the protocol.
    broken: bool,
}

/// A server that is kept in memory of type `M`; the guests' pages are of type `P`.
pub struct Keeper<M, P> {
    log: Log<M>,
    server: Server,
    pages: BTreeMap<DomId, Attached<P>>,
    /// Guests that went since the last commit.
    released: Vec<DomId>,
    /// Guests that are to be notified, whatever is new.
    told: BTreeSet<DomId>,
}

impl<M: SharedMemory, P: SharedMemory + Copy> Keeper<M, P> {
    /// Begins with what is in the memory, which is this server's alone; [`Quota::memory`] says how much it takes. Guests
    /// that were connected are still, but have no pages yet.
    pub fn open(memory: M, manager: DomId, quota: Quota) -> (Self, Found) {
        let (mut log, batches) = Log::open(memory);
        let (server, found) = match kept::resume(&batches, manager, quota) {
            Some(server) => (server, Found::Everything),
            None if batches.is_empty() => (Server::new(manager, quota), Found::Nothing),
            None => (Server::new(manager, quota), Found::Rubbish),
        };
        if found != Found::Everything {
            log.clear();
        }
        let mut keeper = Self { log, server, pages: BTreeMap::new(), released: Vec::new(), told: BTreeSet::new() };
        keeper.server.tree.changed = Some(BTreeSet::new());
        (keeper, found)
    }

    /// Gives a guest its page, of at least 4096 bytes: at the beginning, and when [`serve`](Self::serve) says
    /// [`Look::Anew`]. A guest that was not connected, or asks for an empty page, is connected anew, without watches and
    /// transactions; with the next commit its page is emptied if it asked for that. Whether it is connected anew.
    pub fn attach(&mut self, domain: DomId, memory: P) -> bool {
        let reset = wants_reset(memory);
        let connection = self.server.connections.get(&domain).filter(|_| !reset);
        let kept = connection.map(|connection| connection.indices);
        let mut page = server_page(memory);
        match kept {
            Some(indices) => {
                page.set_indices(indices);
                page.show();
            }
            None => self.server.introduce(domain),
        }
        // The last life may have ended before it told the guest.
        self.told.insert(domain);
        self.pages.insert(domain, Attached { memory, page, reset, broken: false });
        kept.is_none()
    }

    /// A guest is gone for good, with its page and its nodes; see [`Server::release`].
    pub fn release(&mut self, domain: DomId) {
        self.server.release(domain);
        self.pages.remove(&domain);
        self.released.push(domain);
    }

    /// The tree, as who owns it may change it. Changes are kept and told with the next commit.
    pub fn manager(&mut self) -> Manager<'_> {
        self.server.manager()
    }

    /// Handles what came through a guest's page, at most `budget` messages, and puts there what there is for it.
    ///
    /// # Errors
    /// The guest broke the protocol, which its page says now. It is left alone until it is attached again.
    pub fn serve(&mut self, domain: DomId, budget: u32) -> Result<Look, Fault> {
        let Some(attached) = self.pages.get_mut(&domain).filter(|it| !it.reset) else { return Ok(Look::Nothing) };
        if wants_reset(attached.memory) {
            return Ok(Look::Anew);
        }
        if attached.broken {
            return Ok(Look::Nothing);
        }
        let again = self.server.exchange(domain, &mut attached.page, budget);
        let connection = self.server.connections.get_mut(&domain);
        let indices = attached.page.indices();
        let moved = connection.is_some_and(|connection| {
            let moved = core::mem::replace(&mut connection.indices, indices) != indices;
            connection.changed |= moved;
            moved
        });
        match again {
            // It began anew between both looks.
            Err(_) if wants_reset(attached.memory) => Ok(Look::Anew),
            Err(fault) => {
                attached.broken = true;
                disconnect(attached.memory, fault);
                Err(fault)
            }
            Ok(true) => Ok(Look::More),
            Ok(false) => Ok(if moved { Look::Something } else { Look::Nothing }),
        }
    }

    /// Keeps what changed, and shows it. `notify` is called for each guest that is to be notified.
    ///
    /// # Errors
    /// The memory is too small. What changed is shown all the same.
    pub fn commit(&mut self, notify: &mut dyn FnMut(DomId)) -> Result<(), TooSmall> {
        let kept = self.keep();
        self.released.clear();
        for (domain, attached) in &mut self.pages {
            if core::mem::take(&mut attached.reset) {
                reset(attached.memory);
                attached.page = server_page(attached.memory);
                self.told.insert(*domain);
            }
            if attached.page.show() {
                self.told.insert(*domain);
            }
        }
        core::mem::take(&mut self.told).into_iter().for_each(notify);
        kept
    }

    fn keep(&mut self) -> Result<(), TooSmall> {
        let Some(batch) = kept::changes(&mut self.server, &self.released) else { return Ok(()) };
        let kept = self.log.append(&batch).or_else(|_| self.log.put(&kept::all(&mut self.server)));
        kept.map_err(|_| {
            // What is there is not true any more.
            self.log.clear();
            TooSmall
        })
    }
}
