//! Event channels as simply as they can be written: sets and maps, no bits, no locks.

use std::collections::{BTreeMap, BTreeSet};

use xen_abi::errno::Errno;

/// How many domains there are.
pub(crate) const DOMAINS: usize = 3;
/// Lowest number that no port has.
const PORTS: u32 = 1024;
/// vCPUs of each domain.
const VCPUS: u32 = 2;

/// What a guest, or for `Raise` the hypervisor, does.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of the ABI's structures")]
pub(crate) enum Op {
    AllocUnbound { dom: u16, remote: u16 },
    BindInterdomain { remote: u16, port: u32 },
    BindVirq { virq: u32, vcpu: u32 },
    BindIpi { vcpu: u32 },
    BindVcpu { port: u32, vcpu: u32 },
    Send { port: u32 },
    Unmask { port: u32 },
    Close { port: u32 },
    Status { dom: u16, port: u32 },
    Reset { dom: u16 },
    Register { vcpu: u32, frame: u64, offset: u32 },
    Raise { vcpu: u8, virq: u32 },
    GuestMasks { port: u32 },
    GuestClears { port: u32 },
    GuestTakes { vcpu: usize },
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the ABI's structures")]
pub(crate) enum Answer {
    None,
    Port(u32),
    Status { status: u32, vcpu: u32, detail: [u32; 2] },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unbound { remote: usize },
    Connected { remote: usize, port: u32 },
    Virq { virq: u32, owner: u32 },
    Ipi,
}

#[derive(Clone, Copy)]
struct Port {
    kind: Kind,
    vcpu: u32,
}

#[derive(Default, Clone, Copy)]
struct Info {
    /// Guest frame and offset, once registered.
    place: Option<(usize, u32)>,
    upcall: bool,
    selector: u64,
}

#[derive(Default)]
struct Domain {
    ports: BTreeMap<u32, Port>,
    pending: BTreeSet<u32>,
    masked: BTreeSet<u32>,
    infos: [Info; VCPUS as usize],
}

/// The three domains.
pub(crate) struct Model {
    domains: [Domain; DOMAINS],
    friends: Vec<(usize, usize)>,
}

fn per_vcpu(virq: u32) -> bool {
    // Timer, debug, the profilers.
    [0, 1, 7, 13].contains(&virq)
}

impl Model {
    /// Nothing is open. `friends` may join channels.
    pub(crate) fn new(friends: &[(usize, usize)]) -> Self {
        Self { domains: Default::default(), friends: friends.to_vec() }
    }

    /// The pending ports.
    pub(crate) fn pending(&self, who: usize) -> Vec<u32> {
        self.domains[who].pending.iter().copied().collect()
    }

    /// The masked ports.
    pub(crate) fn masked(&self, who: usize) -> Vec<u32> {
        self.domains[who].masked.iter().copied().collect()
    }

    /// Upcall and selector of a vCPU.
    pub(crate) fn upcall(&self, who: usize, vcpu: usize) -> (bool, u64) {
        let info = self.domains[who].infos[vcpu];
        (info.upcall, info.selector)
    }

    /// Where a vCPU has its record: guest frame, or the shared page, and index of the word.
    pub(crate) fn info_place(&self, who: usize, vcpu: usize) -> Option<(Option<usize>, usize)> {
        match self.domains[who].infos[vcpu].place {
            Some((frame, offset)) => Some((Some(frame), offset as usize / 8)),
            None => (vcpu == 0).then_some((None, 0)),
        }
    }

    fn lookup(&self, who: usize, number: u16) -> Result<usize, Errno> {
        match number {
            0x7ff0 => Ok(who),
            1..=3 => Ok(usize::from(number) - 1),
            _ => Err(Errno::ESRCH),
        }
    }

