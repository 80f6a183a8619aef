//! `vcpu_op` (`public/vcpu.h`). On ARM Xen knows only the places of records; that the other operations are here too, but for
//! those that PSCI does and those that x86 alone has, costs a guest nothing that does not use them.

use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::vcpu::{
    RegisterRunstateMemoryArea, RegisterVcpuInfo, RunstateInfo, SetPeriodicTimer, SetSingleshotTimer,
    VCPU_SSHOTTMR_FUTURE, VCPUOP_GET_RUNSTATE_INFO, VCPUOP_IS_UP, VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA,
    VCPUOP_REGISTER_VCPU_INFO, VCPUOP_SET_PERIODIC_TIMER, VCPUOP_SET_SINGLESHOT_TIMER, VCPUOP_STOP_PERIODIC_TIMER,
    VCPUOP_STOP_SINGLESHOT_TIMER,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::event::two_level::{Info, NOT_REGISTERED};
use crate::policy::Decision;
use crate::time::{MILLISECOND, Nanos};
use crate::vcpu::{RunState, Vcpu};

/// How long a period may be, as on Xen.
const PERIODS: RangeInclusive<Nanos> = MILLISECOND..=u64::MAX >> 2;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let index = u32::try_from(call.args[1]).map_err(|_| Errno::ENOENT)?;
    let id = call.current.domain.vcpu(index).ok_or(Errno::ENOENT)?;
    let vcpu = call.hypervisor.vcpu(id).ok_or(Errno::ENOENT)?;
    match call.operation() {
        VCPUOP_IS_UP => Ok(Answer::Value(u64::from(vcpu.state() != RunState::Offline))),
        VCPUOP_REGISTER_VCPU_INFO => register_info(call, vcpu),
        VCPUOP_GET_RUNSTATE_INFO => {
            let info = vcpu.runstate.info();
            call.write(call.args[2], &info)?;
            DONE
        }
        VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA => register_runstate(call, vcpu),
        VCPUOP_SET_PERIODIC_TIMER
        | VCPUOP_STOP_PERIODIC_TIMER
        | VCPUOP_SET_SINGLESHOT_TIMER
        | VCPUOP_STOP_SINGLESHOT_TIMER => timer(call, vcpu),
        // Starting and stopping, NMIs, physical numbers, x86's clock: what Xen answers on ARM.
        _ => Err(Errno::EINVAL),
    }
}

/// Starts or stops one of a vCPU's timers, which raise `VIRQ_TIMER`. The one that rings once is set by the vCPU itself.
fn timer<A: Arch>(call: &mut Call<'_, '_, A>, vcpu: &Vcpu<A>) -> Result<Answer, Errno> {
    let now = call.hypervisor.arch.now();
    match call.operation() {
        VCPUOP_SET_PERIODIC_TIMER => {
            let SetPeriodicTimer { period_ns } = call.read(call.args[2])?;
            if !PERIODS.contains(&period_ns) {
                return Err(Errno::EINVAL);
            }
            vcpu.alarm.set_period(now, period_ns);
        }
        VCPUOP_STOP_PERIODIC_TIMER => vcpu.alarm.set_period(now, 0),
        _ if vcpu.id() != call.current.vcpu.id() => return Err(Errno::EINVAL),
        VCPUOP_SET_SINGLESHOT_TIMER => {
            let SetSingleshotTimer { timeout_abs_ns, flags, .. } = call.read(call.args[2])?;
            if flags & VCPU_SSHOTTMR_FUTURE != 0 && timeout_abs_ns < now {
                return Err(Errno::ETIME);
            }
            vcpu.alarm.set_single(Some(timeout_abs_ns));
        }
        _ => vcpu.alarm.set_single(None),
    }
    call.hypervisor.set_alarm(call.local, vcpu);
    DONE
}

/// Moves a vCPU's `vcpu_info` into the guest's own memory, once. Everything is marked as pending there, so that nothing
/// that came meanwhile is lost; the guest finds that most of it is not.
fn register_info<A: Arch>(call: &mut Call<'_, '_, A>, vcpu: &Vcpu<A>) -> Result<Answer, Errno> {
    let RegisterVcpuInfo { mfn, offset, .. } = call.read(call.args[2])?;
    let place = Info::place::<A>(mfn, offset).ok_or(Errno::EINVAL)?;
    let (arch, domain) = (&call.hypervisor.arch, call.current.domain);
    arch.guest_page(domain.arch(), mfn).map_err(|_| Errno::EINVAL)?;
    let free = vcpu.info.compare_exchange(NOT_REGISTERED, place, Ordering::AcqRel, Ordering::Acquire);
    free.map_err(|_| Errno::EINVAL)?;
    let info = Info::of(arch, domain, vcpu);
    if let Some(info) = &info {
        info.take_over();
    }
    if vcpu.id() == call.current.vcpu.id() {
        if let Some(info) = &info {
            info.publish_clock(arch, domain, &call.current.private.arch);
        }
        call.current.info = info;
        call.local.look_around();
    } else {
        // If it runs, its CPU has the old place in hand and must look again.
        call.hypervisor.post(vcpu);
    }
    DONE
}

/// Keeps a copy of a vCPU's run state where the guest wants it. The address is virtual and means now what it means now:
/// the guest may have other tables when the copy is next written.
fn register_runstate<A: Arch>(call: &mut Call<'_, '_, A>, vcpu: &Vcpu<A>) -> Result<Answer, Errno> {
    const PAGE: u64 = 4096;
    const LAST: u64 = size_of::<RunstateInfo>() as u64 - 1;
    let RegisterRunstateMemoryArea { addr } = call.read(call.args[2])?;
    if addr % 8 != 0 {
        return Err(Errno::EINVAL);
    }
    let (arch, domain) = (&call.hypervisor.arch, call.current.domain);
    let place = |address: u64| {
        let frame = arch.guest_frame(domain.arch(), &call.current.private.arch, address).map_err(|_| Errno::EFAULT)?;
        arch.guest_page(domain.arch(), frame).map_err(|_| Errno::EINVAL)?;
        frame.checked_mul(PAGE).ok_or(Errno::EINVAL)
    };
    let last = addr.checked_add(LAST).ok_or(Errno::EFAULT)?;
    let (first, next) = (place(addr)?, place(last)?);
    vcpu.runstate.register(first.saturating_add(addr % PAGE), next);
    vcpu.runstate.publish(arch, domain);
    DONE
}
