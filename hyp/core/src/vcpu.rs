//! A virtual CPU as the hypervisor sees it.
//!
//! Each vCPU has one home CPU at a time. Only the home CPU changes its run state, touches its private part, and makes
//! another CPU its home (cpu/balance.rs); everybody else leaves a word in the home CPU's inbox. That makes wake-ups, stops,
//! starts and moves free of races without a lock. What others may look at is atomic.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use spin::mutex::TicketMutex;

use crate::alarm::Alarm;
use crate::arch::{Arch, CpuId};
use crate::domain::DomainId;
use crate::limits::MAX_VCPUS;
use crate::runstate::Runstate;
use crate::stats::ExitCounts;
use crate::time::Nanos;

/// The number of a vCPU in the whole machine, below [`MAX_VCPUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VcpuId(u8);

impl VcpuId {
    /// The vCPU with this number; `None` where there can be none.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < MAX_VCPUS { Some(Self(number)) } else { None }
    }

    /// Its number, counted from 0.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, to index tables with.
    pub const fn index(self) -> usize {
        // The remainder is the number itself, and lets the compiler see that no table ends before it.
        self.0 as usize % MAX_VCPUS
    }

    /// The set that holds only this vCPU.
    pub const fn bit(self) -> u32 {
        1u32.wrapping_shl(self.0 as u32)
    }
}

/// The vCPUs of a set, by rising number.
#[inline]
pub(crate) fn members(mut set: u32) -> impl Iterator<Item = VcpuId> {
    core::iter::from_fn(move || {
        let next = VcpuId::new(set.trailing_zeros() as u8)?;
        set &= set.wrapping_sub(1);
        Some(next)
    })
}

/// Whether and how a vCPU takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RunState {
    /// It is switched off.
    Offline,
    /// Somebody switches it on; its home CPU has not seen that yet.
    Starting,
    /// It waits for its CPU.
    Runnable,
    /// It runs.
    Running,
    /// It waits for an event.
    Blocked,
    /// Somebody is about to switch it on and writes down where it starts; to everybody else it is off.
    Claimed,
}

impl RunState {
    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Starting,
            2 => Self::Runnable,
            3 => Self::Running,
            4 => Self::Blocked,
            5 => Self::Claimed,
            _ => Self::Offline,
        }
    }
}

/// What only the home CPU touches, while it runs the vCPU or puts it away.
pub struct Private<A: Arch> {
    /// The port's part: registers and the like.
    pub arch: A::Vcpu,
    /// Its exits so far.
    pub counts: ExitCounts,
    /// How long it has run, up to when it was last put away.
    pub cpu_time: Nanos,
    /// The level of its event interrupt, as the port was told last.
    pub line: bool,
    /// How far a hypercall that goes on in pieces has come: its arguments and the bytes done.
    pub progress: Option<([u64; 3], u64)>,
}

/// What a vCPU that polls event channels waits for: nothing.
pub const NOT_POLLING: u32 = 0;
/// What a vCPU that polls event channels waits for: any of several ports.
pub const POLLING_ANY: u32 = u32::MAX;

/// Where a vCPU is pinned that is not: on no CPU.
pub(crate) const ANYWHERE: CpuId = CpuId::MAX;

/// One virtual CPU.
pub struct Vcpu<A: Arch> {
    id: VcpuId,
    index: u8,
    domain: DomainId,
    home: AtomicU8,
    state: AtomicU8,
    /// When it was given to its home CPU, unless it was there from the start.
    pub(crate) moved: AtomicU64,
    /// The CPU on which it runs whatever its domain's affinity says, or [`ANYWHERE`].
    pub(crate) pin: AtomicU8,
    /// What a run queue gave it to take along: see [`crate::sched::Class::remove`].
    pub(crate) credit: AtomicI64,
    /// What it gets of its CPU is another than its home CPU knows.
    pub(crate) changed: AtomicBool,
    /// It starts: its registers are to be set before it runs.
    pub(crate) fresh: AtomicBool,
    /// Where it starts, guest-physical, and with what argument; valid while it is [`RunState::Starting`].
    pub(crate) entry: AtomicU64,
    pub(crate) argument: AtomicU64,
    /// Where its `vcpu_info` is: guest frame << 12 | offset, or [`crate::event::two_level::NOT_REGISTERED`].
    pub(crate) info: AtomicU64,
    /// The port that it polls, [`NOT_POLLING`] or [`POLLING_ANY`].
    pub(crate) polling: AtomicU32,
    /// Its event interrupt was raised anew: the guest may have lowered it, by writing its `vcpu_info`, since the port was
    /// told.
    pub(crate) raised: AtomicBool,
    pub(crate) runstate: Runstate,
    pub(crate) alarm: Alarm,
    pub(crate) private: TicketMutex<Private<A>, A::Relax>,
}

impl<A: Arch> Vcpu<A> {
    pub(crate) fn new(id: VcpuId, index: u8, domain: DomainId, home: CpuId, arch: A::Vcpu) -> Self {
        let private = Private { arch, counts: ExitCounts::new(), cpu_time: 0, line: false, progress: None };
        Self {
            id,
            index,
            domain,
            home: AtomicU8::new(home),
            moved: AtomicU64::new(0),
            pin: AtomicU8::new(ANYWHERE),
            credit: AtomicI64::new(i64::MAX),
            changed: AtomicBool::new(false),
            fresh: AtomicBool::new(false),
            state: AtomicU8::new(RunState::Offline as u8),
            entry: AtomicU64::new(0),
            argument: AtomicU64::new(0),
            info: AtomicU64::new(crate::event::two_level::NOT_REGISTERED),
            polling: AtomicU32::new(NOT_POLLING),
            raised: AtomicBool::new(false),
            runstate: Runstate::new(),
            alarm: Alarm::new(),
            private: TicketMutex::new(private),
        }
    }

    /// Its number in the machine.
    pub fn id(&self) -> VcpuId {
        self.id
    }

    /// Its number in its domain.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Whose it is.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// The physical CPU that it runs on. It may be another one at the next moment, unless that is the CPU that asks.
    #[inline(always)]
    pub fn home(&self) -> CpuId {
        self.home.load(Ordering::Relaxed)
    }

    /// Is this CPU its home? What its last home did to it can be seen then.
    pub(crate) fn is_home(&self, cpu: CpuId) -> bool {
        self.home.load(Ordering::Acquire) == cpu
    }

    /// Its home CPU gives it to another one, and touches it no more.
    pub(crate) fn move_to(&self, cpu: CpuId) {
        self.home.store(cpu, Ordering::Release);
    }

    /// Its run state at this moment.
    pub fn state(&self) -> RunState {
        RunState::from_number(self.state.load(Ordering::Acquire))
    }

    /// Was its event interrupt raised anew since this was asked last?
    #[inline(always)]
    pub(crate) fn take_raised(&self) -> bool {
        // Acquire: what was written before the flag was raised is seen in the level.
        self.raised.load(Ordering::Relaxed) && self.raised.swap(false, Ordering::Acquire)
    }

    /// Only its home CPU calls this, and whoever has claimed it by [`Self::begin_start`].
    pub(crate) fn set_state(&self, state: RunState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Claims an offline vCPU for a start. Of several who try, one succeeds.
    pub(crate) fn begin_start(&self) -> bool {
        let (off, claimed) = (RunState::Offline as u8, RunState::Claimed as u8);
        self.state.compare_exchange(off, claimed, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
