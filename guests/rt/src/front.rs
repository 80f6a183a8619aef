//! What a bare guest needs to have devices of an I/O domain: pages as the protocols want them, ports, xenstore.
//!
//! The halves of the protocols themselves are those of `hyp_pvio`. Nothing here waits for ever: an I/O domain that says nothing is
//! an error like one that lies.

mod store;

use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hyp_pvio::xenstore;
pub use store::{Ends, Store};
use xen_abi::errno::Errno;

use crate::grants::{self, PAGE};
use crate::window::Window;
use crate::{cpu, events, hypercall, pages, timer};

/// How long another guest may take for anything, ns.
pub const PATIENCE: u64 = 1_000_000_000;

/// How long we sleep at most between two looks, ns: not all that we wait for is announced.
const NAP: u64 = 200_000;

/// Why something did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server refused it.
    Refused(Errno),
    /// The server broke the protocol of xenstore.
    Store(xenstore::Fault),
    /// A back end broke the protocol of its device.
    Device(String),
    /// Nothing happened for [`PATIENCE`].
    Silence,
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(out, "{error:?}"),
            Self::Store(fault) => write!(out, "{fault}"),
            Self::Device(what) => write!(out, "{what}"),
            Self::Silence => write!(out, "silence"),
        }
    }
}

/// Looks again and again until there is something.
///
/// # Errors
/// There was nothing in time, or looking itself failed.
pub fn wait<T>(mut look: impl FnMut() -> Result<Option<T>, Trouble>) -> Result<T, Trouble> {
    let end = timer::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if timer::now() > end {
            return Err(Trouble::Silence);
        }
        nap();
    }
}

/// Sleeps until somebody notifies us, or [`NAP`] is over.
fn nap() {
    timer::set(timer::to_ticks(timer::now() + NAP));
    cpu::mask_interrupts();
    if !events::any_raised() {
        cpu::wait_for_interrupt();
    }
    cpu::unmask_interrupts();
    events::take_raised(|_| ());
}

/// A port of ours that a domain may bind, whose events come.
///
/// # Errors
/// There are no more.
pub fn open_port(to: u16) -> Result<u32, Trouble> {
    let port = hypercall::alloc_unbound(to).map_err(Trouble::Refused)?;
    hypercall::unmask(port).map_err(Trouble::Refused)?;
    Ok(port)
}

/// The next entry of the grant table that nobody had; the first ones are Xen's own.
static ENTRY: AtomicU32 = AtomicU32::new(8);

/// A page of ours that another domain may use.
#[derive(Clone, Copy)]
pub struct Lent {
    /// The page.
    pub memory: Window,
    /// Its entry.
    pub grant: u32,
}

impl Lent {
    /// A new page for a domain. There are 500 of them in a life.
    pub fn new(to: u16, read_only: bool) -> Self {
        Self::give(to, pages::allocate(1), read_only)
    }

    /// The first page of this memory, which is of [`pages::allocate`], for a domain.
    pub fn give(to: u16, memory: Window, read_only: bool) -> Self {
        let grant = ENTRY.fetch_add(1, Relaxed);
        grants::grant(grant, to, memory.frame(0), read_only);
        Self { memory, grant }
    }

    /// Sets all its words, by their numbers.
    pub fn fill(&self, word: impl Fn(u64) -> u64) {
        let mut bytes = [0; PAGE];
        bytes.chunks_exact_mut(8).zip(0..).for_each(|(place, at)| place.copy_from_slice(&word(at).to_le_bytes()));
        self.memory.write(0, &bytes);
    }

    /// The first word that is not as it should be.
    pub fn differs(&self, word: impl Fn(u64) -> u64) -> Option<u64> {
        let mut bytes = [0; PAGE];
        self.memory.read(0, &mut bytes);
        bytes.chunks_exact(8).zip(0..).find(|(found, at)| **found != word(*at).to_le_bytes()).map(|(_, at)| at)
    }
}
