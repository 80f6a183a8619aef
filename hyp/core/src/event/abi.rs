//! Which rules a domain's events go by: the 2-level ones until it asks for queues, and again after it has given them up.
//!
//! A change of the rules happens while others send. They look at the domain's mark without its lock, so that a sender may
//! still be at work by the old rules when the new ones hold; each sender holds its own domain's lock of event channels,
//! and whoever changes the rules waits for each of those once.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::shared_info::EVTCHN_WORDS;

use super::fifo::{Fifo, Queues};
use super::two_level::{self, Delivery, Info};
use super::{Busy, Channel, Port, Target};
use crate::arch::Arch;
use crate::cpu::Local;
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::policy::Decision;
use crate::sync::{Guard, Held};

impl<A: Arch> Hypervisor<A> {
    /// Does something with a domain's queues; `None` where it does not use them.
    pub(super) fn queues_of<'d, T>(
        &self,
        held: &Held,
        domain: &'d Domain<A>,
        work: impl FnOnce(&mut Queues<'_, 'd, A>) -> T,
    ) -> Option<T> {
        if !domain.fifo.load(Ordering::Acquire) {
            return None;
        }
        let mut fifo = self.lock_queues(held, domain.id()).ok()?;
        // It may have given them up a moment ago.
        fifo.is_on().then(|| work(&mut Queues { fifo: &mut fifo, arch: &self.arch, domain }))
    }

    /// A domain's queues. Out of line, as more of what is rare here: it is a lot of code in many places otherwise.
    #[inline(never)]
    fn lock_queues<'l>(&'l self, held: &'l Held, id: DomainId) -> Result<Guard<'l, Fifo, A::Relax>, Errno> {
        Ok(self.queues.get(id.index()).ok_or(Errno::ESRCH)?.lock(held, id.index()))
    }

    /// Makes a port pending by the rules of queues, or by the 2-level ones where the domain has just given those up.
    #[cold]
    #[inline(never)]
    pub(super) fn queue_event(&self, held: &Held, target: Target) -> Delivery {
        let Some(domain) = self.domain(target.domain) else { return Delivery::Merged };
        let vcpu = domain.vcpu(u32::from(target.vcpu)).and_then(|id| self.vcpu(id));
        let info = || vcpu.and_then(|vcpu| Info::of(&self.arch, domain, vcpu));
        let queued = self.queues_of(held, domain, |queues| queues.set_pending(target.vcpu, &info, target.port));
        queued.unwrap_or_else(|| two_level::set_pending::<A>(self.arch.shared_info(domain.arch()), info, target.port))
    }

    /// Calls `give` with what says of a free port that it is still in a queue.
    #[inline(never)]
    pub(super) fn with_busy(
        &self,
        held: &Held,
        id: DomainId,
        give: &mut dyn FnMut(Busy<'_>) -> Result<Port, Errno>,
    ) -> Result<Port, Errno> {
        let domain = self.domain(id).ok_or(Errno::ESRCH)?;
        let queued = self.queues_of(held, domain, |queues| give(&|port| queues.is_linked(port)));
        queued.unwrap_or_else(|| give(&|_| false))
    }

    /// Forgets the events of a port that is closed.
    #[inline(never)]
    pub(super) fn forget_events(&self, held: &Held, domain: &Domain<A>, port: Port) {
        if self.queues_of(held, domain, |queues| queues.close(port)).is_none() {
            two_level::clear_pending::<A>(self.arch.shared_info(domain.arch()), port);
        }
    }

    /// Is the port pending, masked or not?
    #[inline(never)]
    pub(crate) fn is_pending(&self, held: &Held, domain: &Domain<A>, port: Port) -> bool {
        let queued = self.queues_of(held, domain, |queues| queues.is_pending(port));
        queued.unwrap_or_else(|| two_level::is_pending::<A>(self.arch.shared_info(domain.arch()), port))
    }

    /// Unmasks a port that notifies `vcpu`, and delivers what is pending.
    #[inline(never)]
    pub(super) fn unmask_port(&self, held: &Held, domain: &Domain<A>, vcpu: u8, port: Port) -> Delivery {
        let notified = domain.vcpu(u32::from(vcpu)).and_then(|id| self.vcpu(id));
        let info = || notified.and_then(|vcpu| Info::of(&self.arch, domain, vcpu));
        let queued = self.queues_of(held, domain, |queues| queues.unmask(vcpu, &info, port));
        queued.unwrap_or_else(|| two_level::unmask::<A>(self.arch.shared_info(domain.arch()), info, port))
    }

    /// Gives a vCPU its control block at a coded place. With the first one the domain's events go by the new rules, and
    /// those that are pending wait for the words of their ports.
    ///
    /// # Errors
    /// `EINVAL` where the vCPU has one, or the frame is not the guest's.
    #[inline(never)]
    pub(crate) fn init_control(
        &self,
        held: &Held,
        _: Decision,
        domain: &Domain<A>,
        vcpu: u8,
        place: u64,
    ) -> Result<(), Errno> {
        self.arch.guest_page(domain.arch(), place >> 12).map_err(|_| Errno::EINVAL)?;
        if !self.lock_queues(held, domain.id())?.set_control(vcpu, place)? {
            return Ok(());
        }
        domain.fifo.store(true, Ordering::SeqCst);
        for other in self.domains() {
            // Whoever has still seen the old rules is done when we get its lock.
            drop(self.ports_rarely(held, other.id()));
        }
        let shared = self.arch.shared_info(domain.arch());
        let first = A::SHARED_INFO.pending / 8;
        let pending = shared.get(first..first.saturating_add(EVTCHN_WORDS)).unwrap_or_default();
        self.lock_queues(held, domain.id())?.take_over(pending);
        Ok(())
    }

    /// Gives a domain the next page of words. `false` while the events of the time before are being taken over.
    ///
    /// # Errors
    /// `EOPNOTSUPP` without a control block; `ENOSPC` when there are words for all ports; `EINVAL` where the frame is not
    /// the guest's.
    #[inline(never)]
    pub(crate) fn expand_array(&self, held: &Held, _: Decision, domain: &Domain<A>, frame: u64) -> Result<bool, Errno> {
        let mut fifo = self.lock_queues(held, domain.id())?;
        if fifo.is_moving() {
            return Ok(false);
        }
        fifo.check_room()?;
        self.arch.guest_page(domain.arch(), frame).map_err(|_| Errno::EINVAL)?;
        fifo.add_page(frame).map(|()| true)
    }

    /// Delivers up to `budget` events that waited for the words of their ports, from port `from` on. Returns where to go
    /// on; `None` when that was all.
    #[inline(never)]
    pub(crate) fn resend_some(&self, local: &mut Local, domain: &Domain<A>, from: Port, budget: u32) -> Option<Port> {
        let mut from = from;
        for _ in 0..budget {
            let target = {
                let ports = self.ports_rarely(&local.held, domain.id()).ok()?;
                let port = self.queues_of(&local.held, domain, |queues| queues.fifo.take_early(from))??;
                from = port.saturating_add(1);
                let entry = ports.get(u32::from(port)).ok().filter(|entry| entry.channel != Channel::Free);
                let target = entry.map(|entry| Target { domain: domain.id(), port, vcpu: entry.vcpu });
                target.map(|target| (target, self.set_pending(&local.held, target)))
            };
            if let Some((target, delivery)) = target {
                self.announce(local, target, delivery);
            }
        }
        Some(from)
    }

    /// Sets the priority of one of the caller's ports.
    ///
    /// # Errors
    /// `EINVAL` for a port or a priority that there is not; `ENOSYS` by the 2-level rules.
    #[inline(never)]
    pub(crate) fn set_priority(
        &self,
        held: &Held,
        _: Decision,
        id: DomainId,
        port: u32,
        priority: u32,
    ) -> Result<(), Errno> {
        let ports = self.ports_rarely(held, id)?;
        ports.get(port)?;
        self.lock_queues(held, id)?.set_priority(port as Port, priority)
    }

    /// Closes up to `budget` ports of a domain. When all are closed the domain is back at the 2-level rules, and it says
    /// `true`.
    pub(crate) fn reset_some(&self, held: &Held, id: DomainId, budget: u32) -> bool {
        let done = self.close_some(held, id, budget);
        if let Some(domain) = self.domain(id).filter(|_| done) {
            self.leave_queues(held, domain);
        }
        done
    }

    /// The domain's events go by the 2-level rules again. No port is open, and no word of them may stay selected, because
    /// nobody is told of events in one that is.
    #[inline(never)]
    pub(crate) fn leave_queues(&self, held: &Held, domain: &Domain<A>) {
        if domain.fifo.load(Ordering::Acquire)
            && let Ok(mut fifo) = self.lock_queues(held, domain.id())
        {
            let vcpus = domain.vcpu_ids().filter_map(|id| self.vcpu(id));
            vcpus.filter_map(|vcpu| Info::of(&self.arch, domain, vcpu)).for_each(|info| info.clear_selector());
            fifo.reset();
            domain.fifo.store(false, Ordering::SeqCst);
        }
    }
}
