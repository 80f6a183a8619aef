//! `domctl`: what the control domain does to others (`public/domctl.h`). There is the operation on the scheduler.
//!
//! A domain's weight is in the words of Xen's `credit`, its reservation in those of `rtds`, whose periods are in us. What `rtds`
//! has no word for stays as the manifest has it: whether a reservation reclaims, and a deadline that is not the period.

use core::sync::atomic::Ordering;

use heapless::Vec;
use xen_abi::domctl::{
    Credit, Rtds, SchedulerControl, VcpuParameters, Vcpus, XEN_DOMCTL_INTERFACE_VERSION, XEN_DOMCTL_SCHEDOP_GETINFO,
    XEN_DOMCTL_SCHEDOP_GETVCPUINFO, XEN_DOMCTL_SCHEDOP_PUTINFO, XEN_DOMCTL_SCHEDOP_PUTVCPUINFO,
    XEN_DOMCTL_SCHEDRT_EXTRA, XEN_DOMCTL_SCHEDULER_OP, XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_RTDS,
};
use xen_abi::errno::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::domain::Domain;
use crate::limits::MAX_VCPUS_PER_DOMAIN;
use crate::policy::Decision;
use crate::sched::{Promise, Reservation};
use crate::time::{MICROSECOND, Nanos};
use crate::vcpu::VcpuId;

/// Changes that are made together.
type Changes = Vec<(VcpuId, Reservation), MAX_VCPUS_PER_DOMAIN>;

#[inline(never)]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let control: SchedulerControl = call.read(call.args[0])?;
    if control.interface_version != XEN_DOMCTL_INTERFACE_VERSION {
        return Err(Errno::EACCES);
    }
    let id = call.any_domain(control.domain)?;
    let domain = call.hypervisor.domain(id).ok_or(Errno::ESRCH)?;
    if control.cmd != XEN_DOMCTL_SCHEDULER_OP {
        return Err(Errno::ENOSYS);
    }
    match (control.op.sched_id, domain.promise) {
        (XEN_SCHEDULER_CREDIT, Promise::None | Promise::Auto | Promise::Reserve(_)) => credit(call, domain, control),
        (XEN_SCHEDULER_RTDS, Promise::Reserve(_)) => rtds(call, domain, control),
        _ => Err(Errno::EINVAL),
    }
}

/// A member of the union.
fn member<T: FromBytes>(control: &SchedulerControl) -> Result<T, Errno> {
    T::read_from_prefix(control.op.u.as_bytes()).map(|(member, _)| member).map_err(|_| Errno::EINVAL)
}

/// Answers with a member of the union.
fn answer<A: Arch, T: IntoBytes + Immutable>(
    call: &Call<'_, '_, A>,
    mut control: SchedulerControl,
    member: &T,
) -> Result<Answer, Errno> {
    // Each member fits.
    let _ = member.write_to_prefix(control.op.u.as_mut_bytes());
    call.write(call.args[0], &control)?;
    DONE
}

