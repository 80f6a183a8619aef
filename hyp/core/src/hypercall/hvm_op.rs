//! `hvm_op`: numbers by which a guest finds things (`public/hvm/hvm_op.h`, `public/hvm/params.h`).
//!
//! As on Xen's ARM port they are just kept. Those that the toolstack sets are the guest's to read only.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::hvm::{
    HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN,
    HVM_PARAM_STORE_PFN, HVMOP_GET_PARAM, HVMOP_SET_PARAM, HvmParam,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::policy::Decision;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let operation = call.operation();
    if !matches!(operation, HVMOP_SET_PARAM | HVMOP_GET_PARAM) {
        return Err(Errno::ENOSYS);
    }
    let mut op: HvmParam = call.read(call.args[1])?;
    // The number is checked first, as Xen does.
    let param = call.current.domain.params.get(op.index as usize).ok_or(Errno::EINVAL)?;
    call.only_me(op.domid)?;
    if operation == HVMOP_SET_PARAM {
        if op.index != HVM_PARAM_CALLBACK_IRQ {
            return Err(Errno::EPERM);
        }
        param.store(op.value, Ordering::Relaxed);
        return DONE;
    }
    let known = matches!(
        op.index,
        HVM_PARAM_CALLBACK_IRQ
            | HVM_PARAM_STORE_PFN
            | HVM_PARAM_STORE_EVTCHN
            | HVM_PARAM_CONSOLE_PFN
            | HVM_PARAM_CONSOLE_EVTCHN
    );
    if !known {
        return Err(Errno::EPERM);
    }
    op.value = param.load(Ordering::Relaxed);
    call.write(call.args[1], &op)?;
    DONE
}
