//! `grant_table_op` (`public/grant_table.h`), with entries of version 1.
//!
//! The operations on pages come in arrays. Each element has its own status, so that one that fails leaves the others
//! alone; after [`BUDGET`] of them the caller makes the call again for the rest, with its arguments moved on.

use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::grant_table::{
    CacheFlush, Copy, CopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF, GNTMAP_APPLICATION_MAP, GNTMAP_CONTAINS_PTE,
    GNTMAP_DEVICE_MAP, GNTMAP_HOST_MAP, GNTMAP_READONLY, GNTST_BAD_COPY_ARG, GNTST_BAD_DOMAIN, GNTST_BAD_GNTREF,
    GNTST_BAD_VIRT_ADDR, GNTST_GENERAL_ERROR, GNTST_OKAY, GNTST_PERMISSION_DENIED, GNTTAB_CACHE_CLEAN,
    GNTTAB_CACHE_INVAL, GNTTAB_CACHE_SOURCE_GREF, GNTTABOP_CACHE_FLUSH, GNTTABOP_COPY, GNTTABOP_GET_STATUS_FRAMES,
    GNTTABOP_GET_VERSION, GNTTABOP_MAP_GRANT_REF, GNTTABOP_QUERY_SIZE, GNTTABOP_SET_VERSION, GNTTABOP_SETUP_TABLE,
    GNTTABOP_SWAP_GRANT_REF, GNTTABOP_TRANSFER, GNTTABOP_UNMAP_AND_REPLACE, GNTTABOP_UNMAP_GRANT_REF, GetStatusFrames,
    GetVersion, MapGrantRef, QuerySize, SetupTable, SwapGrantRef, UnmapAndReplace, UnmapGrantRef, Version,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::domain::{Domain, DomainId};
use crate::grant::pins::Access;
use crate::grant::sharing::End;
use crate::limits::GRANT_FRAMES;
use crate::policy::{Decision, Rights, check, check_peers};

/// The only layout of entries there is.
const VERSION: u32 = 1;
/// Elements of an array that are done in one go.
const BUDGET: u32 = 8;
const PAGE_SIZE: u64 = 4096;
/// What a frame list says of a frame that is mapped nowhere (`INVALID_GFN`).
const NOWHERE: u64 = u64::MAX;

#[inline(never)]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    match call.args[0] as u32 {
        GNTTABOP_MAP_GRANT_REF => each::<A, MapGrantRef>(call, |call, op| {
            op.status = map(call, op).err().unwrap_or(GNTST_OKAY);
            Ok(())
        }),
        GNTTABOP_UNMAP_GRANT_REF => each::<A, UnmapGrantRef>(call, |call, op| {
            op.status = unmap(call, op.handle, op.host_addr);
            Ok(())
        }),
        _ => rare(call, decision),
    }
}

