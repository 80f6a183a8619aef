//! The serial port of a bare machine: a PL011 (Arm DDI 0183).

use crate::{cpu, memory};

/// The flags' register, and "transmit FIFO full" in it.
const FLAGS: usize = 0x18;
const FULL: u32 = 1 << 5;

/// Send a byte by the port at this address.
pub(crate) fn put(port: usize, byte: u8) {
    while memory::read_device(port + FLAGS) & FULL != 0 {
        cpu::relax();
    }
    memory::write_device(port, u32::from(byte));
}
