//! Virtio devices on a PC's PCI bus, whose registers are where its firmware has put them.

use alloc::vec::Vec;

use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{BarInfo, Command, ConfigurationAccess, DeviceFunction, PciRoot};

use super::Found;
use super::arena::Memory;
use crate::interrupts::on_line;
use crate::pci::{self, Function};
use crate::{Machine, memory, println};

/// Maker of virtio's devices, and the register with a function's line.
const MAKER: u16 = 0x1af4;
const LINE: u8 = 0x3c;

/// The configuration's registers, as the crate reaches them.
struct Ports;

impl From<DeviceFunction> for Function {
    fn from(other: DeviceFunction) -> Self {
        Self { bus: other.bus, device: other.device, function: other.function }
    }
}

impl From<Function> for DeviceFunction {
    fn from(other: Function) -> Self {
        Self { bus: other.bus, device: other.device, function: other.function }
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        Function::from(function).read(register)
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        Function::from(function).write(register, value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// All devices on the first bus that we can drive, reset: none of them writes to memory any more.
pub fn find(_: &'static Machine) -> Vec<Found> {
    let mut root = PciRoot::new(Ports);
    let mut found = Vec::new();
    for (function, _) in pci::functions().filter(|(_, identity)| *identity as u16 == MAKER) {
        match transport(&mut root, function.into()) {
            Ok(transport) => {
                let line = function.read(LINE) & 0xff;
                found.push(Found::reset(transport.into(), on_line(line, found.len() as u32)));
            }
            Err(why) => println!("PCI device {:02x}.{}: {why}", function.device, function.function),
        }
    }
    found
}

fn transport(root: &mut PciRoot<Ports>, function: DeviceFunction) -> Result<PciTransport, &'static str> {
    let bars = root.bars(function).map_err(|_| "its registers are nowhere")?;
    let end = |bar: &BarInfo| bar.memory_address_size().map_or(0, |(start, size)| start.saturating_add(size));
    if bars.iter().flatten().any(|bar| end(bar) > memory::MAPPED_END) {
        return Err("its registers are above 4 GiB, where we map nothing");
    }
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);
    PciTransport::new::<Memory, _>(root, function).map_err(|_| "it is none of virtio 1")
}
