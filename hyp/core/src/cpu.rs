//! A physical CPU: what it runs, what it waits for, and the loop that never ends.
//!
//! Everything here belongs to one CPU and is reached by exclusive reference, so there is nothing to lock. Others leave
//! word in the CPU's inbox and kick it. The loop is cut into steps, one guest exit each, so that tests can let several
//! CPUs take turns in one thread.

pub(crate) mod alarms;
mod balance;
pub mod exits;
pub mod lives;
pub mod switch;
mod terms;
pub mod timers;

use core::sync::atomic::{Ordering, fence};

use spin::mutex::TicketMutexGuard;

use crate::arch::{Arch, CpuId, Exit, Interrupt};
use crate::cpu::alarms::Alarms;
use crate::cpu::exits::Turn;
use crate::cpu::lives::Job;
use crate::cpu::timers::Timers;
use crate::domain::Domain;
use crate::event::two_level::Info;
use crate::hypervisor::Hypervisor;
use crate::limits::MAX_DOMAINS;
use crate::sched::{RunQueue, Scheduler};
use crate::sync::Held;
use crate::time::{NEVER, Nanos};
use crate::vcpu::{Private, RunState, Vcpu};

/// What is known of the event line of the vCPU that a CPU runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It is as the guest's memory says.
    Still,
    /// It may have to be moved.
    Moves,
    /// The same, and it is raised anew where it is up already: this CPU's own word for [`Vcpu::raised`].
    Raised,
}

impl Line {
    /// It may have to be moved.
    #[inline(always)]
    fn moves(&mut self) {
        if *self == Self::Still {
            *self = Self::Moves;
        }
    }

    /// What is known is written down at the vCPU, and this CPU need not know it any more.
    #[inline(always)]
    fn hand_on<A: Arch>(&mut self, vcpu: &Vcpu<A>) {
        if core::mem::replace(self, Self::Still) == Self::Raised {
            vcpu.raised.store(true, Ordering::Relaxed);
        }
    }
}

/// What a CPU has besides the vCPU that it runs. In the order in which it is written, first what every switch looks at: a
/// processor reaches what is near by one instruction.
#[repr(C)]
pub struct Local {
    id: CpuId,
    /// Look around before the guest goes on.
    resched: bool,
    line: Line,
    /// There is work on domains that are ending.
    busy: bool,
    /// What the timer is set to; [`NEVER`] while it is off.
    armed: Nanos,
    /// The end of a slice that it was set to last.
    slice_alarm: Nanos,
    /// When the next step of that work is due, while there is any.
    job_due: Nanos,
    /// It is the turn of such a step, as this CPU has done nothing else since its interrupts were let through.
    job_turn: bool,
    /// The vCPUs that the run queue knows: all whose home this CPU is, unless they are off or kept from running.
    queued: u32,
    /// There may be other CPUs, with which this one shares its work.
    shares: bool,
    /// Since when more than one vCPU has wanted to run here, or when one was last passed on; [`NEVER`] while there is none.
    crowded: Nanos,
    pub(crate) held: Held,
    timers: Timers,
    alarms: Alarms,
    /// That work, in small steps.
    jobs: [Job; MAX_DOMAINS],
    queue: RunQueue,
}

impl Local {
    pub(crate) fn new(id: CpuId, scheduler: Scheduler) -> Self {
        Self {
            id,
            queue: RunQueue::new(scheduler),
            timers: Timers::new(),
            alarms: Alarms::new(),
            armed: NEVER,
            slice_alarm: NEVER,
            resched: true,
            line: Line::Moves,
            queued: 0,
            shares: true,
            crowded: NEVER,
            jobs: [Job::None; MAX_DOMAINS],
            busy: false,
            job_due: 0,
            job_turn: false,
            held: Held::new(),
        }
    }

    /// Looks around before the guest goes on, as something has changed that rarely does.
    pub(crate) fn look_around(&mut self) {
        self.resched = true;
    }

    /// This CPU's number.
    pub fn id(&self) -> CpuId {
        self.id
    }
}

