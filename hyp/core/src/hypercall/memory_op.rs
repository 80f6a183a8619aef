//! `memory_op` (`public/memory.h`): what a domain has in its physical address space.
//!
//! A domain gives up pages of its RAM and gets the same ones back at the same guest frames. There is nothing else to be
//! had: the memory of a domain is fixed at boot. Where Xen would find more memory for a frame, the call ends there, and
//! its result says how far it came, as Xen's does when memory runs out.
//!
//! Long lists are done in pieces. As in Xen, the first argument keeps above the operation how far the call has come.

use xen_abi::errno::Errno;
use xen_abi::memory::{
    AddToPhysmap, AddToPhysmapBatch, MemoryReservation, RemoveFromPhysmap, XENMAPSPACE_DEV_MMIO,
    XENMAPSPACE_GMFN_FOREIGN, XENMAPSPACE_GRANT_TABLE, XENMAPSPACE_SHARED_INFO, XENMEM_ACQUIRE_RESOURCE,
    XENMEM_ADD_TO_PHYSMAP, XENMEM_ADD_TO_PHYSMAP_BATCH, XENMEM_CLAIM_PAGES, XENMEM_CURRENT_RESERVATION,
    XENMEM_DECREASE_RESERVATION, XENMEM_EXCHANGE, XENMEM_INCREASE_RESERVATION, XENMEM_MAXIMUM_GPFN,
    XENMEM_MAXIMUM_RAM_PAGE, XENMEM_MAXIMUM_RESERVATION, XENMEM_POPULATE_PHYSMAP, XENMEM_REMOVE_FROM_PHYSMAP,
};

use super::{Answer, Call, DONE};
use crate::arch::{Arch, MapError};
use crate::policy::{self, Decision, Rights};

/// Bits of the first argument that hold the operation (`MEMOP_EXTENT_SHIFT` of Xen).
const OPERATION_BITS: u32 = 6;
/// Pages, or blocks of 512, that are changed in one go.
const BUDGET: u32 = 16;
/// Largest extent that Xen gives a guest without devices, as a power of two.
const LARGEST_ORDER: u32 = 9;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    let operation = call.operation() & ((1 << OPERATION_BITS) - 1);
    match operation {
        XENMEM_DECREASE_RESERVATION | XENMEM_POPULATE_PHYSMAP => {
            Ok(reserve(call, operation == XENMEM_DECREASE_RESERVATION))
        }
        _ => rare(call, decision, operation),
    }
}

#[inline(never)]
fn rare<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision, operation: u32) -> Result<Answer, Errno> {
    match operation {
        // Pages without a frame, of which there are none.
        XENMEM_INCREASE_RESERVATION => Ok(Answer::Value(call.args[0] >> OPERATION_BITS)),
        XENMEM_CURRENT_RESERVATION | XENMEM_MAXIMUM_RESERVATION | XENMEM_MAXIMUM_GPFN => {
            let domid: u16 = call.read(call.args[1])?;
            call.only_me(domid)?;
            let ram = call.hypervisor.arch.ram_size(call.current.domain.arch());
            Ok(Answer::Value(match operation {
                XENMEM_CURRENT_RESERVATION => ram.pages.saturating_sub(ram.given_up),
                XENMEM_MAXIMUM_RESERVATION => ram.pages,
                _ => ram.last_frame,
            }))
        }
        // The machine's; what a domain may know of it is its own.
        XENMEM_MAXIMUM_RAM_PAGE => {
            let ram = call.hypervisor.arch.ram_size(call.current.domain.arch());
            Ok(Answer::Value(ram.last_frame.saturating_add(1)))
        }
        XENMEM_ADD_TO_PHYSMAP => {
            let op: AddToPhysmap = call.read(call.args[1])?;
            call.only_me(op.domid)?;
            add(call, decision, op.space, op.idx, op.gpfn)?;
            DONE
        }
        XENMEM_ADD_TO_PHYSMAP_BATCH => add_batch(call),
        XENMEM_REMOVE_FROM_PHYSMAP => {
            let op: RemoveFromPhysmap = call.read(call.args[1])?;
            call.only_me(op.domid)?;
            match call.hypervisor.arch.unmap(call.current.domain.arch(), op.gpfn) {
                Ok(()) => DONE,
                Err(MapError::NoTables) => Err(Errno::ENOMEM),
                Err(MapError::Bad(_)) => Err(Errno::ENOENT),
            }
        }
        XENMEM_EXCHANGE => Err(Errno::EOPNOTSUPP),
        XENMEM_CLAIM_PAGES | XENMEM_ACQUIRE_RESOURCE => Err(Errno::EPERM),
        _ => Err(Errno::ENOSYS),
    }
}

