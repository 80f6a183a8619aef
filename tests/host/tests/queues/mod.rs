//! The FIFO ABI as simply as it can be written: lists of ports, sets of flags, no words and no links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xen_abi::errno::Errno;

/// Lowest number that no port has.
const PORTS: u32 = 1024;
/// vCPUs of the domain.
pub(crate) const VCPUS: usize = 2;
/// Priority of a port for which none was set.
const USUAL: u32 = 7;

/// What the domain, its peer, or the hypervisor does.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of the ABI's structures")]
pub(crate) enum Op {
    InitControl { vcpu: u32, offset: u32 },
    Expand,
    SetPriority { port: u32, priority: u32 },
    BindIpi { vcpu: u32 },
    BindVirq { vcpu: u32 },
    BindVcpu { port: u32, vcpu: u32 },
    Send { port: u32 },
    PeerSends { channel: usize },
    Raise { vcpu: u8 },
    Unmask { port: u32 },
    Close { port: u32 },
    Reset,
    GuestMasks { port: u32 },
    GuestUnmasks { port: u32 },
    GuestConsumes { vcpu: usize },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ipi,
    Timer,
    Peer,
}

/// One domain.
#[derive(Default)]
pub(crate) struct Model {
    ports: BTreeMap<u32, (Kind, u32)>,
    /// The far ends of the peer's channels.
    channels: Vec<Option<u32>>,
    on: bool,
    controls: [bool; VCPUS],
    has_page: bool,
    /// Pending by the 2-level rules, and pending while there is no page.
    pub(crate) bits: BTreeSet<u32>,
    early: BTreeSet<u32>,
    /// The flags of the words.
    pub(crate) pending: BTreeSet<u32>,
    pub(crate) masked: BTreeSet<u32>,
    pub(crate) linked: BTreeSet<u32>,
    priorities: BTreeMap<u32, u32>,
    queues: BTreeMap<(usize, u32), VecDeque<u32>>,
    pub(crate) ready: [BTreeSet<u32>; VCPUS],
    taken: [BTreeSet<u32>; VCPUS],
    pub(crate) upcalls: [bool; VCPUS],
    /// By the 2-level rules: a vCPU has been told that something may be pending, and has not looked.
    selected: [bool; VCPUS],
}

impl Model {
    /// The peer has this many channels to the domain's first ports.
    pub(crate) fn new(channels: u32) -> Self {
        Self {
            ports: (1..=channels).map(|port| (port, (Kind::Peer, 0))).collect(),
            channels: (1..=channels).map(Some).collect(),
            // A record that was just registered says that everything may be pending.
            selected: [true; VCPUS],
            ..Self::default()
        }
    }

    /// Are there words?
    pub(crate) fn has_page(&self) -> bool {
        self.has_page
    }

    fn port(&self, port: u32) -> Result<Option<(Kind, u32)>, Errno> {
        if (1..PORTS).contains(&port) { Ok(self.ports.get(&port).copied()) } else { Err(Errno::EINVAL) }
    }

    fn open(&mut self, kind: Kind, vcpu: u32) -> Result<u32, Errno> {
        if vcpu as usize >= VCPUS {
            return Err(Errno::ENOENT);
        }
        let free = |port: &u32| !self.ports.contains_key(port) && !self.linked.contains(port);
        let port = (1..PORTS).find(free).ok_or(Errno::ENOSPC)?;
        self.ports.insert(port, (kind, vcpu));
        Ok(port)
    }

    fn raise(&mut self, port: u32) {
        if !self.on {
            let vcpu = self.ports[&port].1 as usize;
            if self.bits.insert(port) && !std::mem::replace(&mut self.selected[vcpu], true) {
                self.upcalls[vcpu] = true;
            }
        } else if !self.has_page {
            self.early.insert(port);
        } else {
            self.pending.insert(port);
            let vcpu = self.ports[&port].1 as usize;
            if !self.masked.contains(&port) && self.controls[vcpu] && self.linked.insert(port) {
                let priority = *self.priorities.get(&port).unwrap_or(&USUAL);
                let queue = self.queues.entry((vcpu, priority)).or_default();
                queue.push_back(port);
                if queue.len() == 1 && self.ready[vcpu].insert(priority) {
                    self.upcalls[vcpu] = true;
                }
            }
        }
    }

    fn close(&mut self, port: u32) {
        self.ports.remove(&port);
        self.channels.iter_mut().filter(|end| **end == Some(port)).for_each(|end| *end = None);
        self.bits.remove(&port);
        self.early.remove(&port);
        self.pending.remove(&port);
        self.priorities.remove(&port);
    }

