//! The machine's interrupt controller for devices, of which the hypervisor wants one interrupt: that of its serial port.
//!
//! Source: Intel 82093AA data sheet, chapter 3.

use core::ptr;

use hyp_boot::Region;

use crate::firmware_tables::SerialLine;
use crate::layout::DIRECT_MAP;
use crate::{console, interrupts, mmu};

/// Registers in memory: which register, and its value.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
/// The first register of the entries, of which each line has two.
const FIRST_ENTRY: u32 = 0x10;

/// Has the serial port's interrupt taken by the CPU with this APIC identifier, and lets the port interrupt.
///
/// # Errors
/// The controller cannot be mapped.
pub(crate) fn listen(line: &SerialLine, apic: u32) -> Result<(), mmu::OutOfTables> {
    mmu::map_device(Region::new(line.controller, 0x1000))?;
    let base = line.controller + DIRECT_MAP;
    let write = |register: u32, value: u32| {
        // SAFETY: the registers have just been mapped, and nothing else drives the controller.
        unsafe { ptr::write_volatile((base + SELECT) as *mut u32, register) };
        // SAFETY: as above.
        unsafe { ptr::write_volatile((base + WINDOW) as *mut u32, value) };
    };
    // Fixed, to one CPU by its number, an edge that is active high.
    write(FIRST_ENTRY + 2 * line.number + 1, apic << 24);
    write(FIRST_ENTRY + 2 * line.number, interrupts::KEYBOARD.into());
    console::listen(true);
    Ok(())
}
