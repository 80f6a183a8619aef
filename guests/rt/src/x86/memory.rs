//! The guest's own memory map: the first 4 GiB where they are, made by `entry.s`.
//!
//! Addresses that lie there but lead nowhere pass the guest's own map and fail in the hypervisor's: this is what the
//! probe needs. RAM is writable and executable: these guests protect nothing from themselves.

use xen_abi::io_domain::SHARED_BASE_X86;

pub use crate::image::{image, mailbox};

/// End of what the map covers.
pub const MAPPED_END: u64 = 4 << 30;
/// Where a guest's RAM ends at the latest.
const DEVICES: usize = 3 << 30;

/// Copies bytes. Either side may be memory that others change, so that compiled code may not make assumptions of it.
///
/// # Safety
/// `from` is readable and `to` writable for `size` bytes, and they do not overlap.
pub(crate) unsafe fn copy(from: usize, to: usize, size: usize) {
    // SAFETY: the caller's ranges; the direction flag is clear in compiled code.
    unsafe {
        core::arch::asm!(
            "rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") size => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Read a device register of 32 bits.
pub fn read_device(address: usize) -> u32 {
    let value: u32;
    // SAFETY: a load has no effect on Rust's memory. It is an instruction that a hypervisor can emulate.
    unsafe { core::arch::asm!("mov {0:e}, [{1}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Write a device register of 32 bits. Nothing where RAM may be: devices' registers are from 0xc000_0000 on.
pub fn write_device(address: usize, value: u32) {
    if address < DEVICES {
        return;
    }
    // SAFETY: no Rust object lies there.
    unsafe { core::arch::asm!("mov [{1}], {0:e}", in(reg) value, in(reg) address, options(nostack)) };
}

/// Where we see memory that the hypervisor placed at this guest address: there.
pub(crate) const fn as_memory(address: usize) -> usize {
    address
}

/// Where the pages are that a guest shares with an I/O domain (`xen_abi::io_domain`), guest-physical.
pub const SHARED_BASE: u64 = SHARED_BASE_X86;
/// The address by which they are reached as memory.
pub const SHARED_AS_MEMORY: u64 = SHARED_BASE;

/// What compiled code expects of a C library; the target's own is not linked.
mod library {
    use core::arch::asm;

    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's ranges are valid and do not overlap; the direction flag is clear in compiled code.
        unsafe {
            asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") bytes => _, options(nostack))
        };
        to
    }

    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
        if (to as usize).wrapping_sub(from as usize) >= bytes {
            // SAFETY: the destination does not begin inside of the source, so that copying upwards reads each byte
            // before it is written.
            return unsafe { memcpy(to, from, bytes) };
        }
        // SAFETY: the caller's ranges are valid, and downwards each byte is read before it is written; the direction flag
        // is cleared again.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rdi") to.wrapping_add(bytes).wrapping_sub(1) => _,
                inout("rsi") from.wrapping_add(bytes).wrapping_sub(1) => _, inout("rcx") bytes => _, options(nostack));
        }
        to
    }

    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, value: i32, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's range is valid.
        unsafe {
            asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") bytes => _, options(nostack))
        };
        to
    }

    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, bytes: usize) -> i32 {
        for at in 0..bytes {
            // SAFETY: the caller's range has so many bytes.
            let a = unsafe { one.wrapping_add(at).read_volatile() };
            // SAFETY: as above.
            let b = unsafe { other.wrapping_add(at).read_volatile() };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    /// What code that was compiled elsewhere, for programs that unwind, does at the end of cleaning up: here nobody unwinds.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume() -> ! {
        crate::power::crash()
    }

    /// # Safety
    /// As in C.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, bytes: usize) -> i32 {
        // SAFETY: the same contract.
        unsafe { memcmp(one, other, bytes) }
    }
}
