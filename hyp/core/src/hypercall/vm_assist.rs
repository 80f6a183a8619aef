//! `vm_assist`: small behaviours that a guest switches on (`public/xen.h`). On ARM there is one.

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::vm_assist::{VMASST_CMD_DISABLE, VMASST_CMD_ENABLE, VMASST_TYPE_RUNSTATE_UPDATE_FLAG};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::policy::Decision;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    // The type is checked first, as Xen does.
    if call.args[1] as u32 != VMASST_TYPE_RUNSTATE_UPDATE_FLAG {
        return Err(Errno::EINVAL);
    }
    let on = match call.operation() {
        VMASST_CMD_ENABLE => true,
        VMASST_CMD_DISABLE => false,
        _ => return Err(Errno::ENOSYS),
    };
    call.current.domain.marks_runstate.store(on, Ordering::Relaxed);
    DONE
}
