//! Changing what vCPUs get of their CPUs while they run.
//!
//! Whoever changes it writes it down, where it is refused if it does not fit, and tells each vCPU's home CPU. That one alone
//! touches its run queue; it says from when on nothing of the old promise is in force, so that another vCPU can have what is
//! given up.

use core::sync::atomic::Ordering;

use super::Local;
use crate::arch::Arch;
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::placement::Refusal;
use crate::sched::{Promise, Reservation, Share};
use crate::time::Nanos;
use crate::vcpu::{Vcpu, VcpuId};

impl<A: Arch> Hypervisor<A> {
    /// What a vCPU of a domain gets.
    pub(crate) fn share_of(&self, domain: &Domain<A>, vcpu: VcpuId) -> Share {
        let may_have_changed = matches!(domain.promise, Promise::Reserve(_));
        domain.share(may_have_changed.then(|| self.reservation(vcpu)).flatten())
    }

    /// What a vCPU with a reservation is promised, from its next period on at the latest.
    pub(crate) fn reservation(&self, vcpu: VcpuId) -> Option<Reservation> {
        self.numbers.lock().placement.reservation(vcpu)
    }

    /// Changes the weight of a domain.
    pub(crate) fn change_weight(&self, domain: &Domain<A>, weight: u16) {
        domain.weight.store(weight, Ordering::Relaxed);
        domain.vcpu_ids().for_each(|vcpu| self.tell_share(vcpu));
    }

    /// Changes the reservations of vCPUs that have some: of all these, each named once, or of none.
    ///
    /// # Errors
    /// One does not fit on its CPU.
    pub(crate) fn change_reservations(&self, wanted: &[(VcpuId, Reservation)]) -> Result<(), Refusal> {
        self.numbers.lock().placement.change(self.arch.now(), wanted)?;
        wanted.iter().for_each(|(vcpu, _)| self.tell_share(*vcpu));
        Ok(())
    }

    fn tell_share(&self, vcpu: VcpuId) {
        if let Some(vcpu) = self.vcpu(vcpu) {
            vcpu.changed.store(true, Ordering::Release);
            self.post(vcpu);
        }
    }

    /// The home CPU of a vCPU learns what that gets from now on, if that has changed.
    pub(super) fn learn_share(&self, local: &mut Local, domain: &Domain<A>, vcpu: &Vcpu<A>, now: Nanos) {
        if !vcpu.changed.load(Ordering::Relaxed) || !vcpu.changed.swap(false, Ordering::Acquire) {
            return;
        }
        let (id, known) = (vcpu.id(), local.queued & vcpu.id().bit() != 0);
        // Held all the time, so that no newer change is taken for settled.
        let mut numbers = self.numbers.lock();
        let share = domain.share(numbers.placement.reservation(id));
        let settled = if known { local.queue.change(now, id, &share) } else { now };
        numbers.placement.settle(id, settled);
        local.queue.set_promised(now, numbers.placement.promised(local.id));
    }
}
