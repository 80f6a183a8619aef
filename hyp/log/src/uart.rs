//! The last step: bytes to the UART, and what the reader on the other side has seen of them.
//!
//! An emergency can break in anywhere, in the middle of a frame too. Remembering where the stream stands, it can close
//! what is open, so that its text is read as text.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::RelaxStrategy;

use crate::Hooks;
use crate::lock::GiveWay;

/// Polls of a UART that takes nothing before it counts as dead: about a second on a slow board, so that a dead line
/// cannot keep the machine from ending.
const POLLS: u32 = 10_000_000;

/// Between the two zero bytes of a frame.
static IN_FRAME: AtomicBool = AtomicBool::new(false);
/// The line took nothing for [`POLLS`] polls; nobody waits for it again until it takes a byte.
static DEAD: AtomicBool = AtomicBool::new(false);
/// Text of an unfinished line was sent.
static IN_LINE: AtomicBool = AtomicBool::new(false);

/// Offers bytes until one is refused; returns how many were taken.
pub(crate) fn put(hooks: &Hooks, bytes: &[u8]) -> usize {
    let mut in_frame = IN_FRAME.load(Ordering::Relaxed);
    let mut in_line = IN_LINE.load(Ordering::Relaxed);
    let mut taken = 0usize;
    for &byte in bytes {
        if !(hooks.put)(byte) {
            break;
        }
        taken = taken.saturating_add(1);
        if byte == 0 {
            in_frame = !in_frame;
        } else if !in_frame {
            in_line = byte != b'\n';
        }
    }
    IN_FRAME.store(in_frame, Ordering::Relaxed);
    IN_LINE.store(in_line, Ordering::Relaxed);
    taken
}

/// Hands over bytes, waiting for each as long as that is reasonable. What a dead line does not take is given up.
pub(crate) fn put_waiting(hooks: &Hooks, bytes: &[u8]) {
    let mut rest = bytes;
    let mut polls = if DEAD.load(Ordering::Relaxed) { POLLS } else { 0 };
    while !rest.is_empty() {
        let taken = put(hooks, rest);
        rest = rest.get(taken..).unwrap_or_default();
        if taken > 0 {
            polls = 0;
            DEAD.store(false, Ordering::Relaxed);
        } else if polls < POLLS {
            polls = polls.saturating_add(1);
            GiveWay::relax();
        } else {
            DEAD.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// Closes an open frame and an open line.
pub(crate) fn close_open(hooks: &Hooks) {
    if IN_FRAME.load(Ordering::Relaxed) {
        put_waiting(hooks, &[0]);
    }
    if IN_LINE.load(Ordering::Relaxed) {
        put_waiting(hooks, b"\n");
    }
}
