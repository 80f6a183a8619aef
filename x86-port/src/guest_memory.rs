//! Reading and writing a guest's memory by the addresses that it passes in hypercalls.
//!
//! An address is an allegation. It is translated through the guest's own tables with the guest's rights ([`crate::walk`]),
//! then through our second stage; what comes out must lie in memory that we gave to this very domain. Only then it is
//! touched.

use core::arch::asm;
use core::ptr;

use hyp_core::arch::{BadAddress, Page};

use crate::domain::X86Domain;
use crate::layout::{self, PAGE_SIZE};
use crate::walk::Paging;

/// Reads an entry of the guest's tables, `size` bytes (4 or 8), aligned.
fn entry(domain: &X86Domain, guest: u64, size: u64) -> Result<u64, BadAddress> {
    let (va, _) = domain.resolve(guest)?;
    if size == 8 {
        // SAFETY: `va` is memory of this domain, mapped and aligned to as many bytes as the walk's entries are.
        Ok(unsafe { ptr::read_volatile(va as *const u64) })
    } else {
        // SAFETY: as above.
        Ok(u64::from(unsafe { ptr::read_volatile(va as *const u32) }))
    }
}

/// The guest-physical address behind a virtual one.
fn translate(domain: &X86Domain, paging: &Paging, address: u64, write: bool) -> Result<u64, BadAddress> {
    paging.translate(address, write, |guest, size| entry(domain, guest, size))
}

/// The guest frame behind a virtual address that the guest can write.
pub(crate) fn frame(domain: &X86Domain, paging: &Paging, address: u64) -> Result<u64, BadAddress> {
    translate(domain, paging, address, true).map(|guest| guest / PAGE_SIZE)
}

/// The hypervisor's address of a range of the guest's address space that lies in one page.
fn place(domain: &X86Domain, paging: &Paging, address: u64, write: bool) -> Result<u64, BadAddress> {
    let (va, writable) = domain.resolve(translate(domain, paging, address, write)?)?;
    if writable || !write { Ok(va) } else { Err(BadAddress) }
}

/// Calls `copy` with the hypervisor's address, the offset so far and the length of each piece that lies in one page. The
/// whole range is checked before the first call.
fn each_piece(
    (domain, paging): (&X86Domain, &Paging),
    address: u64,
    length: usize,
    write: bool,
    mut copy: impl FnMut(u64, usize, usize),
) -> Result<(), BadAddress> {
    if length as u64 > PAGE_SIZE || address.checked_add(length as u64).is_none() {
        return Err(BadAddress);
    }
    // At most one page long, so at most two pages are touched.
    let first = length.min((PAGE_SIZE - address % PAGE_SIZE) as usize);
    let start = if length == 0 { return Ok(()) } else { place(domain, paging, address, write)? };
    if first < length {
        let rest = place(domain, paging, address + first as u64, write)?;
        copy(start, 0, first);
        copy(rest, first, length - first);
    } else {
        copy(start, 0, length);
    }
    Ok(())
}

/// Copies at most a page out of the guest's address space.
pub(crate) fn read(domain: &X86Domain, paging: &Paging, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
    let (length, to) = (to.len(), to.as_mut_ptr());
    each_piece((domain, paging), from, length, false, |va, offset, size| {
        // SAFETY: `va` is memory of this domain, mapped and inside one page for `size` bytes; `to` has room for
        // `offset + size <= length` bytes. A guest that changes the bytes meanwhile changes only what it passed.
        unsafe { ptr::copy_nonoverlapping(va as *const u8, to.wrapping_add(offset), size) }
    })
}

/// Copies at most a page into the guest's address space.
pub(crate) fn write(domain: &X86Domain, paging: &Paging, to: u64, from: &[u8]) -> Result<(), BadAddress> {
    let (length, from) = (from.len(), from.as_ptr());
    each_piece((domain, paging), to, length, true, |va, offset, size| {
        // SAFETY: as in `read`, with the directions changed.
        unsafe { ptr::copy_nonoverlapping(from.wrapping_add(offset), va as *mut u8, size) }
    })
}

/// Copies between physical ranges of RAM that do not overlap.
pub(crate) fn load(from: u64, to: u64, size: u64) {
    // SAFETY: the caller took both ranges from the boot plan, which gave them to one module and to one domain that
    // does not run. The direction flag is clear.
    unsafe {
        asm!("rep movsb", inout("rcx") size => _, inout("rsi") layout::va(from) => _, inout("rdi") layout::va(to) => _,
            options(nostack, preserves_flags));
    }
}

/// Fills a physical range of RAM with zeros.
pub(crate) fn clear(to: u64, size: u64) {
    // SAFETY: as in `load`.
    unsafe {
        asm!("rep stosb", inout("rcx") size => _, in("al") 0u8, inout("rdi") layout::va(to) => _,
            options(nostack, preserves_flags));
    }
}

/// Fills a page of a guest's RAM by what `byte` says of each offset.
pub(crate) fn fill(page: &Page, byte: impl Fn(usize) -> u8) {
    for (number, word) in page.iter().enumerate() {
        let bytes = core::array::from_fn(|at| byte(number * 8 + at));
        word.store(u64::from_le_bytes(bytes), core::sync::atomic::Ordering::Relaxed);
    }
}

/// Copies between places in pages of domains' RAM, which may be the same page: the direct map's addresses.
pub(crate) fn copy(from: &Page, from_offset: u16, to: &Page, to_offset: u16, length: u16) {
    let fits = |offset: u16| u64::from(offset) + u64::from(length) <= PAGE_SIZE;
    if !fits(from_offset) || !fits(to_offset) {
        return;
    }
    let from = from.as_ptr().cast::<u8>().wrapping_add(from_offset.into());
    let to = to.as_ptr().cast::<u8>().wrapping_add(to_offset.into()).cast_mut();
    // SAFETY: both ranges lie inside one page of guests' RAM, as checked above, and may overlap. Pages are of atomic words,
    // so writing through the pointer is allowed. Guests that change the bytes meanwhile change only what is copied.
    unsafe { ptr::copy(from, to, length.into()) };
}
