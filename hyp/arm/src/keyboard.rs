//! What a person types at the machine's serial port, on its way to one guest.
//!
//! One line serves all guests, so one of them has the keyboard at a time: the first with a `vpl011` until somebody
//! types Ctrl-A three times, which gives it to the next, as on Xen. A byte is taken from the port only when that guest
//! has room for it; until then it waits in the port, whose own flow control is the only one that reaches the sender.

use core::sync::atomic::{AtomicBool, Ordering};

use hyp_core::domain::{Domain, DomainId};
use hyp_core::limits::MAX_DOMAINS;
use hyp_log::Shown;

use crate::arch::Arm;
use crate::init::HYPERVISOR;
use crate::lock::Lock;
use crate::{console, uart};

/// Ctrl-A.
const SWITCH: u8 = 1;
/// How often it has to come to switch.
const TIMES: u8 = 3;

/// Who has the keyboard.
struct Keyboard {
    /// Index of the domain. It may have no port, and then the next that has one is meant.
    focus: usize,
    /// Ctrl-A's in a row, not delivered yet.
    held: u8,
}

static KEYBOARD: Lock<Keyboard> = Lock::new(Keyboard { focus: 0, held: 0 });
/// The port is silent until its guest has read.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The first domain with a port at or behind an index, in a circle.
fn listener(from: usize) -> Option<&'static Domain<Arm>> {
    let domains = (from..from + MAX_DOMAINS).map(|index| DomainId::from_index(index % MAX_DOMAINS));
    domains.filter_map(|id| HYPERVISOR.domain(id)).find(|domain| domain.arch().vpl011.is_some())
}

/// Takes what the machine's port has. Called on its interrupt.
pub(crate) fn poll() {
    let mut keyboard = KEYBOARD.lock();
    while let Some(domain) = listener(keyboard.focus) {
        keyboard.focus = domain.id().index();
        match keyboard.fill(domain) {
            Filled::Empty => return listen(true),
            Filled::Full => return listen(false),
            Filled::Switch => keyboard.switch(domain),
        }
    }
    // Nobody reads, and the interrupt must not come again and again.
    listen(false);
}

/// A guest has read from its port: what had no room before may have it now.
pub(crate) fn made_room() {
    if SILENT.load(Ordering::Acquire) {
        poll();
    }
}

fn listen(on: bool) {
    SILENT.store(!on, Ordering::Release);
    console::listen(on);
}

/// How [`Keyboard::fill`] ended.
enum Filled {
    /// The machine's port has no more.
    Empty,
    /// The guest takes no more.
    Full,
    /// The keyboard is to go to the next.
    Switch,
}

impl Keyboard {
    /// Gives a domain what was typed.
    fn fill(&mut self, domain: &Domain<Arm>) -> Filled {
        let Some(port) = &domain.arch().vpl011 else { return Filled::Full };
        let mut port = port.lock();
        let ended = loop {
            // What is held back may turn out to be the guest's.
            if !port.has_room(usize::from(TIMES)) {
                break Filled::Full;
            }
            match console::read() {
                None => break Filled::Empty,
                Some(SWITCH) if self.held + 1 == TIMES => break Filled::Switch,
                Some(SWITCH) => self.held += 1,
                Some(byte) => {
                    let held = core::mem::take(&mut self.held);
                    // Room was made sure of above.
                    (0..held).for_each(|_| _ = port.receive(SWITCH));
                    let _ = port.receive(byte);
                }
            }
        };
        if let Some(level) = port.line_change() {
            let stale = domain.arch().vgic.lock().set_line(0, uart::INTERRUPT, level);
            domain.arch().mark_stale(stale);
            HYPERVISOR.device_interrupts(domain.id(), stale);
        }
        ended
    }

    /// Gives the keyboard to the next that has a port.
    fn switch(&mut self, from: &Domain<Arm>) {
        self.held = 0;
        if let Some(next) = listener(from.id().index() + 1) {
            self.focus = next.id().index();
            hyp_log::info!("the keyboard is with {} now; Ctrl-A three times gives it to the next", Shown(&next.name()));
        }
    }
}
