//! Event channels: which port leads where.
//!
//! A table for each domain, changed under its lock; a connection is changed under both domains' locks, the lower number
//! first. What is sent is found and delivered under the sender's lock alone, because each end keeps what it must know of
//! the other, and the other cannot be closed meanwhile. The rules and errors are those of Xen
//! (`public/event_channel.h`). This file is the table, which knows no machine; [`channels`] applies it to domains, and
//! [`two_level`] and
//! [`fifo`] put events into pages, the first for every domain that has not asked for the second.

mod abi;
pub mod channels;
pub mod fifo;
pub mod fixed;
pub mod two_level;

use xen_abi::errno::Errno;
use xen_abi::virq::{self, NR_VIRQS};

use crate::domain::DomainId;
use crate::limits::{MAX_PORTS, MAX_VCPUS_PER_DOMAIN};

/// The number of a port, below [`MAX_PORTS`]; 0 is never given out.
pub type Port = u16;

/// What a port is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Nothing; it can be given out.
    Free,
    /// It waits for this domain to connect.
    Unbound {
        /// Who may connect.
        remote: DomainId,
    },
    /// The other end of the channel.
    Interdomain {
        /// Whose.
        remote: DomainId,
        /// Its number there.
        port: Port,
        /// Which vCPU the other end notifies.
        remote_vcpu: u8,
    },
    /// A virtual interrupt, `VIRQ_*`.
    Virq(u8),
    /// Other vCPUs of the same domain.
    Ipi,
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is bound to.
    pub channel: Channel,
    /// Index of the vCPU that it notifies.
    pub vcpu: u8,
}

/// Says of a free port that it must not be given out yet.
pub type Busy<'b> = &'b dyn Fn(Port) -> bool;

const FREE: Entry = Entry { channel: Channel::Free, vcpu: 0 };

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// To which domain.
    pub domain: DomainId,
    /// To which of its ports.
    pub port: Port,
    /// Which of its vCPUs is notified.
    pub vcpu: u8,
}

/// All ports of one domain.
pub struct Table {
    entries: [Entry; MAX_PORTS],
    /// No port up to this one is free; port 0 never is.
    taken_to: Port,
    /// Port of each virtual interrupt by vCPU; 0 is none.
    virqs: [[Port; NR_VIRQS as usize]; MAX_VCPUS_PER_DOMAIN],
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// All ports free.
    pub const fn new() -> Self {
        Self { entries: [FREE; MAX_PORTS], taken_to: 0, virqs: [[0; NR_VIRQS as usize]; MAX_VCPUS_PER_DOMAIN] }
    }

    /// A port by the number that a guest gives.
    ///
    /// # Errors
    /// `EINVAL` for a number that no port has.
    #[inline]
    pub fn get(&self, port: u32) -> Result<Entry, Errno> {
        self.entries.get(port as usize).copied().filter(|_| port != 0).ok_or(Errno::EINVAL)
    }

    fn set(&mut self, port: Port, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(usize::from(port)) {
            *slot = entry;
        }
    }

    /// The lowest port that can be given out: free, and not `busy` with what came before.
    #[inline(never)]
    fn first_free(&mut self, busy: Busy<'_>) -> Result<Port, Errno> {
        let from = usize::from(self.taken_to).saturating_add(1);
        let rest = self.entries.get(from..).unwrap_or_default();
        let mut free =
            (from as Port..).zip(rest).filter(|(_, entry)| entry.channel == Channel::Free).map(|(port, _)| port);
        let first = free.next();
        self.taken_to = first.unwrap_or(MAX_PORTS as Port).saturating_sub(1);
        first.into_iter().chain(free).find(|port| !busy(*port)).ok_or(Errno::ENOSPC)
    }

    #[inline(never)]
    fn give(&mut self, busy: Busy<'_>, entry: Entry) -> Result<Port, Errno> {
        let port = self.first_free(busy)?;
        self.set(port, entry);
        Ok(port)
    }

    /// A new port to which `remote` may connect.
    ///
    /// # Errors
    /// `ENOSPC` when no port is left.
    pub fn alloc_unbound(&mut self, busy: Busy<'_>, remote: DomainId) -> Result<Port, Errno> {
        self.give(busy, Entry { channel: Channel::Unbound { remote }, vcpu: 0 })
    }

    /// A new port for interrupts to one of the domain's own vCPUs, which exists.
    ///
    /// # Errors
    /// `ENOSPC` when no port is left.
    pub fn bind_ipi(&mut self, busy: Busy<'_>, vcpu: u8) -> Result<Port, Errno> {
        self.give(busy, Entry { channel: Channel::Ipi, vcpu })
    }

    /// A new port for a virtual interrupt of a vCPU, which exists. Global ones belong to vCPU 0.
    ///
    /// # Errors
    /// `EINVAL` for an interrupt that there is not, or a global one of another vCPU; `EEXIST` when it has a port;
    /// `ENOSPC` when no port is left.
    pub fn bind_virq(&mut self, busy: Busy<'_>, virq: u32, vcpu: u8) -> Result<Port, Errno> {
        if virq >= NR_VIRQS || (vcpu != 0 && !virq::is_per_vcpu(virq)) {
            return Err(Errno::EINVAL);
        }
        if self.virq(virq, vcpu) != 0 {
            return Err(Errno::EEXIST);
        }
        let port = self.give(busy, Entry { channel: Channel::Virq(virq as u8), vcpu })?;
        self.set_virq(virq, vcpu, port);
        Ok(port)
    }

    /// The port of a virtual interrupt; 0 where it has none.
    pub fn virq(&self, virq: u32, vcpu: u8) -> Port {
        let of_vcpu = self.virqs.get(usize::from(vcpu));
        of_vcpu.and_then(|ports| ports.get(virq as usize)).copied().unwrap_or(0)
    }

