//! The lock of the log.
//!
//! Fair, because eight CPUs that log at once must each get their turn within eight short holds; and without masking,
//! because interrupts are always masked in the hypervisor. While waiting it gives way to other CPUs: an emulator that
//! runs CPUs in turn would otherwise burn a whole turn on it.

use spin::RelaxStrategy;
use spin::mutex::TicketMutex;

/// A ticket lock that gives way.
pub(crate) type Lock<T> = TicketMutex<T, GiveWay>;

/// Waits by the `yield` instruction where there is one.
pub(crate) struct GiveWay;

impl RelaxStrategy for GiveWay {
    #[inline]
    fn relax() {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: `yield` is a hint; it changes no register and no memory.
        unsafe {
            core::arch::asm!("yield", options(nomem, nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        core::hint::spin_loop();
    }
}
