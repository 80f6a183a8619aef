//! `vcpu_op` (`public/vcpu.h`): what ARM guests use of it. They start and stop vCPUs through PSCI.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::vcpu::{
    RegisterRunstateMemoryArea, RegisterVcpuInfo, RunstateInfo, VCPUOP_GET_RUNSTATE_INFO, VCPUOP_IS_UP,
    VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA, VCPUOP_REGISTER_VCPU_INFO,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::event::two_level::{Info, NOT_REGISTERED};
use crate::policy::Decision;
use crate::vcpu::{RunState, Vcpu};

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
        _ => Err(Errno::ENOSYS),
    }
}

/// Moves a vCPU's `vcpu_info` into the guest's own memory, once. Everything is marked as pending there, so that nothing
/// that came meanwhile is lost; the guest finds that most of it is not.
fn register_info<A: Arch>(call: &mut Call<'_, '_, A>, vcpu: &Vcpu<A>) -> Result<Answer, Errno> {
    let RegisterVcpuInfo { mfn, offset, .. } = call.read(call.args[2])?;
    let place = Info::place(mfn, offset).ok_or(Errno::EINVAL)?;
    let (arch, domain) = (&call.hypervisor.arch, call.current.domain);
    arch.guest_page(domain.arch(), mfn).map_err(|_| Errno::EINVAL)?;
    let free = vcpu.info.compare_exchange(NOT_REGISTERED, place, Ordering::AcqRel, Ordering::Acquire);
    free.map_err(|_| Errno::EINVAL)?;
    let info = Info::of(arch, domain, vcpu);
    if let Some(info) = &info {
        info.take_over();
    }
    if vcpu.id() == call.current.vcpu.id() {
        call.current.info = info;
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
        let frame = arch.guest_frame(&call.current.private.arch, address).map_err(|_| Errno::EFAULT)?;
        arch.guest_page(domain.arch(), frame).map_err(|_| Errno::EINVAL)?;
        frame.checked_mul(PAGE).ok_or(Errno::EINVAL)
    };
    let last = addr.checked_add(LAST).ok_or(Errno::EFAULT)?;
    let (first, next) = (place(addr)?, place(last)?);
    vcpu.runstate.register(first.saturating_add(addr % PAGE), next);
    vcpu.runstate.publish(arch, domain);
    DONE
}
