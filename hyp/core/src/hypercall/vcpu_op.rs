//! `vcpu_op` (`public/vcpu.h`): what ARM guests use of it. They start and stop vCPUs through PSCI.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::vcpu::{RegisterVcpuInfo, VCPUOP_IS_UP, VCPUOP_REGISTER_VCPU_INFO};

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