#[inline(never)]
fn rare<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    let [operation, at, count, ..] = call.args;
    match operation as u32 {
        GNTTABOP_COPY => each::<A, Copy>(call, |call, op| {
            op.status = copy(call, op).err().unwrap_or(GNTST_OKAY);
            Ok(())
        }),
        GNTTABOP_UNMAP_AND_REPLACE => each::<A, UnmapAndReplace>(call, |call, op| {
            // Another page in its place is for guests without a second stage.
            op.status = if op.new_addr == 0 { unmap(call, op.handle, op.host_addr) } else { GNTST_GENERAL_ERROR };
            Ok(())
        }),
        GNTTABOP_SWAP_GRANT_REF => each::<A, SwapGrantRef>(call, |call, op| {
            let decision = check(call.current.domain.rights, Rights::MEMORY)?;
            let domain = call.current.domain;
            let swapped = call.hypervisor.swap_grants(&call.local.held, decision, domain, op.ref_a, op.ref_b);
            op.status = swapped.err().unwrap_or(GNTST_OKAY);
            Ok(())
        }),
        GNTTABOP_CACHE_FLUSH => each::<A, CacheFlush>(call, |call, op| cache_flush(call, op)),
        // Nobody takes pages for good.
        GNTTABOP_TRANSFER => Err(Errno::EOPNOTSUPP),
        GNTTABOP_SETUP_TABLE | GNTTABOP_QUERY_SIZE | GNTTABOP_SET_VERSION | GNTTABOP_GET_STATUS_FRAMES
            if count as u32 != 1 =>
        {
            Err(Errno::EINVAL)
        }
        GNTTABOP_SETUP_TABLE => setup_table(call, decision, at),
        GNTTABOP_QUERY_SIZE => {
            let mut op: QuerySize = call.read(at)?;
            op.status = if call.only_me(op.dom).is_ok() { GNTST_OKAY } else { GNTST_BAD_DOMAIN };
            if op.status == GNTST_OKAY {
                let frames = call.hypervisor.grant_frames(&call.local.held, call.me());
                (op.nr_frames, op.max_nr_frames) = (frames.into(), GRANT_FRAMES as u32);
            }
            call.write(at, &op)?;
            DONE
        }
        GNTTABOP_SET_VERSION => {
            let op: Version = call.read(at)?;
            call.write(at, &Version { version: VERSION })?;
            match op.version {
                VERSION => DONE,
                // Linux asks for it first, and stays at 1.
                2 => Err(Errno::ENOSYS),
                _ => Err(Errno::EINVAL),
            }
        }
        GNTTABOP_GET_STATUS_FRAMES => {
            let mut op: GetStatusFrames = call.read(at)?;
            // Only tables of version 2 have them.
            op.status = GNTST_GENERAL_ERROR;
            call.write(at, &op)?;
            DONE
        }
        GNTTABOP_GET_VERSION => {
            let mut op: GetVersion = call.read(at)?;
            call.only_me(op.dom)?;
            op.version = VERSION;
            call.write(at, &op)?;
            DONE
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The size of the largest element, in words.
const LARGEST: usize = size_of::<Copy>() / 8;

/// Does each element of the caller's array.
#[inline(always)]
fn each<A: Arch, T: FromBytes + IntoBytes + Immutable + KnownLayout>(
    call: &mut Call<'_, '_, A>,
    one: fn(&mut Call<'_, '_, A>, &mut T) -> Result<(), Errno>,
) -> Result<Answer, Errno> {
    let [_, mut at, count, ..] = call.args;
    let mut element = [0u64; LARGEST];
    for _ in 0..(count as u32).min(BUDGET) {
        let bytes = element.as_mut_bytes().get_mut(..size_of::<T>()).unwrap_or_default();
        fetch(call, at, bytes)?;
        // It has the size, and words are aligned for all of them.
        let Ok(op) = T::mut_from_bytes(bytes) else { return Err(Errno::EFAULT) };
        one(call, op)?;
        store(call, at, op.as_bytes())?;
        at = at.wrapping_add(size_of::<T>() as u64);
    }
    Ok(rest(call, at, count as u32))
}

#[inline(never)]
fn fetch<A: Arch>(call: &Call<'_, '_, A>, from: u64, to: &mut [u8]) -> Result<(), Errno> {
    call.read_bytes(from, to)
}

#[inline(never)]
fn store<A: Arch>(call: &Call<'_, '_, A>, to: u64, from: &[u8]) -> Result<(), Errno> {
    call.write_bytes(to, from)
}

/// An array of `count` is done up to here, or up to the [`BUDGET`]; then the caller is to make the call for the rest.
fn rest<A: Arch>(call: &mut Call<'_, '_, A>, at: u64, count: u32) -> Answer {
    let left = count.saturating_sub(BUDGET);
    if left == 0 {
        return Answer::Value(0);
    }
    call.move_on(1, at);
    call.move_on(2, left.into());
    Answer::Repeat
}

/// Another domain, by its number, if the policy lets the caller use its pages. A domain may use its own.
fn peer<'h, A: Arch>(call: &Call<'_, 'h, A>, number: u16) -> Result<(&'h Domain<A>, Decision), i16> {
    let id = DomainId::from_number(number).ok_or(GNTST_BAD_DOMAIN)?;
    let peer = call.hypervisor.domain(id).ok_or(GNTST_BAD_DOMAIN)?;
    let decision = check_peers((call.me(), call.current.domain.peers), (id, peer.peers));
    Ok((peer, decision.map_err(|_| GNTST_PERMISSION_DENIED)?))
}

fn map<A: Arch>(call: &mut Call<'_, '_, A>, op: &mut MapGrantRef) -> Result<(), i16> {
    if op.flags & (GNTMAP_DEVICE_MAP | GNTMAP_HOST_MAP) == 0 {
        return Err(GNTST_BAD_GNTREF);
    }
    // The others are for guests without a second stage, and for devices that such guests drive.
    if op.flags & (GNTMAP_DEVICE_MAP | GNTMAP_APPLICATION_MAP | GNTMAP_CONTAINS_PTE) != 0
        || !op.host_addr.is_multiple_of(PAGE_SIZE)
    {
        return Err(GNTST_GENERAL_ERROR);
    }
    let (granter, decision) = peer(call, op.dom)?;
    let access = if op.flags & GNTMAP_READONLY != 0 { Access::Read } else { Access::Write };
    let (user, frame) = (call.current.domain, op.host_addr / PAGE_SIZE);
    let table = (granter, op.reference);
    op.handle = call.hypervisor.map_grant(&call.local.held, decision, user, table, frame, access)?;
    // The domain's devices, if it has any, see what it sees.
    op.dev_bus_addr = op.host_addr;
    Ok(())
}

fn unmap<A: Arch>(call: &Call<'_, '_, A>, handle: u32, host_addr: u64) -> i16 {
    if host_addr == 0 {
        // Nothing is to be unmapped; Xen calls that done.
        return GNTST_OKAY;
    }
    let (user, frame) = (call.current.domain, host_addr / PAGE_SIZE);
    call.hypervisor.unmap_grant(&call.local.held, user, handle, frame).err().unwrap_or(GNTST_OKAY)
}

fn copy<A: Arch>(call: &Call<'_, '_, A>, op: &Copy) -> Result<(), i16> {
    let leaves = |side: &CopyPtr| u64::from(side.offset).saturating_add(op.len.into()) > PAGE_SIZE;
    if leaves(&op.source) || leaves(&op.dest) {
        return Err(GNTST_BAD_COPY_ARG);
    }
    let from = begin(call, &op.source, op.flags & GNTCOPY_SOURCE_GREF != 0, Access::Read)?;
    let copied = begin(call, &op.dest, op.flags & GNTCOPY_DEST_GREF != 0, Access::Write).and_then(|to| {
        let (source, dest) = ((from, op.source.offset), (to, op.dest.offset));
        let copied = call.hypervisor.copy_grant(call.current.domain, source, dest, op.len);
        end(call, to, Access::Write);
        copied
    });
    end(call, from, Access::Read);
    copied
}

/// Begins the use of one side of a copy.
fn begin<A: Arch>(call: &Call<'_, '_, A>, side: &CopyPtr, granted: bool, access: Access) -> Result<End, i16> {
    if !granted {
        let own = side.domid == DOMID_SELF;
        return if own { Ok(End::Frame(side.u)) } else { Err(GNTST_PERMISSION_DENIED) };
    }
    let number = if side.domid == DOMID_SELF { call.me().number() } else { side.domid };
    let (granter, decision) = peer(call, number)?;
    let held = &call.local.held;
    let (pin, frame) = call.hypervisor.pin(held, decision, granter, side.u as u32, call.me(), access)?;
    Ok(End::Pin(granter.id(), pin, frame))
}

fn end<A: Arch>(call: &Call<'_, '_, A>, end: End, access: Access) {
    if let End::Pin(granter, pin, _) = end {
        call.hypervisor.unpin(&call.local.held, granter, pin, access);
    }
}

#[inline(never)]
fn setup_table<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision, at: u64) -> Result<Answer, Errno> {
    let mut op: SetupTable = call.read(at)?;
    let domain = call.current.domain;
    op.status = match call.only_me(op.dom) {
        Err(Errno::ESRCH) => GNTST_BAD_DOMAIN,
        Err(_) => GNTST_PERMISSION_DENIED,
        Ok(me) if call.hypervisor.grow_grants(&call.local.held, decision, me, op.nr_frames.into()) => GNTST_OKAY,
        Ok(_) => GNTST_GENERAL_ERROR,
    };
    if op.status == GNTST_OKAY {
        // As many as there can be at most: it may grow no further.
        for index in 0..u64::from(op.nr_frames) {
            let frame = call.hypervisor.arch.grant_table_frame(domain.arch(), index as usize).unwrap_or(NOWHERE);
            if call.write(op.frame_list.wrapping_add(index.wrapping_mul(8)), &frame).is_err() {
                op.status = GNTST_BAD_VIRT_ADDR;
            }
        }
    }
    call.write(at, &op)?;
    DONE
}

/// A page is named by the address by which the caller's own devices would find it: guest-physical, its own or one that it
/// has mapped.
#[inline(never)]
fn cache_flush<A: Arch>(call: &mut Call<'_, '_, A>, op: &CacheFlush) -> Result<(), Errno> {
    if op.op & GNTTAB_CACHE_SOURCE_GREF != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if op.op & !(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL) != 0 {
        return Err(Errno::EINVAL);
    }
    if op.length == 0 || op.op == 0 {
        return Ok(());
    }
    if u64::from(op.offset).saturating_add(op.length.into()) > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let (domain, frame) = (call.current.domain, op.dev_bus_addr / PAGE_SIZE);
    let discard = op.op & GNTTAB_CACHE_INVAL != 0;
    let cleaned = call.hypervisor.clean_cache(&call.local.held, domain, (frame, op.offset), op.length, discard);
    cleaned.ok_or(Errno::EPERM)
}