/// The vCPU that a CPU runs.
pub struct Current<'h, A: Arch> {
    pub(crate) vcpu: &'h Vcpu<A>,
    pub(crate) domain: &'h Domain<A>,
    pub(crate) private: TicketMutexGuard<'h, Private<A>, A::Relax>,
    /// Its `vcpu_info`.
    pub(crate) info: Option<Info<'h>>,
    /// Since when it has run.
    since: Nanos,
    /// It waits for an event.
    blocked: bool,
    /// It switches itself off, or goes to another CPU.
    leaves: bool,
    /// When it wants to be woken at the latest, besides by its own timer; or [`NEVER`].
    pub(crate) timeout: Nanos,
}

impl<A: Arch> Current<'_, A> {
    /// Brings the event interrupt in line with what the `vcpu_info` says.
    #[inline(always)]
    pub(crate) fn update_line(&mut self, arch: &A) {
        if self.vcpu.raised.load(Ordering::Relaxed) {
            if let Some(level) = line_change(self.vcpu, &mut self.private, self.info.as_ref()) {
                self.set_line(arch, level);
            }
            return;
        }
        let level = self.info.as_ref().is_some_and(Info::is_pending);
        if level != self.private.line {
            self.set_line(arch, level);
        }
    }

    #[inline(never)]
    fn set_line(&mut self, arch: &A, level: bool) {
        self.private.line = level;
        arch.set_event_line(self.domain.arch(), &mut self.private.arch, self.vcpu.index(), level);
    }

    /// The same for a line that is to go up; returns whether it did. One that is to be down stays up until the vCPU would
    /// sleep or leaves its CPU: nothing comes of it if the guest has taken the interrupt, as it mostly has. `anew`: it is
    /// raised even where it is up.
    #[inline(always)]
    fn raise_line(&mut self, arch: &A, anew: bool) -> bool {
        let anew = anew || self.vcpu.raised.load(Ordering::Relaxed);
        let rises = (anew || !self.private.line) && self.info.as_ref().is_some_and(Info::is_pending);
        if rises {
            self.vcpu.take_raised();
            self.set_line(arch, true);
        }
        rises
    }

    /// An interrupt waits for it, so that it must not block.
    #[inline(always)]
    fn has_interrupt(&mut self, arch: &A) -> bool {
        self.raise_line(arch, false);
        self.has_shown(arch) && self.has_interrupt_still(arch)
    }

    #[inline(always)]
    fn has_shown(&self, arch: &A) -> bool {
        arch.has_interrupt(self.domain.arch(), &self.private.arch, self.vcpu.index())
    }

    /// It has one; but that may be of a line that is down by now.
    #[inline(never)]
    fn has_interrupt_still(&mut self, arch: &A) -> bool {
        self.update_line(arch);
        self.has_shown(arch)
    }

    /// The same, out of line.
    #[inline(never)]
    pub(crate) fn has_interrupt_after_call(&mut self, arch: &A) -> bool {
        self.has_interrupt(arch)
    }
}

/// What the port has to be told of a vCPU's event line; `None` where it knows.
#[inline(always)]
pub(crate) fn line_change<A: Arch>(vcpu: &Vcpu<A>, private: &mut Private<A>, info: Option<&Info<'_>>) -> Option<bool> {
    let raised = vcpu.take_raised();
    let level = info.is_some_and(Info::is_pending);
    let changes = level != private.line || raised && level;
    private.line = level;
    changes.then_some(level)
}

/// A physical CPU, on the stack of its hypervisor loop; what is small comes first, as in [`Local`].
#[repr(C)]
pub struct Cpu<'h, A: Arch> {
    pub(crate) current: Option<Current<'h, A>>,
    pub(crate) local: Local,
}

impl<A: Arch> Cpu<'_, A> {
    /// What the CPU has besides the vCPU that it runs.
    pub fn local(&mut self) -> &mut Local {
        &mut self.local
    }
}

