//! Moving vCPUs between CPUs.
//!
//! Only the home CPU of a vCPU gives it away, one that waits for the CPU and does not run; so nobody reaches into another
//! CPU's queues. Each CPU says in one word who wants to run on it. A CPU with nothing to run looks there and kicks one that
//! has too much; that one, which looks around, sees who is idle. What else is on its way to a vCPU meanwhile lies in the
//! inbox of its old home, which hands it on.
//!
//! - Who waits while another CPU of its domain's affinity is idle goes there at once.
//! - A CPU that has been crowded for the length of a slice passes one on to the one with the least weight to run, if that
//!   is not worse off afterwards than the giver was before. With three equal vCPUs on two CPUs, who waits goes back and forth,
//!   each in its turn, and all get the same.
//! - Who has just come stays a while, for the sake of its caches; and so does, while no CPU is idle, who is boosted, as its
//!   turn comes soon.

use core::sync::atomic::{Ordering, fence};

use xen_abi::errno::Errno;

use super::{Cpu, Current, Local};
use crate::arch::{Arch, CpuId};
use crate::domain::Domain;
use crate::hypervisor::{Hypervisor, cpu_bit};
use crate::limits::MAX_CPUS;
use crate::sched::credit::SLICE;
use crate::sched::{Promise, WHOLE};
use crate::time::{MILLISECOND, NEVER, Nanos};
use crate::vcpu::{ANYWHERE, RunState, Vcpu, VcpuId, members};

/// Who has come from another CPU stays at least this long.
const STAY: Nanos = 2 * MILLISECOND;

/// More than one vCPU is in the set.
const fn is_crowded(set: u32) -> bool {
    set & set.wrapping_sub(1) != 0
}

fn is_pinned<A: Arch>(vcpu: &Vcpu<A>) -> bool {
    vcpu.pin.load(Ordering::Relaxed) != ANYWHERE
}

impl<A: Arch> Hypervisor<A> {
    /// Lets a new vCPU run on these CPUs.
    pub(crate) fn allow(&self, vcpu: VcpuId, cpus: u32) {
        let chosen = self.allowed.iter().zip(0..).filter(|(_, cpu)| cpus & cpu_bit(*cpu) != 0);
        chosen.for_each(|(allowed, _)| _ = allowed.fetch_or(vcpu.bit(), Ordering::Relaxed));
    }

    /// Lets nobody but one vCPU run on a CPU.
    pub(crate) fn give_cpu(&self, vcpu: VcpuId, cpu: CpuId) {
        if let Some(allowed) = self.allowed.get(usize::from(cpu)) {
            allowed.store(vcpu.bit(), Ordering::Relaxed);
        }
    }

    /// The vCPUs that may run on a CPU.
    fn allowed(&self, cpu: CpuId) -> u32 {
        self.allowed.get(usize::from(cpu)).map_or(0, |set| set.load(Ordering::Relaxed))
    }

    /// The vCPUs that want to run on a CPU, as far as others know.
    fn runnable(&self, cpu: CpuId) -> u32 {
        self.runnable.get(usize::from(cpu)).map_or(0, |set| set.load(Ordering::Relaxed))
    }

    /// The other CPUs that run guests, the next one first: of several that are as good, each gives to another one, so that
    /// what is passed on gets around.
    fn others(&self, own: CpuId) -> impl Iterator<Item = CpuId> {
        let (joined, count) = (self.joined.load(Ordering::Relaxed), self.cpus().min(MAX_CPUS as u8));
        let after = own.saturating_add(1);
        (after..count).chain(0..own.min(count)).filter(move |cpu| joined & cpu_bit(*cpu) != 0)
    }

    /// Another CPU that has nothing to run and may run one of these vCPUs.
    fn idle_for(&self, own: CpuId, vcpus: u32) -> Option<CpuId> {
        self.others(own).find(|cpu| self.runnable(*cpu) == 0 && self.allowed(*cpu) & vcpus != 0)
    }

    /// A vCPU that waits here would run at once somewhere else.
    #[inline(never)]
    pub(super) fn could_run_elsewhere(&self, local: &Local, vcpu: &Vcpu<A>) -> bool {
        self.idle_for(local.id, vcpu.id().bit()).is_some()
    }