    fn set_virq(&mut self, virq: u32, vcpu: u8, port: Port) {
        if let Some(slot) = self.virqs.get_mut(usize::from(vcpu)).and_then(|ports| ports.get_mut(virq as usize)) {
            *slot = port;
        }
    }

    /// Where an event goes that `me` sends on this port; `None` where it is lost because nobody has connected yet.
    ///
    /// # Errors
    /// `EINVAL` for a port on which nobody can send.
    pub fn target(&self, me: DomainId, port: u32) -> Result<Option<Target>, Errno> {
        let entry = self.entry(port)?;
        match entry.channel {
            Channel::Interdomain { remote, port, remote_vcpu } => {
                Ok(Some(Target { domain: remote, port, vcpu: remote_vcpu }))
            }
            Channel::Ipi => Ok(Some(Target { domain: me, port: port as Port, vcpu: entry.vcpu })),
            Channel::Unbound { .. } => Ok(None),
            Channel::Free | Channel::Virq(_) => Err(Errno::EINVAL),
        }
    }

    /// The same as [`Table::get`], by reference. Port 0 is there, and free for good.
    #[inline(always)]
    pub(crate) fn entry(&self, port: u32) -> Result<&Entry, Errno> {
        self.entries.get(port as usize).ok_or(Errno::EINVAL)
    }

    /// Lets a port notify another of the domain's vCPUs, which exists. Returns the other end, which must be told by
    /// [`Table::set_remote_vcpu`] before the lock is given up.
    ///
    /// # Errors
    /// `EINVAL` for a port that belongs to its vCPU, or is not in use.
    pub fn bind_vcpu(&mut self, port: u32, vcpu: u8) -> Result<Option<(DomainId, Port)>, Errno> {
        let entry = self.get(port)?;
        let peer = match entry.channel {
            Channel::Interdomain { remote, port, .. } => Some((remote, port)),
            Channel::Unbound { .. } => None,
            Channel::Virq(number) if !virq::is_per_vcpu(u32::from(number)) => None,
            Channel::Virq(_) | Channel::Ipi | Channel::Free => return Err(Errno::EINVAL),
        };
        self.set(port as Port, Entry { vcpu, ..entry });
        Ok(peer)
    }

    /// Notes which vCPU the other end of a connected port notifies.
    pub fn set_remote_vcpu(&mut self, port: Port, vcpu: u8) {
        if let Some(Entry { channel: Channel::Interdomain { remote_vcpu, .. }, .. }) =
            self.entries.get_mut(usize::from(port))
        {
            *remote_vcpu = vcpu;
        }
    }

    /// Frees a port. Returns the other end, which must be told by [`Table::disconnect`] before the lock is given up.
    ///
    /// # Errors
    /// `EINVAL` for a port that is not in use.
    pub fn close(&mut self, port: u32) -> Result<Option<(DomainId, Port)>, Errno> {
        let entry = self.get(port)?;
        let peer = match entry.channel {
            Channel::Free => return Err(Errno::EINVAL),
            Channel::Interdomain { remote, port, .. } => Some((remote, port)),
            Channel::Virq(number) => {
                // A global one is kept under vCPU 0 whichever vCPU it notifies now.
                let owner = if virq::is_per_vcpu(u32::from(number)) { entry.vcpu } else { 0 };
                self.set_virq(u32::from(number), owner, 0);
                None
            }
            Channel::Unbound { .. } | Channel::Ipi => None,
        };
        self.set(port as Port, FREE);
        self.taken_to = self.taken_to.min((port as Port).saturating_sub(1));
        Ok(peer)
    }

    /// Connects a port, whatever it was, with one of another domain's, whose vCPU 0 it notifies.
    fn fix(&mut self, port: Port, remote: DomainId, remote_port: Port) {
        let channel = Channel::Interdomain { remote, port: remote_port, remote_vcpu: 0 };
        self.set(port, Entry { channel, vcpu: 0 });
    }

    /// The other end, in domain `gone`, is closed: the port waits for a new connection from there.
    pub fn disconnect(&mut self, port: Port, gone: DomainId) {
        if let Some(entry) = self.entries.get_mut(usize::from(port)) {
            entry.channel = Channel::Unbound { remote: gone };
        }
    }

    /// The lowest port from `from` on that is in use.
    pub fn next_in_use(&self, from: Port) -> Option<Port> {
        let first = usize::from(from.max(1));
        let found = self.entries.get(first..)?.iter().position(|entry| entry.channel != Channel::Free)?;
        Some(first.saturating_add(found) as Port)
    }
}

/// Connects a new port of `me`, none that is `busy`, to an unbound port of `remote`; `remote_table` is `None` where that is `me` itself.
/// Returns the new port.
///
/// # Errors
/// `EINVAL` when the remote port does not wait for `me`; `ENOSPC` when no port is left.
pub fn connect(
    me: DomainId,
    table: &mut Table,
    busy: Busy<'_>,
    remote: DomainId,
    remote_table: Option<&mut Table>,
    remote_port: u32,
) -> Result<Port, Errno> {
    let theirs = remote_table.as_deref().unwrap_or(table).get(remote_port)?;
    if theirs.channel != (Channel::Unbound { remote: me }) {
        return Err(Errno::EINVAL);
    }
    let port = table.first_free(busy)?;
    let far = Channel::Interdomain { remote, port: remote_port as Port, remote_vcpu: theirs.vcpu };
    table.set(port, Entry { channel: far, vcpu: 0 });
    let near = Channel::Interdomain { remote: me, port, remote_vcpu: 0 };
    remote_table.unwrap_or(table).set(remote_port as Port, Entry { channel: near, ..theirs });
    Ok(port)
}
