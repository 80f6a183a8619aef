//! The last step: bytes to the UART, and what the reader on the other side has seen of them.
//!
//! An emergency can break in anywhere, in the middle of a frame too. Remembering where the stream stands, it can close
//! what is open, so that its text is read as text.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::RelaxStrategy;

use crate::Hooks;
use crate::lock::GiveWay;

/// Polls of a UART that takes nothing before a byte is given up: about a second on a slow board, so that a dead line
/// cannot keep the machine from ending.
const POLLS: u32 = 10_000_000;

/// Between the two zero bytes of a frame.
static IN_FRAME: AtomicBool = AtomicBool::new(false);
/// Text of an unfinished line was sent.
static IN_LINE: AtomicBool = AtomicBool::new(false);

/// Offers one byte.
pub(crate) fn put(hooks: &Hooks, byte: u8) -> bool {
    let taken = (hooks.put)(byte);
    if taken && byte == 0 {
        IN_FRAME.fetch_xor(true, Ordering::Relaxed);
    } else if taken && !IN_FRAME.load(Ordering::Relaxed) {
        IN_LINE.store(byte != b'\n', Ordering::Relaxed);
    }
    taken
}

/// Hands over one byte, waiting as long as that is reasonable.
pub(crate) fn put_waiting(hooks: &Hooks, byte: u8) {
    for _ in 0..POLLS {
        if put(hooks, byte) {
            return;
        }
        GiveWay::relax();
    }
}

/// Closes an open frame and an open line.
pub(crate) fn close_open(hooks: &Hooks) {
    if IN_FRAME.load(Ordering::Relaxed) {
        put_waiting(hooks, 0);
    }
    if IN_LINE.load(Ordering::Relaxed) {
        put_waiting(hooks, b'\n');
    }
}
