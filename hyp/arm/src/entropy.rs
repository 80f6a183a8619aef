//! The machine's source of random bytes for guests' starts, one for all CPUs.

use hyp_boot::entropy::{Entropy, SEED};

use crate::lock::Lock;

static ENTROPY: Lock<Entropy> = Lock::new(Entropy::new());

/// Takes in what the loader left.
pub(crate) fn feed(bytes: &[u8]) {
    ENTROPY.lock().feed(bytes);
}

/// Whether that was enough for guests to get some.
pub(crate) fn is_ready() -> bool {
    ENTROPY.lock().is_ready()
}

/// Bytes that nobody else gets.
pub(crate) fn draw() -> Option<[u8; SEED]> {
    ENTROPY.lock().draw()
}
