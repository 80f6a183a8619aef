//! What a person types at the machine's serial port, on its way to one guest: see [`hyp_core::keyboard`].
//!
//! Guests listen that have a `vpl011` in the manifest, the word for an emulated serial port there.

use core::sync::atomic::{AtomicBool, Ordering};

use hyp_core::domain::Domain;
use hyp_core::keyboard::{Filled, Keyboard};
use hyp_log::Shown;

use crate::arch::X86;
use crate::init::HYPERVISOR;
use crate::lock::Lock;
use crate::vlapic::Effect;
use crate::{console, serial};

static KEYBOARD: Lock<Keyboard> = Lock::new(Keyboard::new());
/// The port is silent until its guest has read.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Takes what the machine's port has. Called on its interrupt.
pub(crate) fn poll() {
    let listens = |domain: &Domain<X86>| domain.arch().listens;
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
fn fill(keyboard: &mut Keyboard, domain: &Domain<X86>) -> Filled {
    let guest = domain.arch();
    let mut port = guest.uart.lock();
    let ended = keyboard.fill(&mut *port, console::read);
    let change = port.line_change();
    drop(port);
    if let Effect::Interrupt { targets, vector } = serial::move_line(guest, change) {
        guest.post(targets, vector);
        HYPERVISOR.device_interrupts(domain.id(), targets);
    }
    ended
}
