//! What the port keeps for each physical CPU beside the core's `Cpu`.
//!
//! The GS base of the hypervisor is the address of the CPU's share from its first instruction of Rust on; vectors.s reaches
//! into it.

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hyp_core::limits::MAX_CPUS;

use crate::processor::{self, IA32_GS_BASE};

/// One CPU's share.
#[repr(C)]
pub(crate) struct PerCpu {
    number: AtomicU64,
    /// Interrupts that came and nobody has looked at: [`TIMER`], [`KICK`], [`KEYBOARD`], [`DEVICE`], and 4 for others. vectors.s sets them.
    pub(crate) came: AtomicU8,
    /// Address of the share itself, which the segment's base is to the processor alone.
    own: AtomicU64,
    /// APIC identifier of the CPU.
    pub(crate) apic: AtomicU64,
    /// When the core wants its timer to ring, nanoseconds; `u64::MAX` is never.
    pub(crate) alarm: AtomicU64,
    /// The same for the guest that runs, and what the timer is set to.
    pub(crate) guest_alarm: AtomicU64,
    pub(crate) armed: AtomicU64,
    /// Physical address of the page where the processor keeps the hypervisor's state while a guest runs, and of the one for
    /// what it does not keep by itself.
    pub(crate) save_area: AtomicU64,
    pub(crate) host_state: AtomicU64,
}

const _: () = assert!(offset_of!(PerCpu, came) == 8, "vectors.s says so");
const _: () = assert!(offset_of!(PerCpu, number) == 0 && offset_of!(PerCpu, own) == 16, "the assembly below says so");

/// The timer ran out.
pub(crate) const TIMER: u8 = 1;
/// Another CPU wants something.
pub(crate) const KICK: u8 = 2;
/// The machine's serial port has something.
pub(crate) const KEYBOARD: u8 = 8;
/// A device of a guest's does; its interrupt is not ended.
pub(crate) const DEVICE: u8 = 16;

static PER_CPU: [PerCpu; MAX_CPUS] = [const {
    PerCpu {
        number: AtomicU64::new(0),
        came: AtomicU8::new(0),
        own: AtomicU64::new(0),
        apic: AtomicU64::new(0),
        alarm: AtomicU64::new(u64::MAX),
        guest_alarm: AtomicU64::new(u64::MAX),
        armed: AtomicU64::new(u64::MAX),
        save_area: AtomicU64::new(0),
        host_state: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Tells this CPU its number.
pub(crate) fn init(cpu: u8) {
    let share = of(cpu);
    share.number.store(u64::from(cpu), Ordering::Relaxed);
    share.own.store(core::ptr::from_ref(share) as u64, Ordering::Relaxed);
    // SAFETY: nothing else uses the GS segment.
    unsafe { processor::write_msr(IA32_GS_BASE, share as *const PerCpu as u64) };
}

/// This CPU's number.
#[inline(always)]
pub(crate) fn number() -> u8 {
    let number: u64;
    // SAFETY: from `init` on, GS leads to this CPU's share, whose first word is its number.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(nostack, preserves_flags, readonly)) };
    number as u8
}

/// A CPU's share; the first CPU's for a number that does not exist.
pub(crate) fn of(cpu: u8) -> &'static PerCpu {
    PER_CPU.get(usize::from(cpu)).unwrap_or(&PER_CPU[0])
}

/// This CPU's share.
#[inline(always)]
pub(crate) fn this() -> &'static PerCpu {
    let own: u64;
    // SAFETY: as in `number`; the third word is the share's address.
    unsafe { asm!("mov {}, gs:[16]", out(reg) own, options(nostack, preserves_flags, readonly)) };
    // SAFETY: `init` has stored the address of a share there, which stays for good and is shared by all.
    unsafe { &*(own as *const PerCpu) }
}
