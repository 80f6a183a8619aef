//! A domain: a guest with its vCPUs, its rights and its life.
//!
//! What is fixed for a domain's life is plain data; what several CPUs change is atomic or behind the domain's lock. Its
//! event channels are kept beside it in the hypervisor, because their table is large and moving it would need stack.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use heapless::String;
use xen_abi::hvm::HVM_NR_PARAMS;

use crate::arch::Arch;
use crate::lifecycle::State;
pub use crate::lifecycle::{EndAction, EndActions};
use crate::limits::{MAX_DOMAINS, MAX_NAME, WATCHDOGS};
use crate::policy::Rights;
use crate::runstate::Marks;
use crate::sched::{Promise, Reservation, Share};
use crate::sync::{Lock, rank};
use crate::time::Nanos;
use crate::vcpu::VcpuId;

/// The number of a domain, counted from 1 in the order in which they were added; what the ABI calls a domid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainId(u16);

impl DomainId {
    /// The domain with this place in the tables, counted from 0.
    pub const fn from_index(index: usize) -> Self {
        Self((index as u16).wrapping_add(1))
    }

    /// The domain that a guest means by this number; `None` where there can be none.
    pub const fn from_number(number: u16) -> Option<Self> {
        if number >= 1 && number as usize <= MAX_DOMAINS { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its place in the tables, counted from 0.
    pub const fn index(self) -> usize {
        // The remainder is the number itself: see [`VcpuId::index`].
        self.0.wrapping_sub(1) as usize % MAX_DOMAINS
    }
}

/// What a domain is to be. [`DomainConfig::new`] has the defaults.
#[derive(Clone, Copy, Debug)]
pub struct DomainConfig<'a> {
    /// Its name, in reports and before its console's lines; at most [`MAX_NAME`] bytes.
    pub name: &'a str,
    /// How many vCPUs, at least 1.
    pub vcpus: u8,
    /// On which physical CPUs they may run: bit n is CPU n. Each vCPU is on one of them at a time.
    pub affinity: u32,
    /// What each of its vCPUs gets of its CPU.
    pub share: Share,
    /// What happens when it ends.
    pub actions: EndActions,
    /// Which hypercalls it may make.
    pub rights: Rights,
    /// Which domains it may share event channels with: bit n is the domain with index n.
    pub peers: u32,
}

impl<'a> DomainConfig<'a> {
    /// One vCPU on any CPU with the usual weight, all rights over itself and no peers.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            vcpus: 1,
            affinity: u32::MAX,
            share: Share::of_weight(256),
            actions: EndActions::DEFAULT,
            rights: Rights::GUEST,
            peers: 0,
        }
    }
}

/// The `hvm_op` parameters.
pub(crate) type Params = [AtomicU64; HVM_NR_PARAMS as usize];

/// One guest.
pub struct Domain<A: Arch> {
    id: DomainId,
    name: String<MAX_NAME>,
    /// Global number of its vCPU 0; the others follow.
    pub(crate) first_vcpu: u8,
    pub(crate) vcpus: u8,
    /// What it was promised when it was added; what is promised to each vCPU now, the placement knows.
    pub(crate) promise: Promise,
    /// Its [`Share::weight`].
    pub(crate) weight: AtomicU16,
    pub(crate) actions: EndActions,
    pub(crate) rights: Rights,
    pub(crate) peers: u32,
    pub(crate) state: Lock<State, A::Relax, { rank::DOMAIN }>,
    /// Its vCPUs are to be stopped, wherever they are.
    pub(crate) stopping: AtomicBool,
    /// Its vCPUs are to be kept from running.
    pub(crate) paused: AtomicBool,
    /// How many of its vCPUs are not offline.
    pub(crate) live: AtomicU8,
    /// Which of its vCPUs poll event channels.
    pub(crate) pollers: AtomicU32,
    /// When its watchdogs run out; 0 for one that is not set up.
    pub(crate) watchdogs: [AtomicU64; WATCHDOGS],
    /// The reason that it has noted for its end, plus 1.
    pub(crate) end_code: AtomicU8,
    /// Its events go by the FIFO ABI.
    pub(crate) fifo: AtomicBool,
    pub(crate) params: Params,
    /// Its run-state records are marked while they change.
    pub(crate) marks_runstate: Marks,
    /// An unknown hypercall of its was reported already.
    pub(crate) unknown_reported: AtomicBool,
    /// An access of its to memory that it does not have was reported already, in this life.
    pub(crate) abort_reported: AtomicBool,
    arch: A::Domain,
}

impl<A: Arch> Domain<A> {
    pub(crate) fn new(
        id: DomainId,
        config: &DomainConfig<'_>,
        name: String<MAX_NAME>,
        first: u8,
        arch: A::Domain,
    ) -> Self {
        Self {
            id,
            name,
            first_vcpu: first,
            vcpus: config.vcpus,
            promise: config.share.promise,
            weight: AtomicU16::new(config.share.weight),
            actions: config.actions,
            rights: config.rights,
            peers: config.peers,
            state: Lock::new(State::Created),
            stopping: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            live: AtomicU8::new(0),
            pollers: AtomicU32::new(0),
            watchdogs: [const { AtomicU64::new(0) }; WATCHDOGS],
            end_code: AtomicU8::new(0),
            fifo: AtomicBool::new(false),
            params: [const { AtomicU64::new(0) }; HVM_NR_PARAMS as usize],
            marks_runstate: Marks::new(false),
            unknown_reported: AtomicBool::new(false),
            abort_reported: AtomicBool::new(false),
            arch,
        }
    }

    /// Its number.
    pub fn id(&self) -> DomainId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port's part.
    pub fn arch(&self) -> &A::Domain {
        &self.arch
    }

    /// What one of its vCPUs gets, which has this reservation now.
    pub(crate) fn share(&self, reservation: Option<Reservation>) -> Share {
        let promise = reservation.map_or(self.promise, Promise::Reserve);
        Share { weight: self.weight.load(Ordering::Relaxed), promise }
    }

    /// How many vCPUs it has.
    pub fn vcpus(&self) -> u8 {
        self.vcpus
    }

    /// The global number of its vCPU `index`; `None` when it has no such vCPU.
    #[inline]
    pub fn vcpu(&self, index: u32) -> Option<VcpuId> {
        if index < u32::from(self.vcpus) { VcpuId::new(self.first_vcpu.wrapping_add(index as u8)) } else { None }
    }

    /// The global numbers of all its vCPUs.
    pub fn vcpu_ids(&self) -> impl Iterator<Item = VcpuId> + use<A> {
        let first = self.first_vcpu;
        (first..first.saturating_add(self.vcpus)).filter_map(VcpuId::new)
    }

    /// When the first of its watchdogs runs out.
    pub(crate) fn watchdog(&self) -> Option<Nanos> {
        self.watchdogs.iter().map(|at| at.load(Ordering::Relaxed)).filter(|at| *at != 0).min()
    }

    /// Its vCPUs are to be stopped or kept from running.
    pub(crate) fn wants_look(&self) -> bool {
        self.is_stopping() || self.paused.load(Ordering::Acquire)
    }

    /// It is being stopped or is stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
