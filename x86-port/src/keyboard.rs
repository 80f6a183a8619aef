//! What a person types at the machine's serial port, on its way to one guest: see [`hyp_core::keyboard`].
//!
//! Guests listen that have a `vpl011` in the manifest, the word for an emulated serial port there.

use core::sync::atomic::{AtomicBool, Ordering};

use hyp_core::domain::{Domain, DomainId};
use hyp_core::keyboard::{Filled, Keyboard};
use hyp_core::limits::MAX_DOMAINS;
use hyp_log::Shown;

use crate::arch::X86;
use crate::init::HYPERVISOR;
use crate::lock::Lock;
use crate::vlapic::Effect;
use crate::{console, serial};

static KEYBOARD: Lock<Keyboard> = Lock::new(Keyboard::new());
/// The port is silent until its guest has read.
static SILENT: AtomicBool = AtomicBool::new(false);

/// The first domain that listens at or behind an index, in a circle.
fn listener(from: usize) -> Option<&'static Domain<X86>> {
    let domains = (from..from + MAX_DOMAINS).map(|index| DomainId::from_index(index % MAX_DOMAINS));
    domains.filter_map(|id| HYPERVISOR.domain(id)).find(|domain| domain.arch().listens)
}

/// Takes what the machine's port has. Called on its interrupt.
pub(crate) fn poll() {
    let mut keyboard = KEYBOARD.lock();
    while let Some(domain) = listener(keyboard.focus) {
        keyboard.focus = domain.id().index();
        match fill(&mut keyboard, domain) {
            Filled::Empty => return listen(true),
            Filled::Full => return listen(false),
            Filled::Switch => switch(&mut keyboard, domain),
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

/// Gives the keyboard to the next that listens.
fn switch(keyboard: &mut Keyboard, from: &Domain<X86>) {
    if let Some(next) = listener(from.id().index() + 1) {
        keyboard.focus = next.id().index();
        hyp_log::info!("the keyboard is with {} now; Ctrl-A three times gives it to the next", Shown(&next.name()));
    }
}