    fn init_control(&mut self, vcpu: u32, offset: u32) -> Result<u32, Errno> {
        if vcpu as usize >= VCPUS {
            return Err(Errno::ENOENT);
        }
        if !offset.is_multiple_of(8) || offset + 72 > 4096 || self.controls[vcpu as usize] {
            return Err(Errno::EINVAL);
        }
        self.controls[vcpu as usize] = true;
        if !std::mem::replace(&mut self.on, true) {
            self.early = std::mem::take(&mut self.bits);
        }
        Ok(17)
    }

    fn expand(&mut self) -> Result<u32, Errno> {
        if !self.on || self.has_page {
            return Err(if self.on { Errno::ENOSPC } else { Errno::EOPNOTSUPP });
        }
        self.has_page = true;
        std::mem::take(&mut self.early).into_iter().for_each(|port| self.raise(port));
        Ok(0)
    }

    /// The guest takes what is ready and consumes one event of the highest priority: its port, 0 for none.
    fn consume(&mut self, vcpu: usize) -> u32 {
        self.upcalls[vcpu] = false;
        let ready = std::mem::take(&mut self.ready[vcpu]);
        self.taken[vcpu].extend(ready);
        let Some(priority) = self.taken[vcpu].first().copied() else { return 0 };
        let queue = self.queues.get_mut(&(vcpu, priority)).unwrap();
        let port = queue.pop_front().unwrap();
        self.linked.remove(&port);
        if queue.is_empty() {
            self.taken[vcpu].remove(&priority);
        }
        if !self.masked.contains(&port) {
            self.pending.remove(&port);
        }
        port
    }

    fn send(&mut self, port: u32) -> Result<u32, Errno> {
        match self.port(port)?.ok_or(Errno::EINVAL)?.0 {
            Kind::Ipi => self.raise(port),
            Kind::Peer => {}
            Kind::Timer => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// Does it; returns the port or the number that is the answer, 0 where there is none.
    pub(crate) fn perform(&mut self, op: Op) -> Result<u32, Errno> {
        match op {
            Op::InitControl { vcpu, offset } => return self.init_control(vcpu, offset),
            Op::Expand => return self.expand(),
            Op::SetPriority { port, priority } => {
                self.port(port)?;
                if !self.on || priority > 15 {
                    return Err(if self.on { Errno::EINVAL } else { Errno::ENOSYS });
                }
                self.priorities.insert(port, priority);
            }
            Op::BindIpi { vcpu } => return self.open(Kind::Ipi, vcpu),
            Op::BindVirq { vcpu } if vcpu as usize >= VCPUS => return Err(Errno::ENOENT),
            Op::BindVirq { vcpu } if self.ports.values().any(|port| *port == (Kind::Timer, vcpu)) => {
                return Err(Errno::EEXIST);
            }
            Op::BindVirq { vcpu } => return self.open(Kind::Timer, vcpu),
            Op::BindVcpu { vcpu, .. } if vcpu as usize >= VCPUS => return Err(Errno::ENOENT),
            Op::BindVcpu { port, vcpu } => match self.port(port)? {
                Some((Kind::Peer, _)) => drop(self.ports.insert(port, (Kind::Peer, vcpu))),
                _ => return Err(Errno::EINVAL),
            },
            Op::Send { port } => return self.send(port),
            Op::PeerSends { channel } => self.channels[channel].into_iter().for_each(|port| self.raise(port)),
            Op::Raise { vcpu } => {
                let mut ports = self.ports.iter();
                let port = ports.find(|(_, port)| **port == (Kind::Timer, vcpu.into())).map(|(port, _)| *port);
                port.into_iter().for_each(|port| self.raise(port));
            }
            Op::Unmask { port } => {
                if self.port(port)?.is_some() && self.has_page {
                    self.masked.remove(&port);
                    if self.pending.contains(&port) {
                        self.raise(port);
                    }
                }
            }
            Op::Close { port } => {
                self.port(port)?.ok_or(Errno::EINVAL)?;
                self.close(port);
            }
            Op::Reset => {
                let channels = vec![None; self.channels.len()];
                // Only who comes back from queues starts with nothing selected.
                let selected = if self.on { [false; VCPUS] } else { self.selected };
                *self = Self { channels, upcalls: self.upcalls, selected, ..Self::default() };
            }
            Op::GuestMasks { port } => drop(self.has_page && self.masked.insert(port)),
            Op::GuestUnmasks { port } => drop(self.has_page && self.masked.remove(&port)),
            Op::GuestConsumes { vcpu } => return Ok(self.consume(vcpu)),
        }
        Ok(0)
    }
}
