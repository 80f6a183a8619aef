//! Reading and writing a guest's memory by the addresses that it passes in hypercalls.
//!
//! An address is an allegation. It is translated through the guest's own tables with the guest's rights ([`crate::walk`]),
//! then through our second stage; what comes out must lie in memory that we gave to this very domain. Only then it is
//! touched.

use core::arch::asm;
use core::ptr;
use core::slice;
use core::sync::atomic::AtomicU64;

use hyp_core::arch::{BadAddress, Page};

use crate::domain::X86Domain;
use crate::guest_cpu::Virtualization;
use crate::layout::{self, PAGE_SIZE};
use crate::nested::recent::Recent;
use crate::tlb::GENERATIONS;
use crate::vcpu::X86Vcpu;
use crate::walk::Paging;

/// Set in a page's address where the guest may write.
const WRITABLE: u64 = 1;

/// The address space of a vCPU that is loaded on this CPU.
struct View<'v> {
    domain: &'v X86Domain,
    recent: &'v Recent,
    paging: Paging,
}

impl<'v> View<'v> {
    #[inline(always)]
    fn of(domain: &'v X86Domain, vcpu: &'v X86Vcpu) -> Self {
        vcpu.recent.keep_up(GENERATIONS.of(domain.number));
        Self { domain, recent: &vcpu.recent, paging: vcpu.processor.paging() }
    }

    /// The hypervisor's address of the page of a guest-physical address, and [`WRITABLE`].
    #[inline(always)]
    fn page(&self, guest: u64) -> Result<u64, BadAddress> {
        let frame = guest / PAGE_SIZE;
        self.recent.find(frame).ok_or(BadAddress).or_else(|BadAddress| self.other_page(frame))
    }

    #[inline(never)]
    fn other_page(&self, frame: u64) -> Result<u64, BadAddress> {
        let (va, writable) = self.domain.resolve(frame * PAGE_SIZE)?;
        let page = va | if writable { WRITABLE } else { 0 };
        self.recent.note(frame, page);
        Ok(page)
    }

    /// Reads an entry of the guest's tables, `size` bytes (4 or 8), aligned.
    #[inline(always)]
    fn entry(&self, guest: u64, size: u64) -> Result<u64, BadAddress> {
        let va = (self.page(guest)? & !WRITABLE) + guest % PAGE_SIZE;
        if size == 8 {
            // SAFETY: `va` is memory of this domain, mapped and aligned to as many bytes as the walk's entries are.
            Ok(unsafe { ptr::read_volatile(va as *const u64) })
        } else {
            // SAFETY: as above.
            Ok(u64::from(unsafe { ptr::read_volatile(va as *const u32) }))
        }
    }

    /// The guest-physical address behind a virtual one.
    #[inline(always)]
    fn translate(&self, address: u64, write: bool) -> Result<u64, BadAddress> {
        self.paging.translate(address, write, |guest, size| self.entry(guest, size))
    }

    /// The hypervisor's address of a range of the guest's address space that lies in one page.
    #[inline(never)]
    fn place(&self, address: u64, write: bool) -> Result<u64, BadAddress> {
        let guest = self.translate(address, write)?;
        let page = self.page(guest)?;
        if write && page & WRITABLE == 0 { Err(BadAddress) } else { Ok((page & !WRITABLE) + guest % PAGE_SIZE) }
    }
}

/// The guest frame behind a virtual address that the guest can write.
pub(crate) fn frame(domain: &X86Domain, vcpu: &X86Vcpu, address: u64) -> Result<u64, BadAddress> {
    View::of(domain, vcpu).translate(address, true).map(|guest| guest / PAGE_SIZE)
}

/// Words of memory that is the domain's own, where they are aligned, in one page, and the guest could write them itself.
#[inline(always)]
pub(crate) fn words<'d>(domain: &'d X86Domain, vcpu: &X86Vcpu, at: u64, count: usize) -> Option<&'d [AtomicU64]> {
    const WORD: u64 = size_of::<u64>() as u64;
    if !at.is_multiple_of(WORD) || at % PAGE_SIZE > PAGE_SIZE.wrapping_sub(count as u64 * WORD) {
        return None;
    }
    let va = View::of(domain, vcpu).place(at, true).ok()?;
    // SAFETY: `va` is memory of this domain, which stays mapped in the direct map for good, aligned as the guest's address
    // is, and so are the words behind it in the same page. All accesses through the reference are atomic.
    Some(unsafe { slice::from_raw_parts(va as *const AtomicU64, count) })
}

/// Calls `copy` with the hypervisor's address, the offset so far and the length of each piece that lies in one page. The
/// whole range is checked before the first call.
fn each_piece(
    view: &View<'_>,
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
    let start = if length == 0 { return Ok(()) } else { view.place(address, write)? };
    if first < length {
        let rest = view.place(address + first as u64, write)?;
        copy(start, 0, first);
        copy(rest, first, length - first);
    } else {
        copy(start, 0, length);
    }
    Ok(())
}

/// Copies at most a page out of the guest's address space. A single aligned word, which is what the most frequent calls
/// pass, takes a short way.
#[inline(always)]
pub(crate) fn read(domain: &X86Domain, vcpu: &X86Vcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
    const WORD: usize = size_of::<u32>();
    match <&mut [u8; WORD]>::try_from(&mut *to) {
        Ok(word) if from.is_multiple_of(WORD as u64) => {
            let va = View::of(domain, vcpu).place(from, false)?;
            // SAFETY: `va` is memory of this domain, mapped and aligned to four bytes as the guest's address is. A guest
            // that changes the word meanwhile changes only what it passed.
            *word = unsafe { ptr::read_volatile(va as *const u32) }.to_le_bytes();
            Ok(())
        }
        _ => read_bytes(domain, vcpu, from, to),
    }
}

#[inline(never)]
fn read_bytes(domain: &X86Domain, vcpu: &X86Vcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
    let (length, to) = (to.len(), to.as_mut_ptr());
    each_piece(&View::of(domain, vcpu), from, length, false, |va, offset, size| {
        // SAFETY: `va` is memory of this domain, mapped and inside one page for `size` bytes; `to` has room for
        // `offset + size <= length` bytes. A guest that changes the bytes meanwhile changes only what it passed.
        unsafe { ptr::copy_nonoverlapping(va as *const u8, to.wrapping_add(offset), size) }
    })
}

/// Copies at most a page into the guest's address space.
pub(crate) fn write(domain: &X86Domain, vcpu: &X86Vcpu, to: u64, from: &[u8]) -> Result<(), BadAddress> {
    let (length, from) = (from.len(), from.as_ptr());
    each_piece(&View::of(domain, vcpu), to, length, true, |va, offset, size| {
        // SAFETY: as in `read_bytes`, with the directions changed.
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
