//! The guest's own memory map.
//!
//! Atomic and unaligned accesses need the MMU and caches on, so every guest runs on an identity map. It is a constant:
//! 1 GiB of devices, then 3 GiB of normal memory, which is where Xen's memory map and QEMU's virt machine have theirs.
//! Addresses that lie there but lead nowhere pass the guest's own map and fail in the hypervisor's: this is what the
//! probe needs. RAM is writable and executable: these guests protect nothing from themselves.

use xen_abi::io_domain::SHARED_BASE_ARM;

pub use crate::image::{image, mailbox};

/// A level-1 table: 512 entries of 1 GiB (Arm ARM D8.3, 4 KiB granule).
#[repr(C, align(4096))]
pub(crate) struct Table([u64; 512]);

const BLOCK: u64 = 1;
const NORMAL: u64 = 1 << 2;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_EXECUTABLE: u64 = 3 << 53;
const GIB: u64 = 1 << 30;

/// End of what the map covers.
pub const MAPPED_END: u64 = 4 * GIB;

/// Where the first GiB stands a second time, as normal memory: for accesses that device memory does not allow.
pub(crate) const DEVICES_AS_MEMORY: usize = 8 << 30;

/// Where we see memory that the hypervisor placed at this guest address: in the first GiB, beside its place.
pub(crate) const fn as_memory(address: usize) -> usize {
    if address < GIB as usize { address + DEVICES_AS_MEMORY } else { address }
}

/// Where the pages are that a guest shares with an I/O domain (`xen_abi::io_domain`), guest-physical.
pub const SHARED_BASE: u64 = SHARED_BASE_ARM;
/// The address by which they are reached as memory.
pub const SHARED_AS_MEMORY: u64 = as_memory(SHARED_BASE as usize) as u64;

/// The table that `entry.s` puts into TTBR0_EL1.
#[unsafe(no_mangle)]
pub(crate) static IDENTITY_MAP: Table = Table(identity_map());

const fn identity_map() -> [u64; 512] {
    let mut entries = [0; 512];
    entries[0] = BLOCK | ACCESSED | NOT_EXECUTABLE;
    entries[DEVICES_AS_MEMORY / GIB as usize] = BLOCK | NORMAL | INNER_SHAREABLE | ACCESSED | NOT_EXECUTABLE;
    let mut gib = 1;
    while gib < MAPPED_END / GIB {
        entries[gib as usize] = (gib * GIB) | BLOCK | NORMAL | INNER_SHAREABLE | ACCESSED;
        gib += 1;
    }
    entries
}

unsafe extern "C" {
    /// `copy.s`.
    fn copy_memory(to: usize, from: usize, size: usize) -> usize;
}

/// Copies bytes. Either side may be memory that others change, so that compiled code may not make assumptions of it.
///
/// # Safety
/// `from` is readable and `to` writable for `size` bytes, and they do not overlap.
pub(crate) unsafe fn copy(from: usize, to: usize, size: usize) {
    // SAFETY: the caller's ranges.
    unsafe { copy_memory(to, from, size) };
}

/// Read a device register of 32 bits. `address` must be one that the machine's tree names.
pub(crate) fn read_device(address: usize) -> u32 {
    let value: u32;
    // SAFETY: the first GiB is mapped as device memory and holds nothing that Rust owns; a bad address faults and is
    // reported. Plain LDR, so that a hypervisor gets a syndrome it can emulate from.
    unsafe { core::arch::asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Write a device register of 32 bits.
pub(crate) fn write_device(address: usize, value: u32) {
    // SAFETY: as for read_device; no Rust object lies in device memory.
    unsafe { core::arch::asm!("str {0:w}, [{1}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// Clean a range of memory to the point of coherency, for a vCPU that starts with its caches off.
pub(crate) fn clean(start: usize, bytes: usize) {
    for line in (start & !63..start + bytes).step_by(64) {
        // SAFETY: DC CVAC of a mapped address writes cached data back and changes no contents.
        unsafe { core::arch::asm!("dc cvac, {}", in(reg) line, options(nostack)) };
    }
    crate::cpu::synchronize();
}
