//! The serial port of a PC: a 16550, which the boot protocol does not name, since it has always been there.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::port;
use crate::{cpu, interrupts};

/// The first port's address.
pub(crate) const FIRST: usize = 0x3f8;
/// Offset of the line status, and "transmit holding register empty" in it.
const LINE_STATUS: u16 = 5;
const EMPTY: u8 = 1 << 5;
/// "Something was received".
const READY: u8 = 1;
/// Offsets of what interrupts, of which is "something was received", and of the lines, one of which lets interrupts out.
const INTERRUPTS: u16 = 1;
const RECEIVED: u8 = 1;
const MODEM: u16 = 4;
const OUT2: u8 = 1 << 3;
/// The interrupt of a PC's first port.
const INTERRUPT: u32 = 4;

/// There may be more where the last byte came from.
static WAITS: AtomicBool = AtomicBool::new(false);

/// Send a byte by the port at this address.
pub(crate) fn put(address: usize, byte: u8) {
    let base = address as u16;
    while port::read(base + LINE_STATUS) & EMPTY == 0 {
        cpu::relax();
    }
    port::write(base, byte);
}

/// Have the port interrupt when something was typed.
pub(crate) fn listen(address: usize, _interrupt: u32) {
    let base = address as u16;
    interrupts::enable(INTERRUPT);
    port::write(base + MODEM, OUT2);
    port::write(base + INTERRUPTS, RECEIVED);
}

/// A byte that was typed. The port is only asked after its interrupt, until there is none left.
pub(crate) fn get(address: usize) -> Option<u8> {
    let base = address as u16;
    if interrupts::take(INTERRUPT) {
        WAITS.store(true, Relaxed);
    }
    let ready = WAITS.load(Relaxed) && port::read(base + LINE_STATUS) & READY != 0;
    WAITS.store(ready, Relaxed);
    ready.then(|| port::read(base))
}
