//! `hvm_op`: numbers by which a guest finds things (`public/hvm/hvm_op.h`, `public/hvm/params.h`).
//!
//! They are kept, and a port whose guests choose how events interrupt them hears of that one. Those that the toolstack sets are the guest's to read only; a domain that may
//! control others is their toolstack.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::hvm::{
    EvtchnUpcallVector, HVM_NR_PARAMS, HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN,
    HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN, HVMOP_GET_PARAM, HVMOP_GUEST_REQUEST_VM_EVENT,
    HVMOP_SET_EVTCHN_UPCALL_VECTOR, HVMOP_SET_PARAM, HvmParam,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::policy::Decision;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let operation = call.operation();
    match operation {
        HVMOP_SET_PARAM | HVMOP_GET_PARAM => {}
        HVMOP_SET_EVTCHN_UPCALL_VECTOR => return set_vector(call),
        // Nobody watches, so that nobody is told.
        HVMOP_GUEST_REQUEST_VM_EVENT if call.args[1] == 0 => return DONE,
        HVMOP_GUEST_REQUEST_VM_EVENT => return Err(Errno::EINVAL),
        _ => return Err(Errno::ENOSYS),
    }
    let mut op: HvmParam = call.read(call.args[1])?;
    if op.index >= HVM_NR_PARAMS {
        return Err(Errno::EINVAL);
    }
    let (_decision, domain) = call.controlled(op.domid)?;
    let others = match op.index {
        HVM_PARAM_CALLBACK_IRQ => false,
        HVM_PARAM_STORE_PFN | HVM_PARAM_STORE_EVTCHN | HVM_PARAM_CONSOLE_PFN | HVM_PARAM_CONSOLE_EVTCHN => true,
        _ => return Err(Errno::EINVAL),
    };
    let param = domain.params.get(op.index as usize).ok_or(Errno::EINVAL)?;
    if operation == HVMOP_GET_PARAM {
        op.value = param.load(Ordering::Relaxed);
        call.write(call.args[1], &op)?;
    } else if others && domain.id() == call.me() {
        return Err(Errno::EPERM);
    } else if !others && !call.hypervisor.arch.set_event_vector(domain.arch(), None, op.value) {
        return Err(Errno::EINVAL);
    } else {
        param.store(op.value, Ordering::Relaxed);
    }
    DONE
}

/// The caller says by which vector events interrupt one of its vCPUs. One whose interrupt is up already is told again: it
/// had no way of hearing it.
#[inline(never)]
fn set_vector<A: Arch>(call: &mut Call<'_, '_, A>) -> Result<Answer, Errno> {
    let op: EvtchnUpcallVector = call.read(call.args[1])?;
    let domain = call.current.domain;
    let vcpu = domain.vcpu(op.vcpu).and_then(|id| call.hypervisor.vcpu(id)).ok_or(Errno::ENOENT)?;
    if !call.hypervisor.arch.set_event_vector(domain.arch(), Some(op.vcpu), op.vector.into()) {
        return Err(Errno::EINVAL);
    }
    if vcpu.id() == call.current.vcpu.id() {
        call.hypervisor.raise(call.local, vcpu);
    } else {
        vcpu.raised.store(true, Ordering::Release);
        call.hypervisor.wake_elsewhere(vcpu);
    }
    DONE
}
