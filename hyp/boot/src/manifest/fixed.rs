//! What a tree fixes before any guest runs: memory at given places, memory that guests share, and event channels
//! between them.
//!
//! Xen calls these static. They are kept beside the guests, each with the number of its guest, because most guests have
//! none of them.

use heapless::Vec;
use xen_abi::io_domain::{self, CONSOLE_PORT, SHARED_BYTES, STORE_PORT};

use crate::guest_tree::DEVICES;
use crate::limits::{MAX_DOMAINS, MAX_FIXED_CHANNELS, MAX_NAMED_CHANNELS, MAX_PORTS, MAX_SHARED, MAX_STATIC};
use crate::tree::{Path, Spot, Width, number};
use crate::{BootError, Region};

/// Units of memory at a given place: whole blocks of the second stage.
const BLOCK: u64 = 2 << 20;
const PAGE: u64 = 4096;
/// First address that no guest can form: the second stage translates 39 bits.
pub(crate) const GUEST_END: u64 = 1 << 39;
/// Guest addresses below are the virtual machine's own: devices and the region of grants.
const RAM_LOWEST: u64 = 0x4000_0000;

/// A piece of host memory that one guest is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticMemory {
    /// Index of the guest.
    pub domain: u8,
    /// Where it is, in host memory.
    pub place: Region,
}

/// A guest's view of memory that several guests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMemory<'a> {
    /// Its node.
    pub path: Path<'a>,
    /// Index of the guest.
    pub domain: u8,
    /// What all that share it call it; empty for what the I/O domain shares with each guest.
    pub id: &'a str,
    /// Where the guest sees it.
    pub guest: Region,
    /// Where it is in host memory, if the tree says.
    pub host: Option<u64>,
    /// Where this view begins in the memory that is shared, bytes.
    pub offset: u64,
}

/// One end of an event channel between two guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLink {
    /// Index of the guest.
    pub domain: u8,
    /// Its port.
    pub port: u16,
    /// Index of the other guest.
    pub remote: u8,
    /// The port there.
    pub remote_port: u16,
}

/// All that is fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed<'a> {
    /// Memory at given places, in the order of guests, and of each guest's addresses.
    pub memory: Vec<StaticMemory, MAX_STATIC>,
    /// Shared memory.
    pub shared: Vec<SharedMemory<'a>, MAX_SHARED>,
    /// Event channels, each from both ends.
    pub links: Vec<EventLink, MAX_FIXED_CHANNELS>,
    ends: Vec<EventEnd<'a>, MAX_NAMED_CHANNELS>,
}

/// An end of an event channel as its node has it: its own handle, and that of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventEnd<'a> {
    path: Path<'a>,
    domain: u8,
    port: u16,
    own: u32,
    remote: u32,
}

impl<'a> Fixed<'a> {
    /// Nothing.
    pub(super) const fn new() -> Self {
        Self { memory: Vec::new(), shared: Vec::new(), links: Vec::new(), ends: Vec::new() }
    }

    /// The pieces of a guest's memory.
    pub fn memory_of(&self, domain: usize) -> impl Iterator<Item = Region> {
        self.memory.iter().filter(move |piece| usize::from(piece.domain) == domain).map(|piece| piece.place)
    }

