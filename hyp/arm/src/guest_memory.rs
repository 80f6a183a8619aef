//! Reading and writing a guest's memory by the addresses that it passes in hypercalls.
//!
//! An address is an allegation. The processor translates it through the guest's own tables and our second stage with
//! the guest's rights; what comes out must lie in memory that we gave to this very domain. Only then it is touched.

use core::arch::asm;
use core::ptr;
use core::slice;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{PAR_EL1, Readable, Writeable};
use hyp_core::arch::{BadAddress, Page};
use hyp_dev::sysreg;

use crate::domain::ArmDomain;
use crate::layout::{self, PAGE_SIZE};

/// PAR_EL1.F: the translation failed.
const FAILED: u64 = 1;
const PAR_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What is going to be done with the memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    Read,
    Write,
}

/// Translates a virtual address of the loaded vCPU at EL1 through both stages.
#[inline(always)]
fn translate(address: u64, intent: Intent) -> Result<u64, BadAddress> {
    let guests = PAR_EL1.get();
    match intent {
        // SAFETY: an address translation changes nothing but PAR_EL1, which is put back below.
        Intent::Read => unsafe { asm!("at s12e1r, {}", in(reg) address, options(nostack, preserves_flags)) },
        // SAFETY: as above.
        Intent::Write => unsafe { asm!("at s12e1w, {}", in(reg) address, options(nostack, preserves_flags)) },
    }
    barrier::isb(barrier::SY);
    let result = PAR_EL1.get();
    PAR_EL1.set(guests);
    if result & FAILED != 0 { Err(BadAddress) } else { Ok(result & PAR_ADDRESS | address & (PAGE_SIZE - 1)) }
}

/// The same when nobody is changing the second stage: an address may lead nowhere for a moment only.
#[cold]
#[inline(never)]
fn translate_again(domain: &ArmDomain, address: u64, intent: Intent) -> Result<u64, BadAddress> {
    let _unchanging = domain.stage2.lock();
    translate(address, intent)
}

/// The guest frame behind a virtual address that the loaded vCPU can write at EL1.
pub(crate) fn frame(address: u64) -> Result<u64, BadAddress> {
    let guests = PAR_EL1.get();
    // SAFETY: an address translation changes nothing but PAR_EL1, which is put back below.
    unsafe { asm!("at s1e1w, {}", in(reg) address, options(nostack, preserves_flags)) };
    barrier::isb(barrier::SY);
    let result = PAR_EL1.get();
    PAR_EL1.set(guests);
    if result & FAILED != 0 { Err(BadAddress) } else { Ok((result & PAR_ADDRESS) / PAGE_SIZE) }
}

/// The hypervisor's address of a range of the loaded vCPU's address space that lies in one page.
#[inline(always)]
fn place(domain: &ArmDomain, address: u64, intent: Intent) -> Result<u64, BadAddress> {
    let translated = translate(address, intent).or_else(|BadAddress| translate_again(domain, address, intent));
    domain.reach(translated?)
}

/// Calls `copy` with the hypervisor's address, the offset so far and the length of each piece that lies in one page. The
/// whole range is checked before the first call.
fn each_piece(
    domain: &ArmDomain,
    address: u64,
    length: usize,
    intent: Intent,
    mut copy: impl FnMut(u64, usize, usize),
) -> Result<(), BadAddress> {
    if length as u64 > PAGE_SIZE || address.checked_add(length as u64).is_none() {
        return Err(BadAddress);
    }
    // At most one page long, so at most two pages are touched.
    let first = length.min((PAGE_SIZE - address % PAGE_SIZE) as usize);
    let start = if length == 0 { return Ok(()) } else { place(domain, address, intent)? };
    if first < length {
        let rest = place(domain, address + first as u64, intent)?;
        copy(start, 0, first);
        copy(rest, first, length - first);
    } else {
        copy(start, 0, length);
    }
    Ok(())
}

