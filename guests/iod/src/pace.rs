//! When to let guests go on before what they ask for is begun.
//!
//! A guest that has much to ask tells us of the first request, and we go before it: so each request would cost two switches
//! of the CPU and an interrupt of its own. If the guest may go on until it has nothing more to do, they come together. But
//! who has one request under way at a time waits for nothing then, and where others compute we would wait for them; so it
//! is tried, and kept up for as long as it pays.

use rt::{hypercall, timer};

/// How long guests may take, in ns, for it to pay: less than who computes gets of the CPU when somebody gives way.
const PATIENCE: u64 = 900_000;
/// Most wake-ups from one try to the next where it does not pay.
const RARELY: u32 = 64;

/// What was learnt.
#[derive(Default)]
pub(crate) struct Pace {
    /// Wake-ups until the next try.
    skip: u32,
    /// As many as they were counted down from.
    pause: u32,
    /// Guests went first, and were back in time.
    tried: Option<bool>,
}

impl Pace {
    /// We were woken up by a guest: it may go on first.
    pub(crate) fn woken(&mut self) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let since = timer::now();
        // It cannot fail.
        let _ = hypercall::yield_cpu();
        self.tried = Some(timer::now() - since < PATIENCE);
    }

    /// So many requests were begun after we were woken up.
    pub(crate) fn learn(&mut self, begun: usize) {
        if let Some(in_time) = self.tried.take() {
            self.pause = if in_time && begun > 1 { 0 } else { (2 * self.pause).clamp(2, RARELY) };
            self.skip = self.pause;
        }
    }
}