    /// The shared memory that a guest sees.
    pub fn shared_of(&self, domain: usize) -> impl Iterator<Item = &SharedMemory<'a>> + Clone {
        self.shared.iter().filter(move |shared| usize::from(shared.domain) == domain)
    }

    /// The ends of event channels that a guest has.
    pub fn links_of(&self, domain: usize) -> impl Iterator<Item = &EventLink> {
        self.links.iter().filter(move |link| usize::from(link.domain) == domain)
    }

    /// Reads `xen,static-mem` of a guest, and `direct-map`. Returns whether guest addresses are host addresses.
    #[inline(never)]
    pub(super) fn read_memory(&mut self, node: &Spot<'a>, domain: u8, size: u64) -> Result<bool, BootError<'a>> {
        const PROPERTY: &str = "xen,static-mem";
        let direct = node.value("direct-map").is_some();
        if node.value(PROPERTY).is_none() {
            let what = ": direct-map needs memory at a given place: add xen,static-mem";
            return if direct { Err(BootError::BadNode { path: node.path, what }) } else { Ok(false) };
        }
        let cell = |name, usual: u8| node.cell(name).map(|cell| cell.map_or(usual, |cell| cell.min(9) as u8));
        let cells = Width {
            address: cell("#xen,static-mem-address-cells", node.cells.address)?,
            size: cell("#xen,static-mem-size-cells", node.cells.size)?,
        };
        let mut total = 0u64;
        let mut end = 0;
        for place in node.ranges(PROPERTY, cells)? {
            let whole = place.start.is_multiple_of(BLOCK) && place.size.is_multiple_of(BLOCK) && place.size != 0;
            if !whole || place.start.checked_add(place.size).is_none() {
                return Err(node.bad(PROPERTY, "ranges whose addresses and sizes are multiples of 2 MiB"));
            }
            if direct && (place.start < end || place.start < RAM_LOWEST || place.end() > GUEST_END) {
                let want = "with direct-map, ranges in rising order from 0x40000000 to 0x8000000000: \
                            below are the guest's devices";
                return Err(node.bad(PROPERTY, want));
            }
            end = place.end();
            total = total.saturating_add(place.size);
            let full = BootError::TooMany { path: node.path, what: "ranges of static memory", limit: MAX_STATIC };
            self.memory.push(StaticMemory { domain, place }).map_err(|_| full)?;
        }
        if total != size {
            let (value, want) = (size >> 10, "the sum of the sizes in xen,static-mem, in KiB");
            return Err(BootError::BadNumber { path: node.path, property: "memory", value, want });
        }
        Ok(direct)
    }

    /// Reads a view of shared memory.
    #[inline(never)]
    pub(super) fn read_shared(&mut self, child: &Spot<'a>, domain: u8) -> Result<(), BootError<'a>> {
        let id = child.text("xen,shm-id")?.filter(|id| !id.is_empty() && id.len() < 16);
        let id = id.ok_or_else(|| child.bad("xen,shm-id", "a name of 1 to 15 characters"))?;
        if let Some(word) = child.text("role")?
            && !["owner", "borrower"].contains(&word)
        {
            let want = "\"owner\" or \"borrower\"";
            return Err(BootError::BadWord { path: child.path, property: "role", word, want });
        }
        let shared = view(child, domain, id).ok_or_else(|| {
            let want = "a host address (or none), a guest address and a size, all multiples of 4 KiB, both addresses alike \
                        below 2 MiB, the guest's outside of its devices";
            child.bad("xen,shared-mem", want)
        })?;
        if let Some(other) = self.shared.iter().find(|other| other.id == shared.id) {
            let same = other.guest.size == shared.guest.size && other.host == shared.host;
            if !same || other.domain == domain {
                return Err(child.bad("xen,shared-mem", "the same memory for all guests that share it, once for each"));
            }
        }
        self.share(shared)
    }

    fn share(&mut self, view: SharedMemory<'a>) -> Result<(), BootError<'a>> {
        let full = BootError::TooMany { path: view.path, what: "views of shared memory", limit: MAX_SHARED };
        self.shared.push(view).map_err(|_| full)
    }

    /// Reads one end of an event channel. Who has the other end is known when all guests are.
    #[inline(never)]
    pub(super) fn read_event(&mut self, node: &Spot<'a>, domain: u8) -> Result<(), BootError<'a>> {
        let end = event_end(node, domain);
        let end = end.filter(|end| !self.ends.iter().any(|other| (other.domain, other.port) == (domain, end.port)));
        let end = end.ok_or_else(|| node.bad("xen,evtchn", FREE_PORT))?;
        let limit = MAX_NAMED_CHANNELS;
        let full = BootError::TooMany { path: node.path, what: "ends of static event channels", limit };
        self.ends.push(end).map_err(|_| full)
    }

    /// Joins the ends of event channels: each must name one that names it.
    pub(super) fn join_events(&mut self) -> Result<(), BootError<'a>> {
        for end in &self.ends {
            let other = self.ends.iter().find(|other| other.own == end.remote && other.own != end.own);
            let want = "<port handle>: the handle must be that of another guest's event channel, which names this one";
            let lonely = BootError::BadValue { path: end.path, property: "xen,evtchn", want };
            let other = other.filter(|other| other.remote == end.own).ok_or(lonely)?;
            let (domain, port, remote, remote_port) = (end.domain, end.port, other.domain, other.port);
            // Cannot fail: there is room for more than there are ends.
            let _ = self.links.push(EventLink { domain, port, remote, remote_port });
        }
        Ok(())
    }

    /// Gives the I/O domain, guest `server` at `path`, memory that it shares with all others, from this guest address on.
    pub(super) fn join_server(&mut self, path: Path<'a>, server: u8, base: u64) -> Result<(), BootError<'a>> {
        let guest = Region::new(io_domain::console_page(base, 1), MAX_DOMAINS as u64 * SHARED_BYTES);
        self.share(SharedMemory { path, domain: server, id: "", guest, host: None, offset: 0 })
    }

    /// Gives guest `domain` at `path` its part of that memory, and its two channels to the I/O domain.
    pub(super) fn join_client(
        &mut self,
        path: Path<'a>,
        domain: u8,
        server: u8,
        base: u64,
    ) -> Result<(), BootError<'a>> {
        let (guest, offset) = (Region::new(base, SHARED_BYTES), u64::from(domain) * SHARED_BYTES);
        self.share(SharedMemory { path, domain, id: "", guest, host: None, offset })?;
        let number = u16::from(domain) + 1;
        let ports = [(STORE_PORT, io_domain::store_port(number)), (CONSOLE_PORT, io_domain::console_port(number))];
        for (port, remote_port) in ports.map(|(port, remote)| (port as u16, remote as u16)) {
            let both = [(domain, port, server, remote_port), (server, remote_port, domain, port)];
            for (domain, port, remote, remote_port) in both {
                if let Some(end) = self.ends.iter().find(|end| (end.domain, end.port) == (domain, port)) {
                    return Err(BootError::BadValue { path: end.path, property: "xen,evtchn", want: FREE_PORT });
                }
                // Cannot fail: there is room for those of all guests beside the named ones.
                let _ = self.links.push(EventLink { domain, port, remote, remote_port });
            }
        }
        Ok(())
    }
}

const FREE_PORT: &str = "<port handle>: a free port from 1 to 1023, and the handle of another guest's event channel";

/// Reads a view of shared memory but for what can be wrong with its numbers.
fn view<'a>(child: &Spot<'a>, domain: u8, id: &'a str) -> Option<SharedMemory<'a>> {
    let bytes = child.value("xen,shared-mem")?;
    let (address, size) = (usize::from(child.cells.address) * 4, usize::from(child.cells.size) * 4);
    let (rest, size) = bytes.split_at_checked(bytes.len().checked_sub(size)?)?;
    let (host, guest) = rest.split_at_checked(rest.len().checked_sub(address)?)?;
    let guest = Region::new(number(guest)?, number(size)?);
    // As Xen has it, the host address comes first and may be absent.
    let host = if host.is_empty() { None } else { Some(number(host).filter(|_| host.len() == address)?) };
    let placed =
        host.is_none_or(|host| (host ^ guest.start).is_multiple_of(BLOCK) && host.checked_add(guest.size).is_some());
    let pages = guest.start.is_multiple_of(PAGE) && guest.size.is_multiple_of(PAGE) && guest.size != 0;
    let devices = DEVICES.iter().any(|device| device.overlaps(&guest));
    let fits = placed && pages && !devices && guest.end() <= GUEST_END;
    fits.then_some(SharedMemory { path: child.path, domain, id, guest, host, offset: 0 })
}

/// Reads an end of an event channel but for what can be wrong with it.
fn event_end<'a>(node: &Spot<'a>, domain: u8) -> Option<EventEnd<'a>> {
    let (port, remote) = node.value("xen,evtchn")?.split_at_checked(4)?;
    let port = number(port).filter(|port| (1..MAX_PORTS as u64).contains(port))? as u16;
    let remote = number(remote).filter(|_| remote.len() == 4)? as u32;
    Some(EventEnd { path: node.path, domain, port, own: node.cell("phandle").ok()??, remote })
}