    fn only_self(&self, who: usize, number: u16) -> Result<(), Errno> {
        if self.lookup(who, number)? == who { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn peer(&self, who: usize, number: u16) -> Result<usize, Errno> {
        let other = self.lookup(who, number)?;
        let (low, high) = (who.min(other), who.max(other));
        if low == high || self.friends.contains(&(low, high)) { Ok(other) } else { Err(Errno::EPERM) }
    }

    fn open(&mut self, who: usize, kind: Kind, vcpu: u32) -> Result<Answer, Errno> {
        let ports = &mut self.domains[who].ports;
        let port = (1..PORTS).find(|port| !ports.contains_key(port)).ok_or(Errno::ENOSPC)?;
        ports.insert(port, Port { kind, vcpu });
        Ok(Answer::Port(port))
    }

    fn port(&self, who: usize, port: u32) -> Result<Option<Port>, Errno> {
        if (1..PORTS).contains(&port) { Ok(self.domains[who].ports.get(&port).copied()) } else { Err(Errno::EINVAL) }
    }

    fn notify(&mut self, who: usize, vcpu: u32, port: u32) {
        let has_info = self.info_place(who, vcpu as usize).is_some();
        let info = &mut self.domains[who].infos[vcpu as usize];
        if has_info && info.selector >> (port / 64) & 1 == 0 {
            info.selector |= 1 << (port / 64);
            info.upcall = true;
        }
    }

    fn raise(&mut self, who: usize, port: u32) {
        let vcpu = self.domains[who].ports[&port].vcpu;
        if self.domains[who].pending.insert(port) && !self.domains[who].masked.contains(&port) {
            self.notify(who, vcpu, port);
        }
    }

    fn close(&mut self, who: usize, port: u32) {
        let gone = self.domains[who].ports.remove(&port).unwrap();
        self.domains[who].pending.remove(&port);
        if let Kind::Connected { remote, port } = gone.kind
            && let Some(other) = self.domains[remote].ports.get_mut(&port)
        {
            other.kind = Kind::Unbound { remote: who };
        }
    }

    fn connect(&mut self, who: usize, remote: usize, remote_port: u32) -> Result<Answer, Errno> {
        let theirs = self.port(remote, remote_port)?.ok_or(Errno::EINVAL)?;
        if theirs.kind != (Kind::Unbound { remote: who }) {
            return Err(Errno::EINVAL);
        }
        let answer = self.open(who, Kind::Connected { remote, port: remote_port }, 0)?;
        if let Answer::Port(port) = answer {
            self.domains[remote].ports.get_mut(&remote_port).unwrap().kind = Kind::Connected { remote: who, port };
            self.raise(who, port);
        }
        Ok(answer)
    }

    fn status(&self, who: usize, port: u32) -> Result<Answer, Errno> {
        let Some(Port { kind, vcpu }) = self.port(who, port)? else {
            return Ok(Answer::Status { status: 0, vcpu: 0, detail: [0, 0] });
        };
        let (status, detail) = match kind {
            Kind::Unbound { remote } => (1, [remote as u32 + 1, 0]),
            Kind::Connected { remote, port } => (2, [remote as u32 + 1, port]),
            Kind::Virq { virq, .. } => (4, [virq, 0]),
            Kind::Ipi => (5, [0, 0]),
        };
        Ok(Answer::Status { status, vcpu, detail })
    }

    fn bind_vcpu(&mut self, who: usize, port: u32, vcpu: u32) -> Result<Answer, Errno> {
        if vcpu >= VCPUS {
            return Err(Errno::ENOENT);
        }
        let found = self.port(who, port)?.ok_or(Errno::EINVAL)?;
        let bound = matches!(found.kind, Kind::Ipi) || matches!(found.kind, Kind::Virq { virq, .. } if per_vcpu(virq));
        if bound {
            return Err(Errno::EINVAL);
        }
        self.domains[who].ports.get_mut(&port).unwrap().vcpu = vcpu;
        Ok(Answer::None)
    }

    fn virq_port(&self, who: usize, virq: u32, owner: u32) -> Option<u32> {
        let mut ports = self.domains[who].ports.iter();
        ports.find(|(_, port)| port.kind == Kind::Virq { virq, owner }).map(|(number, _)| *number)
    }

    fn bind_virq(&mut self, who: usize, virq: u32, vcpu: u32) -> Result<Answer, Errno> {
        if virq >= 24 || (vcpu != 0 && !per_vcpu(virq)) {
            return Err(Errno::EINVAL);
        }
        if vcpu >= VCPUS {
            return Err(Errno::ENOENT);
        }
        if self.virq_port(who, virq, vcpu).is_some() {
            return Err(Errno::EEXIST);
        }
        self.open(who, Kind::Virq { virq, owner: vcpu }, vcpu)
    }

    fn send(&mut self, who: usize, port: u32) -> Result<Answer, Errno> {
        match self.port(who, port)?.ok_or(Errno::EINVAL)?.kind {
            Kind::Connected { remote, port } => self.raise(remote, port),
            Kind::Ipi => self.raise(who, port),
            Kind::Unbound { .. } => {}
            Kind::Virq { .. } => return Err(Errno::EINVAL),
        }
        Ok(Answer::None)
    }

    fn register(&mut self, who: usize, vcpu: u32, frame: u64, offset: u32) -> Result<Answer, Errno> {
        if vcpu >= VCPUS {
            return Err(Errno::ENOENT);
        }
        let info = &mut self.domains[who].infos[vcpu as usize];
        // The record has 48 bytes, and the guests have two pages.
        if frame >= 2 || offset + 48 > 4096 || info.place.is_some() {
            return Err(Errno::EINVAL);
        }
        *info = Info { place: Some((frame as usize, offset)), upcall: true, selector: u64::MAX };
        Ok(Answer::None)
    }

    /// Does it.
    pub(crate) fn perform(&mut self, who: usize, op: Op) -> Result<Answer, Errno> {
        match op {
            Op::AllocUnbound { dom, remote } => {
                self.only_self(who, dom)?;
                let remote = self.peer(who, remote)?;
                self.open(who, Kind::Unbound { remote }, 0)
            }
            Op::BindInterdomain { remote, port } => {
                let remote = self.peer(who, remote)?;
                self.connect(who, remote, port)
            }
            Op::BindVirq { virq, vcpu } => self.bind_virq(who, virq, vcpu),
            Op::BindIpi { vcpu } if vcpu >= VCPUS => Err(Errno::ENOENT),
            Op::BindIpi { vcpu } => self.open(who, Kind::Ipi, vcpu),
            Op::BindVcpu { port, vcpu } => self.bind_vcpu(who, port, vcpu),
            Op::Send { port } => self.send(who, port),
            Op::Status { dom, port } => {
                self.only_self(who, dom)?;
                self.status(who, port)
            }
            Op::Close { port } => {
                self.port(who, port)?.ok_or(Errno::EINVAL)?;
                self.close(who, port);
                Ok(Answer::None)
            }
            Op::Reset { dom } => {
                self.only_self(who, dom)?;
                while let Some((port, _)) = self.domains[who].ports.first_key_value() {
                    self.close(who, *port);
                }
                Ok(Answer::None)
            }
            Op::Unmask { port } => {
                let open = self.port(who, port)?;
                if let Some(Port { vcpu, .. }) = open
                    && self.domains[who].masked.remove(&port)
                    && self.domains[who].pending.contains(&port)
                {
                    self.notify(who, vcpu, port);
                }
                Ok(Answer::None)
            }
            Op::Register { vcpu, frame, offset } => self.register(who, vcpu, frame, offset),
            Op::Raise { .. } | Op::GuestMasks { .. } | Op::GuestClears { .. } | Op::GuestTakes { .. } => {
                self.happen(who, op);
                Ok(Answer::None)
            }
        }
    }

    /// What needs no hypercall.
    fn happen(&mut self, who: usize, op: Op) {
        match op {
            Op::Raise { vcpu, virq } => {
                if let Some(port) = self.virq_port(who, virq, vcpu.into()) {
                    self.raise(who, port);
                }
            }
            Op::GuestMasks { port } => {
                self.domains[who].masked.insert(port);
            }
            Op::GuestClears { port } => {
                self.domains[who].pending.remove(&port);
            }
            Op::GuestTakes { vcpu } => {
                let info = &mut self.domains[who].infos[vcpu];
                *info = Info { place: info.place, ..Info::default() };
            }
            _ => {}
        }
    }
}
