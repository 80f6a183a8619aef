//! The port's own locks: leaves, below every lock of the core.
//!
//! The core orders its locks (`hyp_core::sync`); the port's are taken last and held for a few instructions. Nobody has
//! two but who has a guest's serial port, its interrupt controller or the machine's, in this order.

use spin::RelaxStrategy;
use spin::mutex::TicketMutex;

/// Waiting for another CPU: `pause` lets an emulator or a sibling thread run it.
pub struct Relax;

impl RelaxStrategy for Relax {
    fn relax() {
        core::hint::spin_loop();
    }
}

/// A fair lock.
pub(crate) type Lock<T> = TicketMutex<T, Relax>;
