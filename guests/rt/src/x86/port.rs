//! Ports of the PC's devices: the few that this runtime touches have no effect on memory.

use x86_64::instructions::port::Port;

/// Read a byte.
pub(crate) fn read(port: u16) -> u8 {
    // SAFETY: private to this crate, whose callers name the serial port and the timer, which touch no memory.
    unsafe { Port::new(port).read() }
}

/// Write a byte.
pub(crate) fn write(port: u16, value: u8) {
    // SAFETY: as above; also the interrupt controllers' masks and the reset register, which ends everything.
    unsafe { Port::new(port).write(value) };
}

/// Read 32 bits.
pub(crate) fn read_double(port: u16) -> u32 {
    // SAFETY: private to this crate, whose callers name the ports by which PCI's devices are configured, or any where a guest
    // has none; reading has no effect on memory.
    unsafe { Port::new(port).read() }
}

/// Write 32 bits.
pub(crate) fn write_double(port: u16, value: u32) {
    // SAFETY: as above. What a device that is switched on so writes to memory, its driver answers for.
    unsafe { Port::new(port).write(value) };
}

/// Write 16 bits.
pub(crate) fn write_word(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { Port::new(port).write(value) };
}
