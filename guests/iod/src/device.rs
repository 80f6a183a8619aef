//! A device of a guest: both ends' nodes in xenstore, how far its connection has come, and what serves it.

pub(crate) mod disk;
pub(crate) mod display;
pub(crate) mod keyboard;
pub(crate) mod nic;
pub(crate) mod sound;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::xenbus::{Action, End, Side, State};
use rt::hypercall;
use rt::virtio::block::Operation;

use crate::hardware::Hardware;
use crate::store::Store;

/// Names and values of nodes.
pub(crate) type Nodes = Vec<(&'static str, String)>;

/// Reads one of the front end's nodes by its name.
pub(crate) type Get<'a> = &'a mut dyn FnMut(&str) -> Option<Vec<u8>>;

/// What serves one kind of device.
pub(crate) trait Back {
    /// What it offers: nodes of the back end, written before the front end looks.
    fn offer(&mut self, hardware: &mut Hardware) -> Nodes;
    /// Connects to a front end whose nodes `get` reads by their names; the nodes to write before it is told. `resumes`: it was
    /// connected in a life of ours that is over, and does not know of that.
    ///
    /// # Errors
    /// What the front end did wrong. Nothing is left mapped or bound.
    fn connect(&mut self, hardware: &mut Hardware, get: Get<'_>, resumes: bool) -> Result<Nodes, String>;
    /// Lets go of rings, mappings and ports.
    fn disconnect(&mut self, hardware: &mut Hardware);
    /// What the next life has to know, if that is another than it was: it is written down before [`serve`](Self::serve) is
    /// called once more.
    fn keep(&mut self) -> Option<String> {
        None
    }
    /// What a life that is over wrote down last, before [`connect`](Self::connect) resumes.
    fn recall(&mut self, _text: &str) {}
    /// The device below has nothing to do for it any more.
    fn is_idle(&self) -> bool {
        true
    }
    /// It is disconnected and idle, and taken away: gives back what it has of the hardware.
    fn give_back(&mut self, _hardware: &mut Hardware) {}
    /// An operation of the device below is over, and whether it was done.
    fn complete(&mut self, _hardware: &mut Hardware, _operation: Operation, _done: bool) {}
    /// Tells tools some of what it noted of the connection, an event a line. Returns whether that was the last of it.
    fn report(&mut self) -> bool {
        true
    }
    /// Does what there is to do. Returns whether there may be more at once.
    ///
    /// # Errors
    /// What the front end did wrong: the device is to be disconnected.
    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String>;
}

/// Kinds of devices that come and go, as xenstore calls them.
pub(crate) const DISK: &str = "vbd";
pub(crate) const NIC: &str = "vif";

/// The node of the back end that says whether the device stays ("1") or is being taken away ("0").
const ONLINE: &str = "online";
/// The node of the back end in which it keeps what its next life has to know.
const KEPT: &str = "kept";

/// The node of the front end by which one that is ours asks for a report, by any number, and that of the back end which says that
/// number when all is told.
const ASKED: &str = "report";
const TOLD: &str = "reported";

/// Writes nodes below a directory.
fn write_all(store: &mut Store, directory: &str, nodes: impl IntoIterator<Item = (impl AsRef<str>, String)>) {
    nodes.into_iter().for_each(|(name, value)| store.write(&format!("{directory}/{}", name.as_ref()), &value));
}

/// Binds a port of a guest's, and lets its events come.
fn bind(domain: u16, port: u32) -> Result<u32, String> {
    let own = hypercall::bind_interdomain(domain, port);
    let own = own.map_err(|error| format!("event channel {port}: {error:?}"))?;
    // It is ours and open.
    let _ = hypercall::unmask(own);
    // The guest may wait for an answer of a life of ours that ended before it said so.
    let _ = hypercall::send(own);
    Ok(own)
}

/// Binds two ports of a guest's, or none.
fn bind_both(domain: u16, ports: [u32; 2]) -> Result<(u32, u32), String> {
    let first = bind(domain, ports[0])?;
    let second = bind(domain, ports[1]).inspect_err(|_| {
        // It was bound just now.
        let _ = hypercall::close(first);
    })?;
    Ok((first, second))
}

/// Which device of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The guest.
    pub(crate) domain: u16,
    /// The kind, as xenstore calls it.
    pub(crate) kind: &'static str,
    /// Which of that kind.
    pub(crate) number: u32,
}

impl Identity {
    /// A number that no other device of the same kind has.
    pub(crate) fn key(&self) -> u32 {
        u32::from(self.domain) << 16 | self.number & 0xffff
    }
}

/// How people call a device.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// One of a guest's: `xvdb`, or its address.
    pub(crate) name: String,
    /// What it is.
    pub(crate) what: String,
}