    /// Where a vCPU has to be, unless that is here.
    pub(super) fn must_go(&self, local: &Local, vcpu: &Vcpu<A>) -> Option<CpuId> {
        if is_pinned(vcpu) {
            return Some(vcpu.pin.load(Ordering::Relaxed)).filter(|pin| *pin != local.id);
        }
        let may_run = |cpu: &CpuId| self.allowed(*cpu) & vcpu.id().bit() != 0;
        if may_run(&local.id) { None } else { self.others(local.id).find(may_run) }
    }

    /// The current vCPU is to run on this CPU and no other, whatever its domain's affinity says; without one, wherever it may.
    ///
    /// # Errors
    /// As on Xen, EBUSY where it is pinned already, EINVAL where there is no such CPU or it is not pinned.
    pub(crate) fn pin_vcpu(
        &self,
        local: &mut Local,
        current: &mut Current<'_, A>,
        cpu: Option<CpuId>,
    ) -> Result<(), Errno> {
        let vcpu = current.vcpu;
        match cpu {
            // What it is promised is promised where it is; and a CPU may be another's own.
            Some(_) if current.domain.promise != Promise::None => return Err(Errno::EINVAL),
            Some(cpu) if self.promised(cpu) >= WHOLE => return Err(Errno::EINVAL),
            Some(_) if is_pinned(vcpu) => return Err(Errno::EBUSY),
            Some(cpu) if cpu != local.id && self.others(local.id).all(|other| other != cpu) => {
                return Err(Errno::EINVAL);
            }
            None if !is_pinned(vcpu) => return Err(Errno::EINVAL),
            _ => {}
        }
        vcpu.pin.store(cpu.unwrap_or(ANYWHERE), Ordering::Relaxed);
        if self.must_go(local, vcpu).is_some() {
            current.leaves = true;
            local.look_around();
        }
        Ok(())
    }

    /// The current vCPU leaves: for another CPU, or it is off from now on.
    #[inline(never)]
    pub(super) fn leave(&self, cpu: &mut Cpu<'_, A>, now: Nanos) {
        let Some(vcpu) = cpu.current.as_ref().map(|current| current.vcpu) else { return };
        match self.must_go(&cpu.local, vcpu) {
            None => self.switch_off(cpu, vcpu.id(), now),
            Some(to) => {
                self.put_away(cpu, RunState::Runnable, now);
                self.give(&mut cpu.local, vcpu, to, now);
            }
        }
    }

    /// This CPU has nothing to run: whoever has too much gives it something.
    fn ask_for_work(&self, local: &Local) {
        // Either we see that another CPU is crowded, or it sees that we are idle.
        fence(Ordering::SeqCst);
        let allowed = self.allowed(local.id);
        let has_too_much = |cpu: &CpuId| {
            let there = self.runnable(*cpu);
            is_crowded(there) && there & allowed != 0
        };
        if let Some(cpu) = self.others(local.id).find(has_too_much) {
            self.arch.kick(cpu);
        }
    }

    /// This CPU has chosen whom it runs: gives away who waits and is better off elsewhere, and says who wants to run here.
    #[inline(never)]
    pub(super) fn share(&self, local: &mut Local, now: Nanos) {
        self.say(local);
        if local.queue.waiting() != 0 {
            return self.pass_on(local, now);
        }
        local.crowded = NEVER;
        if local.queue.current().is_none() {
            self.ask_for_work(local);
        }
    }

    /// Says who wants to run here.
    fn say(&self, local: &Local) {
        let wanted = local.queue.waiting() | local.queue.current().map_or(0, VcpuId::bit);
        if let Some(said) = self.runnable.get(usize::from(local.id))
            && said.load(Ordering::Relaxed) != wanted
        {
            said.store(wanted, Ordering::Relaxed);
        }
    }

