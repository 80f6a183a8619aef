//! Starting, stopping, pausing and restarting domains across CPUs.
//!
//! A domain ends by a mark that every CPU sees and a word in the inbox of each of its vCPUs' home CPUs. Each home CPU
//! stops its own; the one that stops the last does the rest, as a job in small steps between which guests run.

use core::sync::atomic::Ordering;

use super::{Cpu, Local};
use crate::arch::{Arch, ShutdownReason};
use crate::domain::{Domain, DomainId};
use crate::event::two_level::{self, Info};
use crate::hypervisor::{Hypervisor, cpu_bit};
use crate::lifecycle::{self, Event, State, Todo};
use crate::limits::MAX_CPUS;
use crate::report::{DomainChange, Report, TRACE_RECORDS};
use crate::sync::Held;
use crate::time::{MILLISECOND, Nanos};
use crate::vcpu::{ANYWHERE, RunState, VcpuId, members};

/// While there is a job, it gets a step this often.
const JOB_PERIOD: Nanos = MILLISECOND;
/// Event channels that one step of a job closes.
const CLOSE_BUDGET: u32 = 16;
/// Mappings of others' pages that one step takes down, which takes longer.
const RELEASE_BUDGET: u32 = 6;

/// Work on one domain that is done in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Nothing to do.
    None,
    /// Say what became of it, then go on with [`Job::Close`].
    Tell(DomainChange),
    /// Close its event channels, then go on with [`Job::Release`].
    Close(Option<ShutdownReason>),
    /// Take down its mappings of others' pages, and others' of its pages where those are needed again; then reset it,
    /// where that is wanted, for the reason named.
    Release(Option<ShutdownReason>),
    /// Bring its memory back, next this step.
    Reset(ShutdownReason, u32),
}

impl<A: Arch> Hypervisor<A> {
    pub(super) fn has_job(&self, local: &Local) -> bool {
        local.busy
    }

    /// When to look for jobs next; while somebody urgent runs, not at all.
    pub(super) fn job_time(&self, local: &Local) -> Option<Nanos> {
        (self.has_job(local) && !local.queue.is_urgent()).then_some(local.job_due)
    }

    /// Does one step of one job.
    pub(super) fn do_job(&self, local: &mut Local) {
        let first = || local.jobs.iter().position(|job| *job != Job::None);
        let Some(index) = local.busy.then(first).flatten() else { return };
        local.job_due = self.arch.now().saturating_add(JOB_PERIOD);
        let id = DomainId::from_index(index);
        let (Some(domain), Some(job)) = (self.domain(id), local.jobs.get(index).copied()) else { return };
        let next = match job {
            Job::None => Job::None,
            Job::Tell(change) => {
                self.report_domain(domain, change);
                Job::Close(None)
            }
            Job::Close(then) if self.close_some(&local.held, id, CLOSE_BUDGET) => Job::Release(then),
            Job::Close(_) => job,
            Job::Release(then) => {
                match (self.close_grants(&local.held, domain, then.is_some(), RELEASE_BUDGET), then) {
                    (false, _) => job,
                    (true, None) => Job::None,
                    (true, Some(reason)) => {
                        self.forget(&local.held, domain);
                        Job::Reset(reason, 0)
                    }
                }
            }
            Job::Reset(reason, step) => match self.arch.reset_domain(domain.arch(), step) {
                None => Job::Reset(reason, step.saturating_add(1)),
                Some((entry, argument)) => {
                    self.restarted(local, domain, reason, entry, argument);
                    Job::None
                }
            },
        };
        if let Some(slot) = local.jobs.get_mut(index) {
            *slot = next;
        }
        local.busy = local.jobs.iter().any(|job| *job != Job::None);
    }

    /// Forgets what a domain has told us since it started.
    fn forget(&self, held: &Held, domain: &Domain<A>) {
        for vcpu in domain.vcpu_ids().filter_map(|id| self.vcpu(id)) {
            vcpu.info.store(two_level::NOT_REGISTERED, Ordering::Release);
            vcpu.runstate.forget();
            vcpu.alarm.stop();
            vcpu.pin.store(ANYWHERE, Ordering::Relaxed);
            vcpu.polling.store(crate::vcpu::NOT_POLLING, Ordering::SeqCst);
        }
        domain.watchdogs.iter().for_each(|at| at.store(0, Ordering::Relaxed));
        domain.end_code.store(0, Ordering::Relaxed);
        domain.marks_runstate.store(false, Ordering::Relaxed);
        domain.abort_reported.store(false, Ordering::Relaxed);
        domain.pollers.store(0, Ordering::SeqCst);
        domain.params.iter().for_each(|param| param.store(0, Ordering::Relaxed));
        self.leave_queues(held, domain);
        two_level::clear(self.arch.shared_info(domain.arch()));
    }