/// A device.
pub(crate) struct Device {
    /// Which.
    pub(crate) identity: Identity,
    /// What people call it.
    pub(crate) label: Label,
    front: String,
    back: String,
    end: End,
    driver: Box<dyn Back>,
    /// Nodes of the front end that are there from the start.
    given: Vec<(String, String)>,
    /// It is taken away, and its nodes are removed: nothing is written there any more.
    withdrawn: bool,
    /// The report that is to be told.
    report: Option<u32>,
}

impl Device {
    /// A device whose nodes do not exist yet.
    pub(crate) fn new(
        own: u16,
        identity: Identity,
        label: Label,
        given: Vec<(impl Into<String>, String)>,
        driver: Box<dyn Back>,
    ) -> Self {
        let given = given.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let Identity { domain, kind, number } = identity;
        let front = format!("/local/domain/{domain}/device/{kind}/{number}");
        let back = format!("/local/domain/{own}/backend/{kind}/{domain}/{number}");
        let end = End::new(Side::Back);
        Self { identity, label, front, back, end, driver, given, withdrawn: false, report: None }
    }

    /// Where the front end's nodes are.
    pub(crate) fn front(&self) -> &str {
        &self.front
    }

    /// Makes the nodes of a device that nobody has begun to use: all that is there of it is made anew.
    pub(crate) fn publish(&mut self, own: u16, store: &mut Store, hardware: &mut Hardware) {
        let domain = self.identity.domain;
        store.remove(&self.front);
        store.remove(&self.back);
        store.make(&self.back);
        store.permit(&self.back, own, domain);
        store.make(&self.front);
        store.permit(&self.front, domain, own);
        let initialising = State::Initialising as u32;
        let common = [("frontend", self.front.clone()), ("frontend-id", domain.to_string()), (ONLINE, "1".into())];
        write_all(store, &self.back, common.into_iter().chain(self.driver.offer(hardware)));
        store.write(&format!("{}/state", self.back), &initialising.to_string());
        let common = [("backend", self.back.clone()), ("backend-id", own.to_string())];
        write_all(store, &self.front, common);
        write_all(store, &self.front, self.given.clone());
        store.write(&format!("{}/state", self.front), &initialising.to_string());
        self.end = End::new(Side::Back);
    }

    /// The front end's state may have changed.
    pub(crate) fn look(&mut self, store: &mut Store, hardware: &mut Hardware) {
        if self.withdrawn {
            return;
        }
        // A driver that lets go is to look again: the front end may have begun anew already.
        for _ in 0..2 {
            let state = store.read(&format!("{}/state", self.front));
            let state = state.map_or(State::Unknown, |value| State::parse(&value));
            match self.end.peer(state) {
                Action::Nothing => {}
                Action::Offer => {
                    write_all(store, &self.back, self.driver.offer(hardware));
                    self.end.offered();
                }
                Action::Link => self.link(store, hardware),
                Action::Unlink => {
                    self.driver.disconnect(hardware);
                    self.tell(store);
                    continue;
                }
                Action::Reconfigure => self.end.reconfigured(),
            }
            return self.tell(store);
        }
    }

    /// The front end may want a report.
    pub(crate) fn look_for_question(&mut self, store: &mut Store) {
        let value = store.read(&format!("{}/{ASKED}", self.front));
        self.report = value.and_then(|text| core::str::from_utf8(&text).ok()?.parse().ok());
    }

    /// Tells some of it, if one is wanted. Returns whether there is more.
    fn tell_report(&mut self, store: &mut Store) -> bool {
        let Some(number) = self.report else { return false };
        if self.driver.report() {
            self.report = None;
            store.write(&format!("{}/{TOLD}", self.back), &number.to_string());
        }
        true
    }

    fn link(&mut self, store: &mut Store, hardware: &mut Hardware) {
        let resumes = self.end.leaves() || self.told(store) == State::Connected;
        if resumes && let Some(text) = store.read(&format!("{}/{KEPT}", self.back)) {
            self.driver.recall(&String::from_utf8_lossy(&text));
        }
        let front = self.front.clone();
        let mut get = |name: &str| store.read(&format!("{front}/{name}"));
        match self.driver.connect(hardware, &mut get, resumes) {
            Ok(nodes) => {
                write_all(store, &self.back, nodes);
                self.end.linked();
            }
            Err(why) => self.fail(store, hardware, &why),
        }
    }

