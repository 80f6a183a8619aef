//! What a person types at the machine's serial port, on its way to one guest: see [`hyp_core::keyboard`].
//!
//! Guests listen that have a `vpl011`.

use core::sync::atomic::{AtomicBool, Ordering};

use hyp_core::domain::Domain;
use hyp_core::keyboard::{Filled, Keyboard};
use hyp_log::Shown;

use crate::arch::Arm;
use crate::init::HYPERVISOR;
use crate::lock::Lock;
use crate::{console, uart};

static KEYBOARD: Lock<Keyboard> = Lock::new(Keyboard::new());
/// The port is silent until its guest has read.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Takes what the machine's port has. Called on its interrupt.
pub(crate) fn poll() {
    let listens = |domain: &Domain<Arm>| domain.arch().vpl011.is_some();
    let mut keyboard = KEYBOARD.lock();
    let goes_on = keyboard.poll(&HYPERVISOR, listens, fill, |next| {
        hyp_log::info!("the keyboard is with {} now; Ctrl-A three times gives it to the next", Shown(&next.name()));
    });
    SILENT.store(!goes_on, Ordering::Release);
    console::listen(goes_on);
}

/// A guest has read from its port: what had no room before may have it now.
pub(crate) fn made_room() {
    if SILENT.load(Ordering::Acquire) {
        poll();
    }
}

/// Gives a domain what was typed.
fn fill(keyboard: &mut Keyboard, domain: &Domain<Arm>) -> Filled {
    let Some(port) = &domain.arch().vpl011 else { return Filled::Full };
    let mut port = port.lock();
    let ended = keyboard.fill(&mut *port, console::read);
    if let Some(level) = port.line_change() {
        let stale = domain.arch().vgic.lock().set_line(0, uart::INTERRUPT, level);
        domain.arch().mark_stale(stale);
        HYPERVISOR.device_interrupts(domain.id(), stale);
    }
    ended
}
