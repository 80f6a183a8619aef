//! `grant_table_op` (`public/grant_table.h`), with entries of version 1.
//!
//! The operations on pages come in arrays. Each element has its own status, so that one that fails leaves the others
//! alone; after [`BUDGET`] of them the caller makes the call again for the rest, with its arguments moved on.

use core::sync::atomic::{AtomicU64, Ordering};

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
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::domain::{Domain, DomainId};
use crate::grant::pins::Access;
use crate::grant::sharing::End;
use crate::limits::GRANT_FRAMES;
use crate::policy::{Decision, Rights, check, check_frames, check_peers};

/// The only layout of entries there is.
const VERSION: u32 = 1;
/// Elements of an array that are done in one go.
const BUDGET: u32 = 6;
const PAGE_SIZE: u64 = 4096;
/// What a frame list says of a frame that is mapped nowhere (`INVALID_GFN`).
const NOWHERE: u64 = u64::MAX;

#[inline(never)]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    match call.args[0] as u32 {
        GNTTABOP_MAP_GRANT_REF => each_in_place::<A, MapGrantRef, 4>(call),
        GNTTABOP_UNMAP_GRANT_REF => each_in_place::<A, UnmapGrantRef, 3>(call),
        _ => rare(call, decision),
    }
}

#[inline(never)]
fn rare<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    let [operation, at, count, ..] = call.args;
    match operation as u32 {
        GNTTABOP_COPY => each(call, size_of::<Copy>(), perform::<A, Copy>),
        GNTTABOP_UNMAP_AND_REPLACE => each(call, size_of::<UnmapAndReplace>(), perform::<A, UnmapAndReplace>),
        GNTTABOP_SWAP_GRANT_REF => each(call, size_of::<SwapGrantRef>(), perform::<A, SwapGrantRef>),
        GNTTABOP_CACHE_FLUSH => each(call, size_of::<CacheFlush>(), perform::<A, CacheFlush>),
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

/// An element of an operation's array.
trait Element: FromBytes + IntoBytes + KnownLayout {
    /// Does what it asks for, and notes its status.
    ///
    /// # Errors
    /// What ends the whole call.
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno>;
}

impl Element for MapGrantRef {
    #[inline(always)]
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        self.status = map(call, self).err().unwrap_or(GNTST_OKAY);
        Ok(())
    }
}

impl Element for UnmapGrantRef {
    #[inline(always)]
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        self.status = unmap(call, self.handle, self.host_addr);
        Ok(())
    }
}

impl Element for UnmapAndReplace {
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        // Another page in its place is for guests without a second stage.
        self.status = if self.new_addr == 0 { unmap(call, self.handle, self.host_addr) } else { GNTST_GENERAL_ERROR };
        Ok(())
    }
}

impl Element for Copy {
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        self.status = copy(call, self).err().unwrap_or(GNTST_OKAY);
        Ok(())
    }
}

impl Element for SwapGrantRef {
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        let domain = call.current.domain;
        let decision = check(domain.rights, Rights::MEMORY)?;
        let swapped = call.hypervisor.swap_grants(&call.local.held, decision, domain, self.ref_a, self.ref_b);
        self.status = swapped.err().unwrap_or(GNTST_OKAY);
        Ok(())
    }
}

impl Element for CacheFlush {
    fn perform<A: Arch>(&mut self, call: &mut Call<'_, '_, A>) -> Result<(), Errno> {
        cache_flush(call, self)
    }
}

/// The size of the largest element, in words.
const LARGEST: usize = size_of::<Copy>() / 8;

/// [`perform`] for some element.
type Perform<A> = fn(&mut Call<'_, '_, A>, &mut [u8]) -> Result<(), Errno>;

/// [`Element::perform`], given the bytes: as many as an element has, and aligned to words.
#[inline(always)]
fn perform<A: Arch, T: Element>(call: &mut Call<'_, '_, A>, bytes: &mut [u8]) -> Result<(), Errno> {
    T::mut_from_bytes(bytes).map_err(|_| Errno::EFAULT)?.perform(call)
}

/// Does each element, of so many bytes, of the caller's array.
#[inline(never)]
fn each<A: Arch>(call: &mut Call<'_, '_, A>, size: usize, perform: Perform<A>) -> Result<Answer, Errno> {
    let [_, mut at, count, ..] = call.args;
    for _ in 0..(count as u32).min(BUDGET) {
        by_copy(call, at, size, perform)?;
        at = at.wrapping_add(size as u64);
    }
    Ok(rest(call, at, count as u32))
}

#[inline(never)]
fn by_copy<A: Arch>(call: &mut Call<'_, '_, A>, at: u64, size: usize, perform: Perform<A>) -> Result<(), Errno> {
    let mut element = [0u64; LARGEST];
    let bytes = element.as_mut_bytes().get_mut(..size).unwrap_or_default();
    call.read_bytes(at, bytes)?;
    perform(call, bytes)?;
    call.write_bytes(at, bytes)
}

/// The same for the most frequent operations: one translation reaches all of an element, for reading and for the answer,
/// nearly everywhere.
#[inline(always)]
fn each_in_place<A: Arch, T: Element, const WORDS: usize>(call: &mut Call<'_, '_, A>) -> Result<Answer, Errno> {
    const { assert!(size_of::<T>() == WORDS * size_of::<u64>()) };
    let [_, mut at, count, ..] = call.args;
    for _ in 0..(count as u32).min(BUDGET) {
        if let Some(words) = call.words::<WORDS>(at) {
            let mut element = [0u64; WORDS];
            written_out(&mut element, words, |to, from| *to = from.load(Ordering::Relaxed));
            perform::<A, T>(call, element.as_mut_bytes())?;
            written_out(&mut element, words, |from, to| to.store(*from, Ordering::Relaxed));
        } else {
            by_copy(call, at, size_of::<T>(), perform::<A, T>)?;
        }
        at = at.wrapping_add(size_of::<T>() as u64);
    }
    Ok(rest(call, at, count as u32))
}

/// Copies words, at most four, without a loop, which takes as long again.
#[inline(always)]
fn written_out<const WORDS: usize>(
    element: &mut [u64; WORDS],
    words: &[AtomicU64; WORDS],
    copy: impl Fn(&mut u64, &AtomicU64),
) {
    const { assert!(WORDS <= 4) };
    let mut word = |number: usize| {
        if let (Some(value), Some(word)) = (element.get_mut(number), words.get(number)) {
            copy(value, word);
        }
    };
    word(0);
    word(1);
    word(2);
    word(3);
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
#[inline(always)]
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
    if !granted && side.domid == DOMID_SELF {
        return Ok(End::Frame(side.u));
    }
    let number = if side.domid == DOMID_SELF { call.me().number() } else { side.domid };
    let (granter, decision) = peer(call, number)?;
    let held = &call.local.held;
    let (pin, frame) = if granted {
        call.hypervisor.pin(held, decision, granter, side.u as u32, call.me(), access)?
    } else {
        let rights = (call.current.domain.rights, granter.rights);
        let decision = check_frames(rights.0, rights.1).map_err(|_| GNTST_PERMISSION_DENIED)?;
        call.hypervisor.borrow(held, decision, granter, side.u)?
    };
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
fn cache_flush<A: Arch>(call: &Call<'_, '_, A>, op: &CacheFlush) -> Result<(), Errno> {
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
