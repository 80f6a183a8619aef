//! Grants (public/grant_table.h), and pages of RAM given up and taken back (public/memory.h).
//!
//! Enough to share pages with another bare guest, to measure what that costs, and to misuse it. A guest of ours runs on
//! an identity map, so that a guest frame is an address / 4096; what appears there is read and written by [`peek`] and
//! [`poke`], since no Rust object lives there.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::grant_table::{
    self as abi, Copy, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING, MapGrantRef, UnmapGrantRef,
};
use xen_abi::hypercall::{GRANT_TABLE_OP, MEMORY_OP};
use xen_abi::memory::{self, AddToPhysmap, MemoryReservation, RemoveFromPhysmap};

use crate::hypercall::{call, operate};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// A page of its own, which the hypervisor replaces by the first page of the grant table.
#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

static TABLE: Page = Page([const { AtomicU64::new(0) }; 512]);

/// Have the first page of the grant table mapped.
pub fn connect() -> Result<(), Errno> {
    add_to_physmap(memory::XENMAPSPACE_GRANT_TABLE, 0, &raw const TABLE as u64 >> 12)
}

/// `XENMEM_add_to_physmap`.
pub fn add_to_physmap(space: u32, index: u64, frame: u64) -> Result<(), Errno> {
    let mut argument = AddToPhysmap { domid: DOMID_SELF, size: 0, space, idx: index, gpfn: frame };
    operate(MEMORY_OP, memory::XENMEM_ADD_TO_PHYSMAP, &mut argument).map(drop)
}

/// `XENMEM_remove_from_physmap`.
pub fn remove_from_physmap(frame: u64) -> Result<(), Errno> {
    let mut argument = RemoveFromPhysmap { domid: DOMID_SELF, gpfn: frame, ..Default::default() };
    operate(MEMORY_OP, memory::XENMEM_REMOVE_FROM_PHYSMAP, &mut argument).map(drop)
}

/// `XENMEM_current_reservation`: pages of RAM that we have.
pub fn pages_left() -> Result<u64, Errno> {
    operate(MEMORY_OP, memory::XENMEM_CURRENT_RESERVATION, &mut u64::from(DOMID_SELF))
}

/// An entry of the first page of the table, below 512.
pub fn entry(reference: u32) -> &'static AtomicU64 {
    &TABLE.0[(reference & 511) as usize]
}

/// Let a domain use a frame of ours.
pub fn grant(reference: u32, to: u16, frame: u64, read_only: bool) {
    let flags = if read_only { GTF_PERMIT_ACCESS | GTF_READONLY } else { GTF_PERMIT_ACCESS };
    entry(reference).store(frame << 32 | u64::from(to) << 16 | u64::from(flags), SeqCst);
}

/// Is an entry in use?
pub fn in_use(reference: u32) -> bool {
    entry(reference).load(SeqCst) & u64::from(GTF_READING | GTF_WRITING) != 0
}

fn operate_on<T>(operation: u32, array: &mut [T]) -> Result<(), Errno> {
    let arguments = [u64::from(operation), array.as_mut_ptr() as u64, array.len() as u64, 0, 0];
    Errno::from_result(call(GRANT_TABLE_OP, arguments)).map_or(Ok(()), Err)
}

/// `GNTTABOP_map_grant_ref`: maps a page of another domain at an address; its status is in the answer.
pub fn map(domain: u16, reference: u32, address: u64, flags: u32) -> Result<MapGrantRef, Errno> {
    let mut argument = [MapGrantRef { host_addr: address, flags, reference, dom: domain, ..Default::default() }];
    operate_on(abi::GNTTABOP_MAP_GRANT_REF, &mut argument)?;
    let [answer] = argument;
    Ok(answer)
}

/// `GNTTABOP_unmap_grant_ref`; the status.
pub fn unmap(handle: u32, address: u64) -> Result<i16, Errno> {
    let mut argument = [UnmapGrantRef { host_addr: address, handle, ..Default::default() }];
    operate_on(abi::GNTTABOP_UNMAP_GRANT_REF, &mut argument)?;
    let [answer] = argument;
    Ok(answer.status)
}

/// `GNTTABOP_copy`; each has its status.
pub fn copy(copies: &mut [Copy]) -> Result<(), Errno> {
    operate_on(abi::GNTTABOP_COPY, copies)
}

/// Another operation on grants.
pub fn grant_table<T>(operation: u32, argument: &mut T) -> Result<(), Errno> {
    operate_on(operation, core::slice::from_mut(argument))
}

fn reserve(operation: u32, frames: &[u64], order: u32) -> u64 {
    let mut argument = MemoryReservation {
        extent_start: frames.as_ptr() as u64,
        nr_extents: frames.len() as u64,
        extent_order: order,
        domid: DOMID_SELF,
        ..Default::default()
    };
    operate(MEMORY_OP, operation, &mut argument).unwrap_or(0)
}

/// `XENMEM_decrease_reservation`: gives up extents of `1 << order` pages; how many.
pub fn give_up(frames: &[u64], order: u32) -> u64 {
    reserve(memory::XENMEM_DECREASE_RESERVATION, frames, order)
}

/// `XENMEM_populate_physmap`: takes them back; how many.
pub fn take_back(frames: &[u64], order: u32) -> u64 {
    reserve(memory::XENMEM_POPULATE_PHYSMAP, frames, order)
}

/// Read a word of RAM that no Rust object is in; 8-byte aligned, as for [`poke`].
pub fn peek(address: u64) -> u64 {
    // SAFETY: a load changes nothing; an address where nothing is faults and is reported.
    unsafe { (address as *const u64).read_volatile() }
}

/// Write a word of RAM that no Rust object is in: above the heap's use, or where a page of another domain is.
pub fn poke(address: u64, value: u64) {
    // SAFETY: callers pass addresses of pages that they have given up, mapped or granted, where no Rust object lives.
    unsafe { (address as *mut u64).write_volatile(value) };
}