/// Copies between ranges that do not overlap; structures, which are made of words, word by word.
///
/// # Safety
/// `from` is readable and `to` writable for `size` bytes.
unsafe fn copy_piece(from: *const u8, to: *mut u8, size: usize) {
    if (from as usize | to as usize | size).is_multiple_of(size_of::<u64>()) {
        let (from, to) = (from.cast::<u64>(), to.cast::<u64>());
        for word in 0..size / size_of::<u64>() {
            // SAFETY: the caller's range holds this word, aligned. Volatile, so that it is read once.
            let value = unsafe { from.wrapping_add(word).read_volatile() };
            // SAFETY: the same of the other range. Volatile, so that it stays a loop over words.
            unsafe { to.wrapping_add(word).write_volatile(value) };
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { ptr::copy_nonoverlapping(from, to, size) };
    }
}

/// Copies at most a page out of the loaded vCPU's address space. A single aligned word, which is what the most frequent
/// calls pass, takes a short way.
#[inline(always)]
pub(crate) fn read(domain: &ArmDomain, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
    const WORD: usize = size_of::<u32>();
    match <&mut [u8; WORD]>::try_from(&mut *to) {
        Ok(word) if from.is_multiple_of(WORD as u64) => {
            let va = place(domain, from, Intent::Read)?;
            // SAFETY: `va` is RAM of this domain, mapped and aligned to four bytes as the guest's address is. A guest
            // that changes the word meanwhile changes only what it passed.
            *word = unsafe { ptr::read_volatile(va as *const u32) }.to_le_bytes();
            Ok(())
        }
        _ => read_bytes(domain, from, to),
    }
}

#[inline(never)]
fn read_bytes(domain: &ArmDomain, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
    let (length, to) = (to.len(), to.as_mut_ptr());
    each_piece(domain, from, length, Intent::Read, |va, offset, size| {
        // SAFETY: `va` is RAM of this domain, mapped and inside one page for `size` bytes; `to` has room for
        // `offset + size <= length` bytes. A guest that changes the bytes meanwhile changes only what it passed.
        unsafe { copy_piece(va as *const u8, to.wrapping_add(offset), size) }
    })
}

/// The same in memory that lies elsewhere, or when nobody is changing the second stage.
#[cold]
#[inline(never)]
fn words_again(domain: &ArmDomain, at: u64, count: usize) -> Option<&[AtomicU64]> {
    let va = place(domain, at, Intent::Write).ok()?;
    // SAFETY: as in `words`, which has checked the alignment and the end.
    Some(unsafe { slice::from_raw_parts(va as *const AtomicU64, count) })
}

/// Words of memory that is the domain's own, where they are aligned, in one page, and the guest could write them itself.
#[inline(always)]
pub(crate) fn words(domain: &ArmDomain, at: u64, count: usize) -> Option<&[AtomicU64]> {
    const WORD: u64 = size_of::<u64>() as u64;
    if !at.is_multiple_of(WORD) || at % PAGE_SIZE > PAGE_SIZE.wrapping_sub(count as u64 * WORD) {
        return None;
    }
    let va = match translate(at, Intent::Write).and_then(|pa| domain.reach_in_first(pa)) {
        Ok(va) => va,
        Err(BadAddress) => return words_again(domain, at, count),
    };
    // SAFETY: `va` is memory of this domain, which stays mapped in the direct map for good, aligned as the guest's address
    // is, and so are the words behind it in the same page. All accesses through the reference are atomic.
    Some(unsafe { slice::from_raw_parts(va as *const AtomicU64, count) })
}

/// Copies at most a page into the loaded vCPU's address space.
pub(crate) fn write(domain: &ArmDomain, to: u64, from: &[u8]) -> Result<(), BadAddress> {
    let (length, from) = (from.len(), from.as_ptr());
    each_piece(domain, to, length, Intent::Write, |va, offset, size| {
        // SAFETY: as in `read_bytes`, with the directions changed.
        unsafe { copy_piece(from.wrapping_add(offset), va as *mut u8, size) }
    })
}

/// Bytes that [`copy_strides`] takes at a time.
const STRIDE: u64 = 256;

/// Copies whole strides from the start of two ranges of mapped RAM that do not overlap, those of [`load`] or [`copy`], and
/// returns how many bytes that were. RAM is normal memory and SCTLR_EL2.A is clear, so that they need not be aligned: frames of
/// a network seldom are. A kernel is tens of MiB and a granted page is copied for each request to a disk, and the compiler's
/// own copy takes a word at a time, which makes four times as many instructions of it, and ten times where it is not aligned.
fn copy_strides(from: u64, to: u64, size: u64) -> usize {
    let strides = size / STRIDE;
    if strides == 0 {
        return 0;
    }
    // SAFETY: as for the rest of the ranges in the two callers: mapped RAM of guests and modules, which do not overlap, for
    // `256 * strides` bytes each. All registers that change are outputs, and the flags are not used.
    unsafe {
        asm!(
            "2:", "sub {strides}, {strides}, #1", ".rept 4",
            "ldp {a}, {b}, [{from}], #16", "ldp {c}, {d}, [{from}], #16",
            "ldp {e}, {f}, [{from}], #16", "ldp {g}, {h}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16", "stp {c}, {d}, [{to}], #16",
            "stp {e}, {f}, [{to}], #16", "stp {g}, {h}, [{to}], #16",
            ".endr", "cbnz {strides}, 2b",
            from = inout(reg) from => _, to = inout(reg) to => _, strides = inout(reg) strides => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
    (strides * STRIDE) as usize
}

/// Copies between physical ranges of RAM, and makes the result visible to a guest whose caches are still off.
/// Both ranges lie in mapped RAM and do not overlap.
pub(crate) fn load(from: u64, to: u64, size: u64) {
    let (from, to) = (layout::va(from), layout::va(to));
    // What is no whole stride is left to the compiler's copy.
    let copied = copy_strides(from, to, size) as u64;
    let (from_rest, to_rest) = (from.wrapping_add(copied), to.wrapping_add(copied));
    let rest = size.wrapping_sub(copied) as usize;
    // SAFETY: the caller took both ranges from the boot plan, which gave them to one module and to one domain that
    // does not run; the rest lies inside them.
    unsafe { ptr::copy_nonoverlapping(from_rest as *const u8, to_rest as *mut u8, rest) };
    publish(to, size);
}

/// Makes bytes of RAM at this address of ours visible to a guest whose caches are still off.
pub(crate) fn publish(to: u64, size: u64) {
    let line = 4 << (sysreg::read_ctr_el0() >> 16 & 0xf);
    let mut at = to & !(8 * line - 1);
    while at < to + size {
        // SAFETY: cleaning and invalidating a line of mapped RAM by address is always allowed, and these eight lie in one
        // page. Invalidating too: a guest writes with its cache off first, and what it wrote must not hide behind a line of
        // ours.
        unsafe {
            asm!(
                ".rept 8", "dc civac, {at}", "add {at}, {at}, {line}", ".endr",
                at = inout(reg) at, line = in(reg) line, options(nostack, preserves_flags)
            );
        }
    }
    // SAFETY: barriers and instruction cache invalidation have no other effect.
    unsafe { asm!("dsb sy", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Copies between places in pages of domains' RAM, which may be the same page: the direct map's addresses.
pub(crate) fn copy(from: &Page, from_offset: u16, to: &Page, to_offset: u16, length: u16) {
    let fits = |offset: u16| u64::from(offset) + u64::from(length) <= PAGE_SIZE;
    if !fits(from_offset) || !fits(to_offset) {
        return;
    }
    let from = from.as_ptr().cast::<u8>().wrapping_add(from_offset.into());
    let to = to.as_ptr().cast::<u8>().wrapping_add(to_offset.into()).cast_mut();
    // Ranges of the same page may overlap, which a copy by strides does not look at.
    let apart = from as u64 / PAGE_SIZE != to as u64 / PAGE_SIZE;
    let copied = if apart { copy_strides(from as u64, to as u64, length.into()) } else { 0 };
    let (from, to, rest) =
        (from.wrapping_add(copied), to.wrapping_add(copied), usize::from(length).wrapping_sub(copied));
    // SAFETY: both ranges lie inside one page of guests' RAM, as checked above, and may overlap. Pages are of atomic words,
    // so writing through the pointer is allowed. Guests that change the bytes meanwhile change only what is copied.
    unsafe { ptr::copy(from, to, rest) };
}

/// Writes back what the caches hold of a range of a page, for whoever reads memory itself; with `discard` they forget it.
/// Forgetting alone is not on offer: what a guest wrote before must not come to light.
pub(crate) fn clean(page: &Page, offset: u16, length: u16, discard: bool) {
    let line = 4 << (sysreg::read_ctr_el0() >> 16 & 0xf);
    let start = page.as_ptr() as u64 + u64::from(offset);
    for at in ((start & !(line - 1))..start + u64::from(length)).step_by(line as usize) {
        if discard {
            // SAFETY: cleaning and invalidating a line of mapped RAM by address is always allowed.
            unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
        } else {
            // SAFETY: as above.
            unsafe { asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags)) };
        }
    }
    barrier::dsb(barrier::SY);
}
