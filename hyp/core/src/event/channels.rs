//! Event channels between the hypervisor's domains: the tables' rules with locks, policy and delivery.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;

use super::two_level::{self, Delivery, Info};
use super::{Busy, Channel, Entry, Port, Table, Target, connect};
use crate::arch::Arch;
use crate::cpu::Local;
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::policy::Decision;
use crate::sync::{Guard, Held};
use crate::vcpu::{NOT_POLLING, POLLING_ANY};

impl<A: Arch> Hypervisor<A> {
    /// A domain's ports. Fails only for a number that no domain can have.
    pub(super) fn ports<'l>(&'l self, held: &'l Held, id: DomainId) -> Result<Guard<'l, Table, A::Relax>, Errno> {
        Ok(self.events.get(id.index()).ok_or(Errno::ESRCH)?.lock(held, id.index()))
    }

    /// The same, out of line, for whoever has time: the code of a lock is long.
    #[inline(never)]
    pub(super) fn ports_rarely<'l>(
        &'l self,
        held: &'l Held,
        id: DomainId,
    ) -> Result<Guard<'l, Table, A::Relax>, Errno> {
        self.ports(held, id)
    }

    /// The ports of `one` and, where it is another domain, of `other`, locked in order.
    #[expect(clippy::type_complexity, reason = "two guards, the second one optional")]
    pub(super) fn both<'l>(
        &'l self,
        held: &'l Held,
        one: DomainId,
        other: DomainId,
    ) -> Result<(Guard<'l, Table, A::Relax>, Option<Guard<'l, Table, A::Relax>>), Errno> {
        if one < other {
            let first = self.ports_rarely(held, one)?;
            Ok((first, Some(self.ports_rarely(held, other)?)))
        } else if other < one {
            let first = self.ports_rarely(held, other)?;
            Ok((self.ports_rarely(held, one)?, Some(first)))
        } else {
            Ok((self.ports_rarely(held, one)?, None))
        }
    }

    /// The ports of `id` and of whom `port` is connected to. The connection may change until both are locked, so it is
    /// looked up again under both locks; that ends because each new try means that another CPU got its own change done.
    #[expect(clippy::type_complexity, reason = "as above")]
    fn with_peer<'l>(
        &'l self,
        held: &'l Held,
        id: DomainId,
        port: u32,
    ) -> Result<(Guard<'l, Table, A::Relax>, Option<Guard<'l, Table, A::Relax>>), Errno> {
        loop {
            let remote = remote_of(self.ports_rarely(held, id)?.get(port)?, id);
            let both = self.both(held, id, remote)?;
            if remote_of(both.0.get(port)?, id) == remote {
                return Ok(both);
            }
        }
    }

    /// Makes the far port pending. Called with the lock by which `target` was found still held, which is what a port
    /// cannot be closed without: so an event never reaches a port that is free, or given out anew, or in its domain's
    /// next life.
    #[inline(never)]
    pub(super) fn set_pending(&self, held: &Held, target: Target) -> Delivery {
        let Some(domain) = self.domain(target.domain) else { return Delivery::Merged };
        if domain.fifo.load(Ordering::Acquire) {
            return self.queue_event(held, target);
        }
        let info = || {
            let vcpu = domain.vcpu(u32::from(target.vcpu)).and_then(|id| self.vcpu(id))?;
            Info::of(&self.arch, domain, vcpu)
        };
        two_level::set_pending::<A>(self.arch.shared_info(domain.arch()), info, target.port)
    }

    /// Wakes who waits for an event, now that no lock is held. That comes too late for nobody: a wake-up too many does
    /// no harm.
    #[inline(never)]
    pub(super) fn announce(&self, local: &mut Local, target: Target, delivery: Delivery) {
        let Some(domain) = self.domain(target.domain) else { return };
        let vcpu = domain.vcpu(u32::from(target.vcpu)).and_then(|id| self.vcpu(id));
        if let (Delivery::Raised, Some(vcpu)) = (delivery, vcpu) {
            self.raise(local, vcpu);
        }
        if delivery != Delivery::Merged && domain.pollers.load(Ordering::SeqCst) != 0 {
            self.wake_pollers(local, domain, target.port);
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_pollers(&self, local: &mut Local, domain: &Domain<A>, port: Port) {
        let pollers = domain.pollers.load(Ordering::SeqCst);
        for vcpu in domain.vcpu_ids().filter_map(|id| self.vcpu(id)) {
            let polls = vcpu.polling.load(Ordering::SeqCst);
            let listens = polls == POLLING_ANY || polls == u32::from(port);
            if pollers & 1 << vcpu.index() != 0 && polls != NOT_POLLING && listens {
                self.wake(local, vcpu);
            }
        }
    }

    /// Sends on a port of `from`.
    ///
    /// # Errors
    /// `EINVAL` for a port on which nobody can send.
    #[inline(always)]
    pub fn send(&self, local: &mut Local, _: Decision, from: DomainId, port: u32) -> Result<(), Errno> {
        let ports = self.ports(&local.held, from)?;
        // What follows is `Table::target`, `set_pending` and `announce` in one piece, where no structure is put together
        // and taken apart: this is what guests do most.
        let entry = ports.entry(port)?;
        let (to, port, vcpu) = match &entry.channel {
            Channel::Interdomain { remote, port, remote_vcpu } => (*remote, *port, *remote_vcpu),
            Channel::Ipi => (from, port as Port, entry.vcpu),
            Channel::Unbound { .. } => return Ok(()),
            Channel::Free | Channel::Virq(_) => return Err(Errno::EINVAL),
        };
        let Some(domain) = self.domain(to) else { return Ok(()) };
        // Relaxed: what belongs to the queues is behind their own lock.
        if domain.fifo.load(Ordering::Relaxed) {
            let target = Target { domain: to, port, vcpu };
            let delivery = self.set_pending(&local.held, target);
            drop(ports);
            self.announce(local, target, delivery);
            return Ok(());
        }
        let shared = self.arch.shared_info(domain.arch());
        if !two_level::mark::<A>(shared, port) {
            return Ok(());
        }
        let vcpu = domain.vcpu(vcpu.into()).and_then(|id| self.vcpu(id));
        let raised = !two_level::is_masked::<A>(shared, port)
            && vcpu.is_some_and(|vcpu| two_level::raise(Info::of(&self.arch, domain, vcpu), port));
        drop(ports);
        if let Some(vcpu) = vcpu.filter(|_| raised) {
            self.raise(local, vcpu);
        }
        if domain.pollers.load(Ordering::SeqCst) != 0 {
            self.wake_pollers(local, domain, port);
        }
        Ok(())
    }

    /// Raises a virtual interrupt of a domain's vCPU; nothing happens where it is not bound.
    pub fn raise_virq(&self, local: &mut Local, domain: DomainId, vcpu: u8, virq: u32) {
        let raised = self.ports(&local.held, domain).ok().and_then(|ports| {
            let port = ports.virq(virq, vcpu);
            let entry = ports.get(u32::from(port)).ok()?;
            let target = Target { domain, port, vcpu: entry.vcpu };
            Some((target, self.set_pending(&local.held, target)))
        });
        if let Some((target, delivery)) = raised {
            self.announce(local, target, delivery);
        }
    }

    /// Sends on a port of `from`, if anybody can, on nobody's behalf.
    #[inline(never)]
    pub(crate) fn send_for(&self, local: &mut Local, from: DomainId, port: u32) {
        let sent = self.ports_rarely(&local.held, from).ok().and_then(|ports| {
            let target = ports.target(from, port).ok()??;
            Some((target, self.set_pending(&local.held, target)))
        });
        if let Some((target, delivery)) = sent {
            self.announce(local, target, delivery);
        }
    }

    /// A new port of `me` to which `remote` may connect.
    pub(crate) fn alloc_unbound(
        &self,
        held: &Held,
        _: Decision,
        me: DomainId,
        remote: DomainId,
    ) -> Result<Port, Errno> {
        self.give_port(held, me, &|ports, busy| ports.alloc_unbound(busy, remote))
    }

    /// A new port of the domain's own for one of its vCPUs.
    pub(crate) fn bind_ipi(&self, held: &Held, _: Decision, me: DomainId, vcpu: u8) -> Result<Port, Errno> {
        self.give_port(held, me, &|ports, busy| ports.bind_ipi(busy, vcpu))
    }

    /// A new port of the domain's own for a virtual interrupt.
    pub(crate) fn bind_virq(&self, held: &Held, _: Decision, me: DomainId, virq: u32, vcpu: u8) -> Result<Port, Errno> {
        self.give_port(held, me, &|ports, busy| ports.bind_virq(busy, virq, vcpu))
    }

    #[inline(never)]
    fn give_port(
        &self,
        held: &Held,
        me: DomainId,
        give: &dyn Fn(&mut Table, Busy<'_>) -> Result<Port, Errno>,
    ) -> Result<Port, Errno> {
        let mut ports = self.ports_rarely(held, me)?;
        self.with_busy(held, me, &mut |busy| give(&mut ports, busy))
    }

    /// The caller's own ports, to look at.
    pub(crate) fn own_ports<'l>(
        &'l self,
        held: &'l Held,
        _: Decision,
        me: DomainId,
    ) -> Result<Guard<'l, Table, A::Relax>, Errno> {
        self.ports_rarely(held, me)
    }

    /// Connects a new port of `me` with a waiting port of `remote`. The new port is pending at once, because what was
    /// sent before somebody listened is lost.
    pub(crate) fn bind_interdomain(
        &self,
        local: &mut Local,
        _: Decision,
        me: DomainId,
        remote: DomainId,
        remote_port: u32,
    ) -> Result<Port, Errno> {
        let (target, delivery) = {
            let (mut mine, mut theirs) = self.both(&local.held, me, remote)?;
            let port = self.with_busy(&local.held, me, &mut |busy| {
                connect(me, &mut mine, busy, remote, theirs.as_deref_mut(), remote_port)
            })?;
            let target = Target { domain: me, port, vcpu: 0 };
            (target, self.set_pending(&local.held, target))
        };
        self.announce(local, target, delivery);
        Ok(target.port)
    }

    /// Closes a port; its other end waits for a new connection.
    pub(crate) fn close(&self, held: &Held, id: DomainId, port: u32) -> Result<(), Errno> {
        let (mut mine, mut theirs) = self.with_peer(held, id, port)?;
        if let Some((_, remote_port)) = mine.close(port)? {
            // A port can be connected to its own domain; then both ends are in one table.
            theirs.as_deref_mut().unwrap_or(&mut mine).disconnect(remote_port, id);
        }
        if let Some(domain) = self.domain(id) {
            self.forget_events(held, domain, port as Port);
        }
        Ok(())
    }

    /// Closes up to `budget` ports of a domain. Returns whether all are closed.
    pub(crate) fn close_some(&self, held: &Held, id: DomainId, budget: u32) -> bool {
        for _ in 0..budget {
            let next = self.ports_rarely(held, id).ok().and_then(|ports| ports.next_in_use(1));
            let Some(port) = next else { return true };
            // It can only fail when a port is not in use any more, and then it is what we want.
            let _ = self.close(held, id, u32::from(port));
        }
        false
    }

    /// Lets a port notify another vCPU, which exists.
    pub(crate) fn bind_vcpu(&self, held: &Held, _: Decision, id: DomainId, port: u32, vcpu: u8) -> Result<(), Errno> {
        let (mut mine, mut theirs) = self.with_peer(held, id, port)?;
        if let Some((_, remote_port)) = mine.bind_vcpu(port, vcpu)? {
            theirs.as_deref_mut().unwrap_or(&mut mine).set_remote_vcpu(remote_port, vcpu);
        }
        Ok(())
    }

    /// Unmasks a port and delivers what is pending; nothing happens to a port that is not in use.
    pub(crate) fn unmask(&self, local: &mut Local, _: Decision, domain: &Domain<A>, port: u32) -> Result<(), Errno> {
        let (vcpu, delivery) = {
            let ports = self.ports_rarely(&local.held, domain.id())?;
            let entry = ports.get(port)?;
            if entry.channel == Channel::Free {
                return Ok(());
            }
            let vcpu = domain.vcpu(u32::from(entry.vcpu)).and_then(|id| self.vcpu(id));
            (vcpu, self.unmask_port(&local.held, domain, entry.vcpu, port as Port))
        };
        if let (Delivery::Raised, Some(vcpu)) = (delivery, vcpu) {
            self.raise(local, vcpu);
        }
        Ok(())
    }
}

/// Who has the other end; the domain itself where there is none.
fn remote_of(entry: Entry, id: DomainId) -> DomainId {
    match entry.channel {
        Channel::Interdomain { remote, .. } => remote,
        _ => id,
    }
}
