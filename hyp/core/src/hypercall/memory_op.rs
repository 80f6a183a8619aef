//! `memory_op`: so far only where pages of the hypervisor appear (`public/memory.h`).

use xen_abi::errno::Errno;
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_GRANT_TABLE, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::limits::GRANT_FRAMES;
use crate::policy::Decision;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    if call.operation() != XENMEM_ADD_TO_PHYSMAP {
        return Err(Errno::ENOSYS);
    }
    let op: AddToPhysmap = call.read(call.args[1])?;
    call.only_me(op.domid)?;
    match op.space {
        XENMAPSPACE_SHARED_INFO if op.idx == 0 => {
            let domain = call.current.domain;
            call.hypervisor.arch.map_shared_info(domain.arch(), op.gpfn).map_err(|_| Errno::EINVAL)?;
            DONE
        }
        XENMAPSPACE_GRANT_TABLE if op.idx < GRANT_FRAMES as u64 => {
            let domain = call.current.domain;
            call.hypervisor.arch.map_grant_table(domain.arch(), op.idx, op.gpfn).map_err(|_| Errno::EINVAL)?;
            DONE
        }
        XENMAPSPACE_SHARED_INFO | XENMAPSPACE_GRANT_TABLE => Err(Errno::EINVAL),
        _ => Err(Errno::ENOSYS),
    }
}