    /// Ends the connection, because of something that the front end did.
    fn fail(&mut self, store: &mut Store, hardware: &mut Hardware, why: &str) {
        let Identity { domain, kind, number } = self.identity;
        rt::println!("guest {domain}, {kind} {number}: {why}: disconnected");
        if !self.withdrawn {
            store.write(&format!("{}/error", self.back), why);
        }
        self.end.failed();
        self.driver.disconnect(hardware);
        self.tell(store);
    }

    /// The state that our node says.
    fn told(&self, store: &mut Store) -> State {
        store.read(&format!("{}/state", self.back)).map_or(State::Unknown, |value| State::parse(&value))
    }

    /// Writes our state, if it is another than the one that is there.
    fn tell(&mut self, store: &mut Store) {
        let state = self.end.state();
        if !self.withdrawn && self.told(store) != state {
            store.write(&format!("{}/state", self.back), &(state as u32).to_string());
        }
    }

    /// Does what there is to do. Returns whether there may be more at once, or something to tell in xenstore.
    pub(crate) fn serve(&mut self, store: &mut Store, hardware: &mut Hardware) -> bool {
        if !self.end.is_linked() {
            return false;
        }
        let tells = self.tell_report(store);
        let again = self.serve_driver(store, hardware);
        again || tells
    }

    fn serve_driver(&mut self, store: &mut Store, hardware: &mut Hardware) -> bool {
        match self.driver.serve(hardware) {
            Ok(again) => match self.driver.keep() {
                Some(text) => {
                    store.write(&format!("{}/{KEPT}", self.back), &text);
                    true
                }
                None => again,
            },
            Err(why) => {
                self.fail(store, hardware, &why);
                true
            }
        }
    }

    /// An operation of the device below is over.
    pub(crate) fn complete(&mut self, hardware: &mut Hardware, operation: Operation, done: bool) {
        self.driver.complete(hardware, operation, done);
    }

    /// The guest is gone: nothing of the connection is left.
    pub(crate) fn forget(&mut self, hardware: &mut Hardware) {
        self.driver.disconnect(hardware);
        if self.end.leaves() {
            self.end.failed();
        } else {
            self.end = End::new(Side::Back);
        }
    }

    /// Takes up again that it was being taken away when a life of ours ended. Whether it was.
    pub(crate) fn resume_leaving(&mut self, store: &mut Store) -> bool {
        let leaves = store.read(&format!("{}/{ONLINE}", self.back)).is_some_and(|value| value == b"0");
        if leaves {
            self.end = End::leaving();
        }
        leaves
    }

    /// Takes it away: the front end is asked to let go.
    pub(crate) fn leave(&mut self, store: &mut Store) {
        self.end.leave();
        store.write(&format!("{}/{ONLINE}", self.back), "0");
        self.tell(store);
    }

    /// Disconnects one that is being taken away.
    pub(crate) fn cut(&mut self, hardware: &mut Hardware) {
        self.end.failed();
        self.driver.disconnect(hardware);
    }

    /// It is being taken away.
    pub(crate) const fn leaves(&self) -> bool {
        self.end.leaves()
    }

    /// It was, and nobody uses it: the nodes can go.
    pub(crate) fn is_gone(&self) -> bool {
        self.end.is_gone()
    }

    /// Removes the nodes of one that is being taken away, if they are there.
    pub(crate) fn withdraw(&mut self, store: &mut Store) {
        if !core::mem::replace(&mut self.withdrawn, true) {
            store.remove(&self.front);
            store.remove(&self.back);
        }
    }

    /// Gives back what one that is gone has of the hardware. Whether that is done: the device below may have to end something
    /// first.
    pub(crate) fn give_back(&mut self, hardware: &mut Hardware) -> bool {
        let idle = self.driver.is_idle();
        if idle {
            self.driver.give_back(hardware);
        }
        idle
    }

    /// How far its connection has come, for people.
    pub(crate) const fn state(&self) -> &'static str {
        match (self.end.leaves(), self.end.state()) {
            (true, State::Closed) => "gone",
            (true, _) => "asked to let go",
            (false, State::Connected) => "connected",
            (false, State::Closing) => "disconnected",
            (false, State::Closed) => "closed by the guest",
            (false, _) => "not connected",
        }
    }
}
