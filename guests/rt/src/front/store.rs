//! xenstore, a question at a time.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hyp_pvio::xenbus::State;
use hyp_pvio::xenstore::{Answer, Client, Page, client_page};
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{XENSTORE_CONNECTED, XENSTORE_CONNECTION, XS_READ, XS_RM, XS_SET_PERMS, XS_WRITE};
use xen_abi::io_domain::{STORE_PORT, store_page};

use super::{Trouble, wait};
use crate::window::Window;
use crate::{Machine, hypercall, memory};

/// Our connection to the server.
pub struct Store {
    /// The page.
    pub memory: Window,
    page: Page<Window>,
    client: Client,
}

impl Store {
    /// Waits until the server is there, and connects.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(machine: &'static Machine) -> Result<Self, Trouble> {
        let page = Window::outside_of_ram(machine, store_page(memory::SHARED_BASE, 0) as usize, 4096);
        let memory = page.ok_or_else(|| Trouble::Device("no page".into()))?;
        let connected = || (memory.load(XENSTORE_CONNECTION) == XENSTORE_CONNECTED).then_some(());
        wait(|| Ok(connected()))?;
        Ok(Self::anew(memory))
    }

    /// Goes on with the page as it is now.
    pub fn anew(memory: Window) -> Self {
        Self { memory, page: client_page(memory), client: Client::default() }
    }

    /// Asks, and waits for the answer. Events that come meanwhile are forgotten.
    ///
    /// # Errors
    /// The server refuses, breaks the protocol or says nothing.
    pub fn ask(&mut self, kind: u32, transaction: u32, payload: &[u8]) -> Result<Vec<u8>, Trouble> {
        let number = self.client.ask(kind, transaction, payload).map_err(Trouble::Refused)?;
        let answer = wait(|| {
            let mut notify = false;
            let answer = self.client.poll(&mut self.page, &mut notify);
            if notify {
                // It is the hypervisor's and cannot be closed.
                let _ = hypercall::send(STORE_PORT);
            }
            Ok(match answer.map_err(Trouble::Store)? {
                Some(Answer::Reply(other, answer)) if other == number => Some(answer),
                _ => None,
            })
        });
        answer?.map_err(Trouble::Refused)
    }

    /// A node's value as text.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub fn read(&mut self, path: &str) -> Result<String, Trouble> {
        let value = self.ask(XS_READ, 0, format!("{path}\0").as_bytes())?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    /// A node's value as a number.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask), or it is none.
    pub fn number<T: core::str::FromStr>(&mut self, path: &str) -> Result<T, Trouble> {
        let text = self.read(path)?;
        text.parse().map_err(|_| Trouble::Device(format!("{path} is {text:?}")))
    }

    /// Sets a node's value.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub fn write(&mut self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Trouble> {
        let payload = [path.as_bytes(), &[0], value.as_ref()].concat();
        self.ask(XS_WRITE, 0, &payload).map(drop)
    }

    /// Removes a node.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub fn remove(&mut self, path: &str) -> Result<(), Trouble> {
        self.ask(XS_RM, 0, format!("{path}\0").as_bytes()).map(drop)
    }

    /// Lets another domain read a node of ours.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub fn show(&mut self, path: &str, own: u16, to: u16) -> Result<(), Trouble> {
        self.ask(XS_SET_PERMS, 0, format!("{path}\0n{own}\0r{to}\0").as_bytes()).map(drop)
    }

    /// The state of an end of a device.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask), but that there is no node.
    pub fn state(&mut self, directory: &str) -> Result<State, Trouble> {
        match self.read(&format!("{directory}/state")) {
            Ok(text) => Ok(State::parse(text.as_bytes())),
            Err(Trouble::Refused(Errno::ENOENT)) => Ok(State::Unknown),
            Err(trouble) => Err(trouble),
        }
    }

    /// Waits until an end of a device has come so far.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask), or it has not in time.
    pub fn wait_for(&mut self, directory: &str, state: State) -> Result<(), Trouble> {
        wait(|| Ok((self.state(directory)? == state).then_some(())))
    }
}

/// Both ends of a device of ours: where their nodes are.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Our end.
    pub front: String,
    /// The other one.
    pub back: String,
    /// Whose that is.
    pub domain: u16,
}

impl Ends {
    /// Finds a device.
    ///
    /// # Errors
    /// It is not there.
    pub fn find(store: &mut Store, kind: &str, number: u32) -> Result<Self, Trouble> {
        let front = format!("device/{kind}/{number}");
        let back = store.read(&format!("{front}/backend"))?;
        let domain = store.number(&format!("{front}/backend-id"))?;
        Ok(Self { front, back, domain })
    }

    /// Says how far our end has come.
    ///
    /// # Errors
    /// As of [`Store::ask`].
    pub fn tell(&self, store: &mut Store, state: State) -> Result<(), Trouble> {
        store.write(&format!("{}/state", self.front), [state.digit()])
    }

    /// Sets a node of our end.
    ///
    /// # Errors
    /// As of [`Store::ask`].
    pub fn set(&self, store: &mut Store, name: &str, value: impl AsRef<[u8]>) -> Result<(), Trouble> {
        store.write(&format!("{}/{name}", self.front), value)
    }

    /// Closes our end, in whatever state either is, and waits until the other has begun anew.
    ///
    /// # Errors
    /// As of [`Store::wait_for`].
    pub fn begin_anew(&self, store: &mut Store) -> Result<(), Trouble> {
        self.tell(store, State::Closed)?;
        store.wait_for(&self.back, State::Closed)?;
        self.tell(store, State::Initialising)?;
        store.wait_for(&self.back, State::InitWait)
    }

    /// The same, and lets go of our port.
    ///
    /// # Errors
    /// As of [`begin_anew`](Self::begin_anew).
    pub fn close(&self, store: &mut Store, port: u32) -> Result<(), Trouble> {
        self.begin_anew(store)?;
        // It is ours.
        hypercall::close(port).map_err(Trouble::Refused)
    }

    /// Has the back end, which is our own I/O domain, tell tools what it noted of the device, and waits until it has.
    ///
    /// # Errors
    /// As of [`Store::ask`], or it does not.
    pub fn report(&self, store: &mut Store) -> Result<(), Trouble> {
        self.set(store, "report", "1")?;
        wait(|| match store.read(&format!("{}/reported", self.back)) {
            Ok(_) => Ok(Some(())),
            Err(Trouble::Refused(Errno::ENOENT)) => Ok(None),
            Err(trouble) => Err(trouble),
        })
    }
}
