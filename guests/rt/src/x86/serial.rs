//! The serial port of a PC: a 16550, which the boot protocol does not name, since it has always been there.

use super::port;
use crate::cpu;

/// The first port's address.
pub(crate) const FIRST: usize = 0x3f8;
/// Offset of the line status, and "transmit holding register empty" in it.
const LINE_STATUS: u16 = 5;
const EMPTY: u8 = 1 << 5;
/// "Something was received".
const READY: u8 = 1;

/// Send a byte by the port at this address.
pub(crate) fn put(address: usize, byte: u8) {
    let base = address as u16;
    while port::read(base + LINE_STATUS) & EMPTY == 0 {
        cpu::relax();
    }
    port::write(base, byte);
}

/// Begin to listen to the port. Nothing interrupts: whoever waits for what is typed looks at it whenever it wakes.
pub(crate) fn listen(_port: usize, _interrupt: u32) {}

/// The handler's part.
pub(crate) fn quiet(_port: usize) {}

/// A byte that was typed.
pub(crate) fn get(address: usize) -> Option<u8> {
    let base = address as u16;
    (port::read(base + LINE_STATUS) & READY != 0).then(|| port::read(base))
}
