//! What a CPU was told to ring for: timers of vCPUs, watchdogs of domains.
//!
//! An entry only says when to look. When something is really due is kept with the vCPU or the domain, so that it does not
//! matter which CPU was told, or that a timer was set anew from another one.

use core::sync::atomic::Ordering;

use heapless::Vec;
use xen_abi::virq::VIRQ_TIMER;

use super::Local;
use crate::arch::{Arch, ShutdownReason};
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::limits::{MAX_DOMAINS, MAX_VCPUS};
use crate::time::{NEVER, Nanos};
use crate::vcpu::{Vcpu, VcpuId};

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A vCPU's timer.
    Vcpu(VcpuId),
    /// A domain's watchdog.
    Domain(DomainId),
}

/// At most one time for each vCPU and each domain.
pub(crate) struct Alarms(Vec<(Nanos, Owner), { MAX_VCPUS + MAX_DOMAINS }>);

impl Alarms {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// There are none, as nearly always.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline(never)]
    fn earliest(&self) -> Nanos {
        self.0.iter().map(|(at, _)| *at).fold(NEVER, Nanos::min)
    }

    /// The earliest time, or [`NEVER`].
    #[inline(always)]
    pub(crate) fn first(&self) -> Nanos {
        if self.is_empty() { NEVER } else { self.earliest() }
    }

    fn set(&mut self, owner: Owner, at: Option<Nanos>) {
        self.0.retain(|(_, other)| *other != owner);
        if let Some(at) = at {
            // There is room for all there can be, and each is there at most once.
            let _ = self.0.push((at, owner));
        }
    }

    fn take_due(&mut self, now: Nanos) -> Option<Owner> {
        let index = self.0.iter().position(|(at, _)| *at <= now)?;
        Some(self.0.swap_remove(index).1)
    }
}

impl<A: Arch> Hypervisor<A> {
    /// A vCPU's timers were set: this CPU rings for them.
    pub(crate) fn set_alarm(&self, local: &mut Local, vcpu: &Vcpu<A>) {
        local.alarms.set(Owner::Vcpu(vcpu.id()), vcpu.alarm.due());
        local.look_around();
    }

    /// A domain's watchdogs were set: this CPU looks after them.
    pub(crate) fn set_watchdog(&self, local: &mut Local, domain: &Domain<A>) {
        local.alarms.set(Owner::Domain(domain.id()), domain.watchdog());
        local.look_around();
    }

    /// Rings for whatever is due.
    #[inline(never)]
    pub(super) fn ring(&self, local: &mut Local, now: Nanos) {
        // What is set again here is due later, so that this comes to an end.
        while let Some(owner) = local.alarms.take_due(now) {
            match owner {
                Owner::Vcpu(id) => {
                    let Some(vcpu) = self.vcpu(id) else { continue };
                    if self.domain(vcpu.domain()).is_none_or(Domain::is_stopping) {
                        // Nobody is left to stop it.
                        vcpu.alarm.stop();
                    }
                    if vcpu.alarm.ring(now) {
                        self.raise_virq(local, vcpu.domain(), vcpu.index(), VIRQ_TIMER);
                    }
                    local.alarms.set(owner, vcpu.alarm.due());
                }
                Owner::Domain(id) => {
                    let Some(domain) = self.domain(id) else { continue };
                    let due = domain.watchdog();
                    if due.is_some_and(|at| at <= now) {
                        domain.watchdogs.iter().for_each(|at| at.store(0, Ordering::Relaxed));
                        self.end_domain(local, domain, ShutdownReason::Watchdog);
                    } else {
                        local.alarms.set(owner, due);
                    }
                }
            }
        }
    }
}
