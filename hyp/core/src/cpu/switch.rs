//! Changing from one vCPU to another.

use core::sync::atomic::{Ordering, fence};

use super::{Cpu, Current, Local, line_change};
use crate::arch::Arch;
use crate::event::two_level::Info;
use crate::hypervisor::Hypervisor;
use crate::report::Report;
use crate::time::{NEVER, Nanos};
use crate::vcpu::{NOT_POLLING, RunState, VcpuId};

impl<A: Arch> Hypervisor<A> {
    /// Looks around: inbox, timers, work that can wait; then makes the vCPU current that should run now. Returns `false`
    /// when the machine is being switched off and this CPU is done.
    pub(super) fn schedule<'h>(&'h self, cpu: &mut Cpu<'h, A>) -> bool {
        cpu.local.resched = false;
        let mut now = self.arch.now();
        if self.machine_off.load(Ordering::Acquire) {
            self.put_away(cpu, RunState::Runnable, now);
            self.park_cpu(&cpu.local);
            return false;
        }
        match &cpu.current {
            Some(Current { blocked: true, .. }) => cpu.local.queue.block(now),
            Some(Current { leaves: true, .. }) => self.leave(cpu, now),
            _ => {}
        }
        if !cpu.local.alarms.is_empty() {
            self.ring(&mut cpu.local, now);
        }
        self.read_inbox(cpu, now);
        // Never behind an exit that may have been long itself: those have a chance first for whom something came meanwhile.
        if self.has_job(&cpu.local) && core::mem::take(&mut cpu.local.job_turn) && !cpu.local.queue.is_urgent() {
            self.do_job(&mut cpu.local);
            now = self.arch.now();
        }
        if cpu.local.timers.first() <= now {
            self.wake_due(&mut cpu.local, now);
        }
        let next = cpu.local.queue.pick(now);
        let running = cpu.current.as_ref().map(|current| current.vcpu.id());
        if next == running {
            if let Some(current) = &mut cpu.current {
                self.unblock(&mut cpu.local, current);
                cpu.local.line.moves();
            }
        } else {
            let blocked = cpu.current.as_ref().is_some_and(|current| current.blocked);
            self.put_away(cpu, if blocked { RunState::Blocked } else { RunState::Runnable }, now);
            match next {
                Some(next) => self.take_up(cpu, next, now),
                None => self.record(&cpu.local, now, None),
            }
        }
        if cpu.local.shares {
            self.share(&mut cpu.local, now);
        }
        self.arm(&mut cpu.local);
        true
    }

    /// Wakes those whose timers have come.
    #[inline(never)]
    fn wake_due(&self, local: &mut Local, now: Nanos) {
        while let Some(vcpu) = local.timers.take_due(now).and_then(|id| self.vcpu(id)) {
            vcpu.runstate.woken(now);
            local.queue.wake_by_timer(now, vcpu.id());
        }
    }

    /// A vCPU goes on: it waits for nothing any more.
    fn unblock(&self, local: &mut Local, current: &mut Current<'_, A>) {
        if core::mem::take(&mut current.blocked) {
            current.timeout = NEVER;
            self.stop_polling(current);
            local.timers.remove(current.vcpu.id());
        }
    }

    pub(crate) fn stop_polling(&self, current: &Current<'_, A>) {
        // Others only read it.
        if current.vcpu.polling.load(Ordering::Relaxed) != NOT_POLLING {
            current.vcpu.polling.store(NOT_POLLING, Ordering::SeqCst);
            current.domain.pollers.fetch_and(!(1 << current.vcpu.index()), Ordering::SeqCst);
        }
    }

    /// Takes the current vCPU, if there is one, out of the CPU.
    pub(super) fn put_away(&self, cpu: &mut Cpu<'_, A>, state: RunState, now: Nanos) {
        let Some(current) = &mut cpu.current else { return };
        let private = &mut *current.private;
        self.arch.save(current.domain.arch(), &mut private.arch, current.vcpu.index());
        private.cpu_time = private.cpu_time.wrapping_add(now.saturating_sub(current.since));
        let own = self.arch.timer_deadline(&private.arch).unwrap_or(NEVER);
        cpu.local.timers.set(current.vcpu.id(), own.min(current.timeout));
        cpu.local.line.hand_on(current.vcpu);
        current.vcpu.set_state(state);
        current.vcpu.runstate.stops(&self.arch, current.domain, now, state == RunState::Blocked);
        cpu.current = None;
    }

    /// Puts a vCPU into the CPU.
    fn take_up<'h>(&'h self, cpu: &mut Cpu<'h, A>, id: VcpuId, now: Nanos) {
        let Some(vcpu) = self.vcpu(id) else { return };
        let Some(domain) = self.domain(vcpu.domain()) else { return };
        let mut private = vcpu.private.lock();
        if vcpu.fresh.load(Ordering::Relaxed) {
            vcpu.fresh.store(false, Ordering::Relaxed);
            let (entry, argument) = (vcpu.entry.load(Ordering::Relaxed), vcpu.argument.load(Ordering::Relaxed));
            self.arch.reset_vcpu(domain.arch(), &mut private.arch, vcpu.index(), entry, argument);
            private.line = false;
            private.progress = None;
        }
        cpu.local.timers.remove(id);
        // Said before the look at what has come, so that whoever sends more tells this CPU: see `wake_elsewhere`.
        vcpu.set_state(RunState::Running);
        fence(Ordering::SeqCst);
        let info = Info::of(&self.arch, domain, vcpu);
        let event = line_change(vcpu, &mut private, info.as_ref());
        self.arch.load(domain.arch(), &mut private.arch, vcpu.index(), event);
        if let Some(info) = &info {
            info.publish_clock(&self.arch, domain, &private.arch);
        }
        vcpu.runstate.runs(&self.arch, domain, now);
        self.record(&cpu.local, now, Some(id));
        if !self.first_guest.load(Ordering::Relaxed) && !self.first_guest.swap(true, Ordering::Relaxed) {
            self.arch.report(Report::FirstGuest { ns: self.arch.now() });
        }
        let current =
            Current { vcpu, domain, private, info, since: now, blocked: false, leaves: false, timeout: NEVER };
        self.stop_polling(&current);
        cpu.current = Some(current);
    }

    fn record(&self, local: &Local, now: Nanos, vcpu: Option<VcpuId>) {
        if let Some(trace) = self.traces.get(usize::from(local.id)).and_then(spin::once::Once::get) {
            trace.record(now, vcpu);
        }
    }
}