    #[inline(never)]
    fn pass_on(&self, local: &mut Local, now: Nanos) {
        // What is said comes before the look at the others: see `ask_for_work`.
        fence(Ordering::SeqCst);
        local.crowded = local.crowded.min(now);
        let may_go = |id: &VcpuId| {
            let Some(vcpu) = self.vcpu(*id) else { return false };
            let moved = vcpu.moved.load(Ordering::Relaxed);
            !is_pinned(vcpu) && (moved == 0 || now.saturating_sub(moved) >= STAY)
        };
        let movable = members(local.queue.waiting()).filter(may_go).fold(0, |set, id| set | id.bit());
        let long = now.saturating_sub(local.crowded) >= SLICE;
        let mut chosen = self.idle_for(local.id, movable).and_then(|cpu| self.choose(local, movable, cpu));
        if chosen.is_none() && long {
            local.crowded = now;
            chosen = self.lightest(local, movable & !local.queue.boosted());
        }
        if let Some((vcpu, to)) = chosen {
            local.crowded = now;
            self.give(local, vcpu, to, now);
            self.say(local);
        }
    }

    /// Who of these goes to a CPU.
    fn choose(&self, local: &Local, movable: u32, to: CpuId) -> Option<(&Vcpu<A>, CpuId)> {
        let vcpu = local.queue.next_of(movable & self.allowed(to))?;
        Some((self.vcpu(vcpu)?, to))
    }

    /// Who of these goes where, when no CPU is idle.
    fn lightest(&self, local: &Local, movable: u32) -> Option<(&Vcpu<A>, CpuId)> {
        let weight = |cpu| members(self.runnable(cpu)).map(|id| self.weight(id)).sum::<u32>();
        let candidates = self.others(local.id).filter(|cpu| self.allowed(*cpu) & movable != 0);
        let to = candidates.min_by_key(|cpu| weight(*cpu))?;
        let chosen = self.choose(local, movable, to)?;
        let after = weight(to).saturating_add(self.weight(chosen.0.id()));
        (after <= weight(local.id)).then_some(chosen)
    }

    fn weight(&self, id: VcpuId) -> u32 {
        let domain = self.vcpu(id).and_then(|vcpu| self.domain(vcpu.domain()));
        domain.map_or(0, |domain| domain.weight.load(Ordering::Relaxed).into())
    }

    /// Gives a vCPU, which does not run, to another CPU.
    pub(super) fn give(&self, local: &mut Local, vcpu: &Vcpu<A>, to: CpuId, now: Nanos) {
        self.forget_vcpu(local, vcpu, now);
        vcpu.moved.store(now, Ordering::Relaxed);
        self.arch.leave_cpu(&mut vcpu.private.lock().arch);
        self.expect(vcpu, to);
        vcpu.move_to(to);
        self.post(vcpu);
    }

    /// Says that a vCPU will want to run on a CPU, until that CPU speaks for itself.
    pub(crate) fn expect(&self, vcpu: &Vcpu<A>, cpu: CpuId) {
        if let Some(there) = self.runnable.get(usize::from(cpu)) {
            there.fetch_or(vcpu.id().bit(), Ordering::Relaxed);
        }
    }

    /// A vCPU is not to run here any more.
    pub(super) fn forget_vcpu(&self, local: &mut Local, vcpu: &Vcpu<A>, now: Nanos) {
        let id = vcpu.id();
        if local.queued & id.bit() != 0 {
            local.queued &= !id.bit();
            vcpu.credit.store(local.queue.remove(now, id), Ordering::Relaxed);
        }
        local.timers.remove(id);
    }

    /// A vCPU is to run here: it starts, was kept from running, or comes from another CPU.
    pub(super) fn take_in(&self, local: &mut Local, domain: &Domain<A>, vcpu: &Vcpu<A>, now: Nanos) {
        let id = vcpu.id();
        let family = domain.vcpu_ids().fold(0, |family, id| family | id.bit());
        local.queued |= id.bit();
        if domain.promise == Promise::Auto {
            local.queue.set_promised(now, self.promised(local.id));
        }
        local.queue.add(now, id, &self.share_of(domain, id), family, vcpu.credit.load(Ordering::Relaxed));
        if !vcpu.fresh.load(Ordering::Relaxed) {
            let own = self.arch.timer_deadline(&vcpu.private.lock().arch);
            local.timers.set(id, own.unwrap_or(NEVER));
        }
    }
}
