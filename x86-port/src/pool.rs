//! The pages behind the image, handed out once at boot and never taken back.
//!
//! What a machine needs beside the image depends on its device tree: stacks, traces, each domain's second-stage tables.
//! All of it comes from the rest of the hypervisor's 2 MiB, so that its size is known before the first guest runs.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::Page;

use crate::layout::{self, IMAGE_BLOCK, PAGE_SIZE};

/// Bytes handed out.
static USED: AtomicU64 = AtomicU64::new(0);

/// The hypervisor's block is used up: fewer or smaller domains would fit.
#[derive(Debug)]
pub(crate) struct PoolEmpty;

impl core::fmt::Display for PoolEmpty {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the hypervisor's 2 MiB are used up; start fewer domains, or domains with fewer vCPUs")
    }
}

/// Virtual address of `pages` fresh pages that start at a multiple of `align` pages (a power of two).
fn take_va(pages: u64, align: u64) -> Result<u64, PoolEmpty> {
    let first = layout::image_start() + layout::image_bytes();
    let start = (first + USED.load(Ordering::Relaxed)).next_multiple_of(align * PAGE_SIZE);
    let end = start + pages * PAGE_SIZE;
    if end > layout::image_start() + IMAGE_BLOCK {
        return Err(PoolEmpty);
    }
    USED.store(end - first, Ordering::Relaxed);
    Ok(start)
}

/// Takes zeroed pages.
pub(crate) fn take(pages: u64) -> Result<&'static [Page], PoolEmpty> {
    let taken = take_as_is(pages)?;
    clear(taken.as_ptr() as u64, pages * PAGE_SIZE);
    Ok(taken)
}

/// Fills with zeros.
fn clear(start: u64, bytes: u64) {
    // SAFETY: the only caller has just taken these whole pages, which are mapped for writing and belong to nobody else.
    unsafe {
        core::arch::asm!("rep stosq", inout("rcx") bytes / 8 => _, inout("rdi") start => _, in("rax") 0,
            options(nostack, preserves_flags));
    }
}

/// Takes pages that hold anything, for who zeroes each before it is used.
pub(crate) fn take_as_is(pages: u64) -> Result<&'static [Page], PoolEmpty> {
    let start = take_va(pages, 1)?;
    // SAFETY: the pages are mapped for reading and writing, nobody else has them (boot is the only caller and the
    // mark only grows), and any bytes are valid words.
    Ok(unsafe { core::slice::from_raw_parts(start as *const Page, pages as usize) })
}

/// Takes zeroed memory for plain words.
pub(crate) fn take_words(pages: u64) -> Result<&'static mut [u64], PoolEmpty> {
    let start = take(pages)?.as_ptr() as *mut u64;
    // SAFETY: as in `take`; the shared view ends with this statement, so that the exclusive one is the only one.
    Ok(unsafe { core::slice::from_raw_parts_mut(start, (pages * PAGE_SIZE / 8) as usize) })
}

/// Takes a stack with an unmapped page below it; returns its upper end.
pub(crate) fn take_stack(pages: u64) -> Result<u64, PoolEmpty> {
    let guard = take_va(pages + 1, 1)?;
    crate::mmu::unmap_guard(guard).map_err(|_| PoolEmpty)?;
    Ok(guard + (pages + 1) * PAGE_SIZE)
}

/// Bytes that the hypervisor keeps: image, zeroed data, stacks, and what was taken here.
pub(crate) fn hypervisor_bytes() -> u64 {
    layout::image_bytes() + USED.load(Ordering::Relaxed)
}
