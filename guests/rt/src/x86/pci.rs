//! The registers by which PCI's devices are configured, through a PC's two ports (PCI Local Bus Specification 3.0, 3.2.2.3.2).
//!
//! For the guest that has those ports; to others every function seems absent.

use super::port;

/// Which register, and its value.
const ADDRESS: u16 = 0xcf8;
const VALUE: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// A function of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Number of its bus.
    pub bus: u8,
    /// Its device's number on it, below 32.
    pub device: u8,
    /// Its number in the device, below 8.
    pub function: u8,
}

impl Function {
    /// Chooses a register of 32 bits, by its offset in bytes.
    fn choose(self, offset: u8) {
        let place = u32::from(self.bus) << 16 | u32::from(self.device & 31) << 11 | u32::from(self.function & 7) << 8;
        port::write_double(ADDRESS, ENABLE | place | u32::from(offset & !3));
    }

    /// Read the 32 bits at a multiple of 4.
    pub fn read(self, offset: u8) -> u32 {
        self.choose(offset);
        port::read_double(VALUE)
    }

    /// Write them.
    pub fn write(self, offset: u8, value: u32) {
        self.choose(offset);
        port::write_double(VALUE, value);
    }
}

/// The functions on the first bus that are there, each with its maker (lower half) and kind (upper half).
pub fn functions() -> impl Iterator<Item = (Function, u32)> {
    let all = (0..32).flat_map(|device| (0..8).map(move |function| Function { bus: 0, device, function }));
    all.map(|function| (function, function.read(0))).filter(|(_, identity)| *identity as u16 != u16::MAX)
}
