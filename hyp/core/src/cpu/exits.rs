//! What guests leave their code for.

use core::sync::atomic::Ordering;

use super::{Current, Line, Local};
use crate::arch::{Arch, CpuOnResult, Exit, Onward, Parts, Running, ShutdownReason, VcpuMask};
use crate::event::two_level::Info;
use crate::hypercall::{self, Answer, Call};
use crate::hypervisor::Hypervisor;
use crate::report::Report;
use crate::stats::ExitReason;
use crate::vcpu::RunState;

/// A vCPU's turn on its CPU, as the port that runs it sees it.
pub(super) struct Turn<'t, 'h, A: Arch> {
    pub(super) hypervisor: &'h Hypervisor<A>,
    pub(super) local: &'t mut Local,
    pub(super) current: &'t mut Current<'h, A>,
}

impl<A: Arch> Running<A> for Turn<'_, '_, A> {
    #[inline(always)]
    fn parts(&mut self) -> Parts<'_, A> {
        let Current { domain, vcpu, private, .. } = &mut *self.current;
        let private = &mut **private;
        Parts { domain: domain.arch(), index: vcpu.index(), vcpu: &mut private.arch, counts: &mut private.counts }
    }

    #[inline(always)]
    fn hypercall(&mut self, number: u64, args: [u64; 5]) -> Onward {
        let Self { hypervisor, local, current } = self;
        current.private.counts.count(ExitReason::Hypercall);
        match hypercall::dispatch(&mut Call { hypervisor, local, current, args }, number) {
            Answer::Value(value) => hypervisor.arch.set_result(&mut current.private.arch, value),
            answer => hypervisor.answer(local, current, answer),
        }
        if local.resched {
            return Onward::Leave;
        }
        let line = local.line;
        if line == Line::Still {
            return Onward::Same;
        }
        local.line = Line::Still;
        if current.raise_line(&hypervisor.arch, line == Line::Raised) { Onward::Changed } else { Onward::Same }
    }

    #[inline(always)]
    fn notify(&mut self, vcpus: VcpuMask) -> Onward {
        self.hypervisor.notify(self.local, self.current, vcpus);
        if self.local.resched { Onward::Leave } else { Onward::Same }
    }

    #[inline(always)]
    fn kicked(&mut self) -> Onward {
        let Self { hypervisor, local, current } = self;
        current.private.counts.count(ExitReason::Interrupt);
        // Mostly one of its interrupts has become pending, and all there is to do is to show it.
        if !hypervisor.take_only(local.id(), current.vcpu.id()) {
            local.resched = true;
            return Onward::Leave;
        }
        // Asked after the word was taken: whoever stops a domain says so before it leaves word. Then it was that word, and
        // goes back for those who deal with it.
        if current.domain.wants_look() {
            hypervisor.post(current.vcpu);
            local.resched = true;
            return Onward::Leave;
        }
        current.info = Info::of(&hypervisor.arch, current.domain, current.vcpu);
        local.line.hand_on(current.vcpu);
        current.update_line(&hypervisor.arch);
        Onward::Changed
    }
}

impl<A: Arch> Hypervisor<A> {
    /// Takes what a hypercall means for the caller.
    #[inline(never)]
    fn answer(&self, local: &mut Local, current: &mut Current<'_, A>, answer: Answer) {
        match answer {
            Answer::Value(value) => self.arch.set_result(&mut current.private.arch, value),
            Answer::Repeat => self.arch.repeat_hypercall(&mut current.private.arch),
            Answer::RepeatLater => {
                self.arch.repeat_hypercall(&mut current.private.arch);
                self.give_way(local);
            }
            Answer::GiveWay => {
                self.arch.set_result(&mut current.private.arch, 0);
                self.give_way(local);
            }
            Answer::Block => {
                self.arch.set_result(&mut current.private.arch, 0);
                block(local, current);
            }
            Answer::BlockAndRepeat => {
                self.arch.repeat_hypercall(&mut current.private.arch);
                block(local, current);
            }
            Answer::Ended => {}
        }
    }

    /// Deals with one exit of the current vCPU.
    #[inline(always)]
    pub(super) fn handle_exit(&self, local: &mut Local, current: &mut Current<'_, A>, exit: &Exit) {
        if *exit != Exit::Idle {
            return self.handle_other_exit(local, current, exit);
        }
        current.private.counts.count(ExitReason::Idle);
        if !current.has_interrupt(&self.arch) {
            block(local, current);
        }
    }