    fn restarted(&self, local: &mut Local, domain: &Domain<A>, reason: ShutdownReason, entry: u64, argument: u64) {
        self.reopen_grants(&local.held, domain.id());
        if self.change(local, domain, Event::Reset) == Some(Todo::Run) {
            self.fix_again(&local.held, domain.id());
            self.connect_anew(domain);
            self.tell_io_domain(local, domain);
            domain.stopping.store(false, Ordering::Release);
            self.report_domain(domain, DomainChange::Restarted(reason));
            self.switch_on(domain, 0, entry, argument);
        }
    }

    /// Moves a domain on in its life; `None` where the event cannot happen now.
    fn change(&self, local: &Local, domain: &Domain<A>, event: Event) -> Option<Todo> {
        let mut state = domain.state.lock(&local.held, domain.id().index());
        let (next, todo) = lifecycle::next(*state, event, domain.actions)?;
        *state = next;
        Some(todo)
    }

    /// Where a domain is in its life.
    pub fn domain_state(&self, local: &Local, id: DomainId) -> Option<State> {
        Some(*self.domain(id)?.state.lock(&local.held, id.index()))
    }

    /// Makes the home CPUs of a domain's vCPUs look at them.
    fn post_all(&self, local: &mut Local, domain: &Domain<A>) {
        domain.vcpu_ids().filter_map(|id| self.vcpu(id)).for_each(|vcpu| self.post(vcpu));
        local.resched = true;
    }

    /// A domain ends. It goes on until each of its CPUs has noticed, which each does before it runs it again.
    /// Where it has noted another reason before, that one counts.
    pub(crate) fn end_domain(&self, local: &mut Local, domain: &Domain<A>, reason: ShutdownReason) {
        let noted = domain.end_code.load(Ordering::Relaxed).checked_sub(1);
        let reason = noted.map_or(reason, |number| ShutdownReason::from_number(number.into()));
        if self.change(local, domain, Event::End(reason)) == Some(Todo::Stop) {
            domain.paused.store(false, Ordering::Release);
            domain.stopping.store(true, Ordering::Release);
            self.post_all(local, domain);
        }
    }

    /// Keeps a running domain from running, or lets a paused one go on. Returns whether that was possible.
    pub fn set_paused(&self, local: &mut Local, domain: &Domain<A>, paused: bool) -> bool {
        let event = if paused { Event::Pause } else { Event::Unpause };
        if self.change(local, domain, event).is_none() {
            return false;
        }
        domain.paused.store(paused, Ordering::Release);
        self.report_domain(domain, if paused { DomainChange::Paused } else { DomainChange::Running });
        self.post_all(local, domain);
        true
    }