impl<A: Arch> Hypervisor<A> {
    /// Runs guests on this CPU until the machine is switched off.
    pub fn run_cpu<'h>(&'h self, cpu: &mut Cpu<'h, A>) {
        // Now that all others have been counted.
        cpu.local.shares = self.cpus() > 1;
        while self.step(cpu) {}
    }

    /// Runs a guest up to its next exit and deals with that, or waits for one interrupt when there is no guest to run.
    /// Returns `false` when this CPU will not run guests again.
    #[inline]
    pub fn step<'h>(&'h self, cpu: &mut Cpu<'h, A>) -> bool {
        if cpu.local.resched && !self.schedule(cpu) {
            return false;
        }
        let Cpu { local, current: Some(current) } = cpu else {
            self.wait(&mut cpu.local);
            return true;
        };
        if local.line != Line::Still {
            local.line.hand_on(current.vcpu);
            current.update_line(&self.arch);
        }
        let mut exit = Exit::LookAround;
        self.arch.run(&mut Turn { hypervisor: self, local, current }, &mut exit);
        self.handle_exit(local, current, &exit);
        true
    }

    /// There is nobody to run: takes an interrupt, which may change that, and does not wait for one while there is work
    /// that can wait. Nor when looking around has found a reason to look around again, as it does when the last vCPU of the
    /// last domain is off: nobody would wake this CPU.
    fn wait(&self, local: &mut Local) {
        local.resched |= self.has_job(local);
        let interrupt = self.arch.idle(!local.resched);
        local.job_turn = self.has_job(local);
        self.handle_interrupt(local, interrupt);
    }

    /// The hypervisor itself was interrupted.
    fn handle_interrupt(&self, local: &mut Local, interrupt: Interrupt) {
        match interrupt {
            Interrupt::Timer => {
                local.armed = NEVER;
                local.resched = true;
                local.job_turn = self.has_job(local);
            }
            Interrupt::Kick => local.resched = true,
            Interrupt::Other => {}
        }
    }

    /// An event came for a vCPU: its home CPU lets it run.
    #[inline(always)]
    pub(crate) fn wake(&self, local: &mut Local, vcpu: &Vcpu<A>) {
        if local.queue.runs(vcpu.id()) {
            local.line.moves();
        } else {
            self.wake_other(local, vcpu);
        }
    }

    /// The same for one that does not run here.
    #[inline(never)]
    fn wake_other(&self, local: &mut Local, vcpu: &Vcpu<A>) {
        if vcpu.home() != local.id {
            self.wake_elsewhere(vcpu);
        } else {
            let now = self.arch.now();
            vcpu.runstate.woken(now);
            match local.queue.wake_and_ask(now, vcpu.id()) {
                None => local.resched = true,
                Some(_) if local.shares && self.could_run_elsewhere(local, vcpu) => local.resched = true,
                Some(end) if end < local.armed => self.set_timer(local, end, end),
                Some(_) => {}
            }
        }
    }

    /// The same for one whose home is another CPU. Who waits for that CPU, or is off, sees what has come when it runs; so
    /// nobody can have a CPU interrupted again and again for somebody who does not run on it.
    #[inline(always)]
    pub(crate) fn wake_elsewhere(&self, vcpu: &Vcpu<A>) {
        // Either its home CPU sees what has come, or we see that it runs or sleeps: see `take_up`.
        fence(Ordering::SeqCst);
        if matches!(vcpu.state(), RunState::Running | RunState::Blocked) {
            self.post(vcpu);
        }
    }

    /// The event interrupt of a vCPU went up: it is told, even if it never saw that the interrupt was down before.
    #[inline(always)]
    pub(crate) fn raise(&self, local: &mut Local, vcpu: &Vcpu<A>) {
        if local.queue.runs(vcpu.id()) {
            local.line = Line::Raised;
        } else {
            vcpu.raised.store(true, Ordering::Release);
            self.wake_other(local, vcpu);
        }
    }

    /// Sets the timer to what comes first. The end of a slice that has ended before its time stays set: who often wakes
    /// others would set it and take it back each time, and now costs one look around too much in the length of a slice.
    #[inline]
    fn arm(&self, local: &mut Local) {
        let mut first = local.timers.first().min(local.alarms.first());
        if let Some(at) = self.job_time(local) {
            first = first.min(at);
        }
        let slice_end = local.queue.alarm();
        first = first.min(slice_end);
        if first < local.armed || first > local.armed && local.armed != local.slice_alarm {
            self.set_timer(local, first, slice_end);
        }
    }

    fn set_timer(&self, local: &mut Local, at: Nanos, slice_end: Nanos) {
        local.armed = at;
        if at == slice_end {
            local.slice_alarm = at;
        }
        self.arch.set_timer((at != NEVER).then_some(at));
    }
}
