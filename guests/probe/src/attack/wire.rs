//! xenstore's page without anybody who takes care: bytes in, bytes out, indices as one likes.

use alloc::vec;
use alloc::vec::Vec;

use rt::hypercall;
use rt::window::Window;
use xen_abi::io::xs_wire::{
    Sockmsg, XENSTORE_CONNECTED, XENSTORE_CONNECTION, XENSTORE_ERROR, XENSTORE_PAYLOAD_MAX, XENSTORE_RECONNECT,
    XENSTORE_REQ, XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RING_SIZE, XENSTORE_RSP, XENSTORE_RSP_CONS,
    XENSTORE_RSP_PROD, XS_WATCH_EVENT,
};
use xen_abi::io_domain::STORE_PORT;
use zerocopy::{FromBytes, IntoBytes};

use rt::front::{Trouble, wait};

/// The page.
#[derive(Clone, Copy)]
pub(crate) struct Wire(pub(crate) Window);

impl Wire {
    /// Tells the server that there is something, or not.
    pub(crate) fn notify(self) {
        // It is the hypervisor's and cannot be closed.
        let _ = hypercall::send(STORE_PORT);
    }

    /// An index of the page, or another of its words.
    pub(crate) fn word(self, offset: usize) -> u32 {
        self.0.load(offset)
    }

    /// Changes one.
    pub(crate) fn set(self, offset: usize, value: u32) {
        self.0.store(offset, value);
        self.notify();
    }

    /// Sends bytes, as there is room for them.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn put(self, bytes: &[u8]) -> Result<(), Trouble> {
        for byte in bytes {
            let at = self.word(XENSTORE_REQ_PROD);
            if at.wrapping_sub(self.word(XENSTORE_REQ_CONS)) as usize >= XENSTORE_RING_SIZE {
                self.notify();
                wait(|| Ok((self.word(XENSTORE_REQ_CONS) == at).then_some(())))?;
            }
            self.0.write(XENSTORE_REQ + at as usize % XENSTORE_RING_SIZE, &[*byte]);
            self.0.store(XENSTORE_REQ_PROD, at.wrapping_add(1));
        }
        self.notify();
        Ok(())
    }

    /// Sends a message; `length` is what it says of its payload.
    ///
    /// # Errors
    /// As of [`put`](Self::put).
    pub(crate) fn send(self, header: Sockmsg, payload: &[u8]) -> Result<(), Trouble> {
        self.put(header.as_bytes())?;
        self.put(payload)
    }

    fn take(self, count: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = vec![0; count];
        for byte in &mut bytes {
            let at = self.word(XENSTORE_RSP_CONS);
            if self.word(XENSTORE_RSP_PROD) == at {
                self.notify();
                wait(|| Ok((self.word(XENSTORE_RSP_PROD) != at).then_some(())))?;
            }
            self.0.read(XENSTORE_RSP + at as usize % XENSTORE_RING_SIZE, core::slice::from_mut(byte));
            self.0.store(XENSTORE_RSP_CONS, at.wrapping_add(1));
        }
        self.notify();
        Ok(bytes)
    }

    /// The next message that is not an event.
    ///
    /// # Errors
    /// There is none, or it says that it is too long.
    pub(crate) fn receive(self) -> Result<(Sockmsg, Vec<u8>), Trouble> {
        loop {
            let header = Sockmsg::read_from_bytes(&self.take(size_of::<Sockmsg>())?).unwrap_or_default();
            if header.len as usize > XENSTORE_PAYLOAD_MAX {
                return Err(Trouble::Device("an answer that is too long".into()));
            }
            let payload = self.take(header.len as usize)?;
            if header.kind != XS_WATCH_EVENT {
                return Ok((header, payload));
            }
        }
    }

    /// Waits until the server says why it listens no longer.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn error(self) -> Result<u32, Trouble> {
        wait(|| Ok(Some(self.word(XENSTORE_ERROR)).filter(|error| *error != 0)))
    }

    /// Asks for an empty page, which begins a new connection.
    ///
    /// # Errors
    /// The server does not listen any more.
    pub(crate) fn reconnect(self) -> Result<(), Trouble> {
        self.set(XENSTORE_CONNECTION, XENSTORE_RECONNECT);
        wait(|| Ok((self.word(XENSTORE_CONNECTION) == XENSTORE_CONNECTED).then_some(())))
    }
}