    /// Deals with what others left in the inbox.
    #[inline]
    pub(super) fn read_inbox<'h>(&'h self, cpu: &mut Cpu<'h, A>, now: Nanos) {
        for id in members(self.take_inbox(cpu.local.id)) {
            self.look_at(cpu, id, now);
        }
    }

    /// Somebody wants something of a vCPU whose home this CPU is or was; the vCPU's and its domain's state say what.
    #[inline(never)]
    fn look_at<'h>(&'h self, cpu: &mut Cpu<'h, A>, id: VcpuId, now: Nanos) {
        let Some(vcpu) = self.vcpu(id) else { return };
        let Some(domain) = self.domain(vcpu.domain()) else { return };
        if !vcpu.is_home(cpu.local.id) {
            return self.post(vcpu);
        }
        self.learn_share(&mut cpu.local, domain, vcpu, now);
        let state = vcpu.state();
        if matches!(state, RunState::Offline | RunState::Claimed) {
            return;
        }
        if domain.is_stopping() {
            return self.switch_off(cpu, id, now);
        }
        if state == RunState::Starting {
            if let Some(to) = self.must_go(&cpu.local, vcpu) {
                return self.give(&mut cpu.local, vcpu, to, now);
            }
            vcpu.fresh.store(true, Ordering::Relaxed);
        }
        if matches!(state, RunState::Starting | RunState::Blocked) {
            vcpu.set_state(RunState::Runnable);
        }
        if domain.paused.load(Ordering::Acquire) {
            if cpu.current.as_ref().is_some_and(|current| current.vcpu.id() == id) {
                self.put_away(cpu, RunState::Runnable, now);
            }
            return self.forget_vcpu(&mut cpu.local, vcpu, now);
        }
        if cpu.local.queued & id.bit() == 0 {
            self.take_in(&mut cpu.local, domain, vcpu, now);
        }
        if let Some(current) = cpu.current.as_mut().filter(|current| current.vcpu.id() == id) {
            // It may have been given another place by another vCPU.
            current.info = Info::of(&self.arch, domain, vcpu);
        }
        vcpu.runstate.woken(now);
        cpu.local.queue.wake(now, id);
    }

    /// Switches off a vCPU whose home this CPU is. Whoever switches off the last of a domain that ends goes on with
    /// what follows.
    pub(super) fn switch_off(&self, cpu: &mut Cpu<'_, A>, id: VcpuId, now: Nanos) {
        let Some(vcpu) = self.vcpu(id) else { return };
        let Some(domain) = self.domain(vcpu.domain()) else { return };
        if cpu.current.as_ref().is_some_and(|current| current.vcpu.id() == id) {
            self.put_away(cpu, RunState::Runnable, now);
        }
        let local = &mut cpu.local;
        self.forget_vcpu(local, vcpu, now);
        vcpu.set_state(RunState::Offline);
        if domain.live.fetch_sub(1, Ordering::AcqRel) == 1 && domain.is_stopping() {
            self.stopped(local, domain);
        }
    }

    /// The last vCPU of a domain that ends is off.
    fn stopped(&self, local: &mut Local, domain: &Domain<A>) {
        let Some(State::ShuttingDown(reason)) = self.domain_state(local, domain.id()) else { return };
        let Some(todo) = self.change(local, domain, Event::Stopped) else { return };
        self.arch.silence(domain.arch());
        self.tell_io_domain(local, domain);
        let restarts = todo == Todo::Restart;
        local.busy = true;
        let crashed = matches!(reason, ShutdownReason::Crash | ShutdownReason::Watchdog);
        let change = if crashed { DomainChange::Crashed(reason) } else { DomainChange::Shutdown(reason) };
        if let Some(job) = local.jobs.get_mut(domain.id().index()) {
            *job = if restarts { Job::Close(Some(reason)) } else { Job::Tell(change) };
        }
        let all_over = self.domains().all(|domain| {
            let state = self.domain_state(local, domain.id());
            state.is_some_and(|state| state.is_over() || state == State::Created)
        });
        if todo == Todo::MachineOff || all_over {
            self.machine_off.store(true, Ordering::Release);
            self.kick_all(local.id);
        }
        local.resched = true;
    }

    /// This CPU runs no guests any more. The last one that says so reports and switches the machine off.
    pub(super) fn park_cpu(&self, local: &Local) {
        let mine = cpu_bit(local.id);
        if self.parked.load(Ordering::Acquire) & mine == 0 {
            for (domain, job) in self.domains().zip(&local.jobs) {
                if let Job::Tell(change) = *job {
                    self.report_domain(domain, change);
                }
            }
        }
        let before = self.parked.fetch_or(mine, Ordering::AcqRel);
        if before & mine == 0 && before | mine == self.joined.load(Ordering::Acquire) {
            self.report_end();
            self.arch.machine_off(false);
        }
    }

    /// Says what there is to say about the whole run, in the same order every time.
    fn report_end(&self) {
        for domain in self.domains() {
            for vcpu in domain.vcpu_ids().filter_map(|id| self.vcpu(id)) {
                let private = vcpu.private.lock();
                let (cpu_time, counts) = (private.cpu_time, &private.counts);
                self.arch.report(Report::Usage { domain: domain.name(), vcpu: vcpu.index(), cpu_time, counts });
            }
        }
        self.arch.report(Report::Elapsed { ns: self.arch.now() });
        for domain in self.domains() {
            for vcpu in domain.vcpu_ids().filter_map(|id| self.vcpu(id)) {
                self.arch.report(Report::Vcpu { id: vcpu.id(), domain: domain.name(), vcpu: vcpu.index() });
            }
        }
        (0..MAX_CPUS as u8).for_each(|cpu| self.report_trace(cpu));
        self.arch.report(Report::End);
    }

    fn report_trace(&self, cpu: u8) {
        let Some(trace) = self.traces.get(usize::from(cpu)).and_then(spin::once::Once::get) else { return };
        let mut line = heapless::Vec::<u64, TRACE_RECORDS>::new();
        let mut first = trace.first();
        for record in trace.records() {
            // There is room: the line is emptied as soon as it is full.
            let _ = line.push(record);
            if line.is_full() {
                self.arch.report(Report::Trace { cpu, first, records: &line });
                first = first.saturating_add(TRACE_RECORDS as u64);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.arch.report(Report::Trace { cpu, first, records: &line });
        }
    }
}
