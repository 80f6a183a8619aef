//! Where the image lies, and the one word of RAM that outlives it.

use core::sync::atomic::AtomicU64;

use crate::{Machine, memory};

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// First address of the image and the first behind its bss and stacks.
pub fn image() -> (usize, usize) {
    (&raw const image_start as usize, &raw const image_end as usize)
}

/// The last 8 bytes of RAM, which the heap leaves alone and no loader writes: what is here survives a restart of the
/// domain, where the hypervisor does not clear memory.
pub fn mailbox(machine: &Machine) -> Option<&'static AtomicU64> {
    let address = machine.memory.1.min(memory::MAPPED_END as usize).checked_sub(8)?;
    if address < image().1 {
        return None;
    }
    // SAFETY: aligned (RAM ends on a page), inside RAM, mapped, never part of the heap (`heap::init` stops a page
    // before), and only ever seen as an atomic.
    Some(unsafe { &*(address as *const AtomicU64) })
}
