//! The serial port: a PL011 (Arm DDI 0183), of the bare machine or one that the hypervisor emulates.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::{cpu, gic, memory};

/// The flags' register, and "transmit FIFO full" in it.
const FLAGS: usize = 0x18;
const FULL: u32 = 1 << 5;
const EMPTY: u32 = 1 << 4;
/// Which interrupts come, and those that say that something was typed.
const MASK: usize = 0x38;
const RECEIVED: u32 = 1 << 4 | 1 << 6;

/// INTID of the port that is listened to; 0 is none.
static INTID: AtomicU32 = AtomicU32::new(0);

/// Something was typed that was not read.
static WAITS: AtomicBool = AtomicBool::new(false);

/// Send a byte by the port at this address.
pub(crate) fn put(port: usize, byte: u8) {
    while memory::read_device(port + FLAGS) & FULL != 0 {
        cpu::relax();
    }
    memory::write_device(port, u32::from(byte));
}

/// Have the port interrupt when something was typed.
pub(crate) fn listen(port: usize, intid: u32) {
    INTID.store(intid, Relaxed);
    gic::enable_shared(intid, false);
    memory::write_device(port + MASK, RECEIVED);
}

/// INTID of the port that is listened to; 0 is none.
pub(crate) fn intid() -> u32 {
    INTID.load(Relaxed)
}

/// The handler's part: no more interrupts until everything was read. They are level-triggered.
pub(crate) fn quiet(port: usize) {
    memory::write_device(port + MASK, 0);
}

/// A byte that was typed. The port is only asked after its interrupt; with none left, it interrupts again.
pub(crate) fn get(port: usize) -> Option<u8> {
    if gic::take_shared(intid()) {
        WAITS.store(true, Relaxed);
    }
    if !WAITS.load(Relaxed) {
        return None;
    }
    if memory::read_device(port + FLAGS) & EMPTY == 0 {
        return Some(memory::read_device(port) as u8);
    }
    WAITS.store(false, Relaxed);
    memory::write_device(port + MASK, RECEIVED);
    None
}