/// Gives up pages, or takes them back, up to the first that cannot be had. The result is the number of whole extents,
/// also when something is wrong with the call.
fn reserve<A: Arch>(call: &mut Call<'_, '_, A>, give_up: bool) -> Answer {
    // Pages rather than extents, so that a large extent can be done in pieces, too.
    let mut page = call.args[0] >> OPERATION_BITS;
    let Ok(op) = call.read::<MemoryReservation>(call.args[1]) else { return Answer::Value(page) };
    let order = op.extent_order;
    if order > LARGEST_ORDER || call.only_me(op.domid).is_err() || op.nr_extents > u64::MAX >> 16 {
        return Answer::Value(page);
    }
    let (hypervisor, domain) = (call.hypervisor, call.current.domain);
    let size = 1u64 << order;
    let end = op.nr_extents << order;
    let mut budget = BUDGET;
    while page < end {
        if budget == 0 {
            let operation = call.args[0] & ((1 << OPERATION_BITS) - 1);
            call.move_on(0, page << OPERATION_BITS | operation);
            return Answer::Repeat;
        }
        budget = budget.saturating_sub(1);
        let at = op.extent_start.wrapping_add((page >> order).wrapping_mul(8));
        let Ok(first) = call.read::<u64>(at) else { break };
        let offset = page & (size - 1);
        let (frame, left) = (first.saturating_add(offset), size.saturating_sub(offset));
        let changed = if give_up {
            hypervisor.arch.give_up_ram(domain.arch(), frame, left)
        } else {
            hypervisor.arch.take_back_ram(domain.arch(), frame, left)
        };
        let Ok(pages) = changed else { break };
        page = page.saturating_add(pages.max(1));
    }
    Answer::Value(page >> order)
}

/// Lets something of the hypervisor's appear at a guest frame.
fn add<A: Arch>(call: &Call<'_, '_, A>, decision: Decision, space: u32, index: u64, frame: u64) -> Result<(), Errno> {
    let (hypervisor, domain) = (call.hypervisor, call.current.domain);
    let added = match space {
        XENMAPSPACE_SHARED_INFO if index == 0 => hypervisor.arch.map_shared_info(domain.arch(), frame),
        XENMAPSPACE_GRANT_TABLE
            if hypervisor.grow_grants(&call.local.held, decision, domain.id(), index.saturating_add(1)) =>
        {
            hypervisor.arch.map_grant_table(domain.arch(), index, frame)
        }
        XENMAPSPACE_SHARED_INFO | XENMAPSPACE_GRANT_TABLE => return Err(Errno::EINVAL),
        XENMAPSPACE_DEV_MMIO => return Err(Errno::EACCES),
        _ => return Err(Errno::ENOSYS),
    };
    added.map_err(|error| match error {
        MapError::NoTables => Errno::ENOMEM,
        MapError::Bad(_) => Errno::EINVAL,
    })
}

/// The same for a list; each element has its own error.
#[inline(never)]
fn add_batch<A: Arch>(call: &mut Call<'_, '_, A>) -> Result<Answer, Errno> {
    let start = call.args[0] >> OPERATION_BITS;
    let op: AddToPhysmapBatch = call.read(call.args[1])?;
    call.only_me(op.domid)?;
    if u32::from(op.space) == XENMAPSPACE_DEV_MMIO {
        return Err(Errno::EACCES);
    }
    for at in start..u64::from(op.size) {
        if at.saturating_sub(start) == u64::from(BUDGET) {
            let operation = call.args[0] & ((1 << OPERATION_BITS) - 1);
            call.move_on(0, at << OPERATION_BITS | operation);
            return Ok(Answer::Repeat);
        }
        let index: u64 = call.read(op.idxs.wrapping_add(at.wrapping_mul(8)))?;
        let frame: u64 = call.read(op.gpfns.wrapping_add(at.wrapping_mul(8)))?;
        let added = if u32::from(op.space) == XENMAPSPACE_GMFN_FOREIGN {
            // For who builds domains only.
            call.any_domain(op.foreign_domid).and(Err(Errno::EPERM))
        } else {
            policy::check(call.current.domain.rights, Rights::MEMORY)
                .and_then(|decision| add(call, decision, op.space.into(), index, frame))
        };
        let error = added.map_or_else(|errno| -(errno.number() as i32), |()| 0);
        call.write(op.errs.wrapping_add(at.wrapping_mul(4)), &error)?;
    }
    DONE
}