/// The weight. There are no caps.
fn credit<A: Arch>(call: &Call<'_, '_, A>, domain: &Domain<A>, control: SchedulerControl) -> Result<Answer, Errno> {
    match control.op.cmd {
        XEN_DOMCTL_SCHEDOP_GETINFO => {
            answer(call, control, &Credit { weight: domain.weight.load(Ordering::Relaxed), cap: 0 })
        }
        XEN_DOMCTL_SCHEDOP_PUTINFO => {
            let Credit { weight, cap } = member(&control)?;
            if !matches!(cap, 0 | u16::MAX) {
                return Err(Errno::EINVAL);
            }
            if weight != 0 {
                call.hypervisor.change_weight(domain, weight);
            }
            DONE
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The reservation, of all vCPUs or of single ones.
fn rtds<A: Arch>(call: &Call<'_, '_, A>, domain: &Domain<A>, control: SchedulerControl) -> Result<Answer, Errno> {
    let reservation = |vcpu| call.hypervisor.reservation(vcpu).ok_or(Errno::EINVAL);
    match control.op.cmd {
        XEN_DOMCTL_SCHEDOP_GETINFO => {
            let first = domain.vcpu(0).ok_or(Errno::EINVAL)?;
            answer(call, control, &shown(&reservation(first)?))
        }
        XEN_DOMCTL_SCHEDOP_PUTINFO => {
            let mut changes = Changes::new();
            let wanted: Rtds = member(&control)?;
            for vcpu in domain.vcpu_ids() {
                let old = reservation(vcpu)?;
                note(&mut changes, vcpu, changed(&old, &wanted, old.hard)?)?;
            }
            make(call, &changes)
        }
        XEN_DOMCTL_SCHEDOP_PUTVCPUINFO => {
            let mut changes = Changes::new();
            each(call, domain, &control, |_, vcpu, VcpuParameters { rtds, .. }| {
                let hard = rtds.flags & XEN_DOMCTL_SCHEDRT_EXTRA == 0;
                note(&mut changes, vcpu, changed(&reservation(vcpu)?, rtds, hard)?)
            })?;
            make(call, &changes)
        }
        XEN_DOMCTL_SCHEDOP_GETVCPUINFO => each(call, domain, &control, |at, vcpu, entry| {
            entry.rtds = shown(&reservation(vcpu)?);
            call.write(at, entry)
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// Goes through the caller's list of vCPUs: where each entry is, whom it names, and what it has.
fn each<A: Arch>(
    call: &Call<'_, '_, A>,
    domain: &Domain<A>,
    control: &SchedulerControl,
    mut visit: impl FnMut(u64, VcpuId, &mut VcpuParameters) -> Result<(), Errno>,
) -> Result<Answer, Errno> {
    let Vcpus { vcpus, nr_vcpus, .. } = member(control)?;
    if nr_vcpus as usize > MAX_VCPUS_PER_DOMAIN {
        return Err(Errno::EINVAL);
    }
    for number in 0..u64::from(nr_vcpus) {
        let at = vcpus.wrapping_add(number.wrapping_mul(size_of::<VcpuParameters>() as u64));
        let mut entry: VcpuParameters = call.read(at)?;
        let vcpu = domain.vcpu(entry.vcpuid).ok_or(Errno::EINVAL)?;
        visit(at, vcpu, &mut entry)?;
    }
    DONE
}

/// One more change; a vCPU has one at most.
fn note(changes: &mut Changes, vcpu: VcpuId, terms: Reservation) -> Result<(), Errno> {
    if changes.iter().any(|(known, _)| *known == vcpu) {
        return Err(Errno::EINVAL);
    }
    changes.push((vcpu, terms)).map_err(|_| Errno::EINVAL)
}

fn make<A: Arch>(call: &Call<'_, '_, A>, changes: &Changes) -> Result<Answer, Errno> {
    call.hypervisor.change_reservations(changes).map_err(|_| Errno::ENOSPC)?;
    DONE
}

/// A reservation in Xen's words; what is no whole number of us is rounded down.
fn shown(terms: &Reservation) -> Rtds {
    let us = |time: Nanos| (time / MICROSECOND) as u32;
    let flags = if terms.hard { 0 } else { XEN_DOMCTL_SCHEDRT_EXTRA };
    Rtds { period: us(terms.period()), budget: us(terms.budget()), flags }
}

/// The reservation that is wanted in place of another.
///
/// # Errors
/// `EINVAL` unless [`Reservation::new`] takes it.
fn changed(old: &Reservation, wanted: &Rtds, hard: bool) -> Result<Reservation, Errno> {
    let ns = |us: u32| Nanos::from(us).saturating_mul(MICROSECOND);
    let period = ns(wanted.period);
    let deadline = if old.deadline() == old.period() { period } else { old.deadline() };
    let mut terms = Reservation::new(ns(wanted.budget), period, deadline).ok_or(Errno::EINVAL)?;
    (terms.reclaim, terms.hard) = (old.reclaim, hard);
    Ok(terms)
}
