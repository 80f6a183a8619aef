//! The emulated serial port's way to the machine: sent bytes to the console, its line to the interrupt controller.

use hyp_boot::guest_tables::SERIAL;

use crate::domain::X86Domain;
use crate::keyboard;
use crate::vlapic::Effect;

/// A byte for the console; whether it had room.
pub(crate) fn print(domain: &X86Domain, byte: u8) -> bool {
    hyp_log::write_guest(domain.number, &[byte]) != 0
}

/// Reads a register: its value, and what the guest's interrupt controller has to do.
pub(crate) fn read(domain: &X86Domain, register: u16) -> (u32, Effect) {
    let mut port = domain.uart.lock();
    let value = port.read(register);
    let change = port.line_change();
    drop(port);
    if domain.listens {
        keyboard::made_room();
    }
    (value.into(), move_line(domain, change))
}

/// Writes a register. `None`: the console has no room now, and nothing was done.
pub(crate) fn write(domain: &X86Domain, register: u16, value: u8) -> Option<Effect> {
    let mut port = domain.uart.lock();
    if let Some(byte) = port.sends(register, value)
        && !print(domain, byte)
    {
        return None;
    }
    port.write(register, value);
    let change = port.line_change();
    drop(port);
    Some(move_line(domain, change))
}

/// The port's line has this level now, if it has another.
pub(crate) fn move_line(domain: &X86Domain, change: Option<bool>) -> Effect {
    change.map_or(Effect::None, |level| domain.drive_io_apic(|io_apic| io_apic.set_line(SERIAL.2, level)))
}