    #[inline(never)]
    fn handle_other_exit(&self, local: &mut Local, current: &mut Current<'_, A>, exit: &Exit) {
        let counts = &mut current.private.counts;
        match *exit {
            Exit::LookAround | Exit::Idle => {}
            Exit::Interrupt(interrupt) => {
                counts.count(ExitReason::Interrupt);
                self.handle_interrupt(local, interrupt);
            }
            Exit::Yield => {
                counts.count(ExitReason::Yield);
                self.give_way(local);
            }
            Exit::Notify(mask) => self.notify(local, current, mask),
            Exit::CpuOn { target, entry, argument } => {
                counts.count(ExitReason::Firmware);
                let result = self.cpu_on(current, target, entry, argument);
                self.arch.cpu_on_result(&mut current.private.arch, exit, result);
            }
            Exit::AffinityInfo { target } => {
                counts.count(ExitReason::Firmware);
                let result = match self.state_of(current, target) {
                    None => CpuOnResult::NoSuchVcpu,
                    Some(RunState::Offline) => CpuOnResult::AlreadyOff,
                    Some(RunState::Claimed | RunState::Starting) => CpuOnResult::Pending,
                    Some(_) => CpuOnResult::Done,
                };
                self.arch.cpu_on_result(&mut current.private.arch, exit, result);
            }
            Exit::CpuOff => {
                counts.count(ExitReason::Firmware);
                if current.domain.live.load(Ordering::Acquire) == 1 {
                    // Nobody is left who could switch anything on again.
                    self.end_domain(local, current.domain, ShutdownReason::PowerOff);
                }
                current.leaves = true;
                local.resched = true;
            }
            Exit::Shutdown(reason) => {
                counts.count(ExitReason::Firmware);
                self.end_domain(local, current.domain, reason);
            }
            Exit::Aborted(fault) => {
                // Once in a life: a guest that does it again and again is heard by itself, not by the log.
                if !current.domain.abort_reported.swap(true, Ordering::Relaxed) {
                    let (domain, vcpu) = (current.domain.name(), current.vcpu.index());
                    self.arch.report(Report::Fault { domain, vcpu, fault });
                }
            }
            Exit::Fault(fault) => {
                self.arch.report(Report::Fault { domain: current.domain.name(), vcpu: current.vcpu.index(), fault });
                self.end_domain(local, current.domain, ShutdownReason::Crash);
            }
        }
    }

    fn state_of(&self, current: &Current<'_, A>, target: u32) -> Option<RunState> {
        Some(self.vcpu(current.domain.vcpu(target)?)?.state())
    }

    fn cpu_on(&self, current: &Current<'_, A>, target: u32, entry: u64, argument: u64) -> CpuOnResult {
        if current.domain.vcpu(target).is_none() {
            CpuOnResult::NoSuchVcpu
        } else if self.switch_on(current.domain, target, entry, argument) {
            CpuOnResult::Done
        } else if matches!(self.state_of(current, target), Some(RunState::Claimed | RunState::Starting)) {
            CpuOnResult::Pending
        } else {
            CpuOnResult::AlreadyOn
        }
    }

    /// Interrupts became pending for vCPUs of the current one's domain.
    #[inline(always)]
    fn notify(&self, local: &mut Local, current: &Current<'_, A>, mask: VcpuMask) {
        let mut rest = mask & !(1u32.wrapping_shl(current.vcpu.index().into()));
        while rest != 0 {
            let index = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            if let Some(vcpu) = current.domain.vcpu(index).and_then(|id| self.vcpu(id)) {
                self.wake(local, vcpu);
            }
        }
    }

    /// The current vCPU lets others go first.
    fn give_way(&self, local: &mut Local) {
        if local.queue.has_others() {
            local.queue.give_way(self.arch.now());
            local.resched = true;
        }
    }
}

/// The current vCPU waits for an event. The run queue hears of it when the CPU looks around, which it does at once.
fn block<A: Arch>(local: &mut Local, current: &mut Current<'_, A>) {
    current.blocked = true;
    local.resched = true;
}
