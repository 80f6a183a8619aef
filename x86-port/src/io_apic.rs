//! The machine's interrupt controllers for devices. The hypervisor wants the interrupt of its serial port of them, and those
//! of devices that guests have.
//!
//! Source: Intel 82093AA data sheet, chapter 3.

use core::ptr;

use hyp_boot::Region;

use crate::firmware_tables::Line;
use crate::layout::{DIRECT_MAP, PAGE_SIZE};
use crate::lock::Lock;
use crate::{console, interrupts, mmu};

/// Registers in memory: which register, and its value.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
/// The first register of the entries, of which each line has two.
const FIRST_ENTRY: u32 = 0x10;
/// Bits of an entry: active low, by level, masked.
const ACTIVE_LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// Whoever selects a register has it until it is written.
static SELECTED: Lock<()> = Lock::new(());

/// Writes a register of the controller whose registers are mapped at `base`.
fn write(base: u64, register: u32, value: u32) {
    let _own = SELECTED.lock();
    // SAFETY: the only callers have mapped the registers, and nothing but this module drives the controllers.
    unsafe { ptr::write_volatile((base + SELECT) as *mut u32, register) };
    // SAFETY: as above.
    unsafe { ptr::write_volatile((base + WINDOW) as *mut u32, value) };
}

/// What a line makes: a fixed interrupt, to one CPU by its number.
pub(crate) struct Output {
    base: u64,
    register: u32,
    entry: u32,
}

impl Output {
    /// Has a device's line, which is triggered by level, come to the CPU with this APIC identifier; it stays closed.
    ///
    /// # Errors
    /// The controller cannot be mapped.
    pub(crate) fn connect(line: &Line, apic: u32, vector: u8) -> Result<Self, mmu::OutOfTables> {
        let polarity = if line.active_low { ACTIVE_LOW } else { 0 };
        Self::make(line, apic, u32::from(vector) | LEVEL | polarity)
    }

    fn make(line: &Line, apic: u32, entry: u32) -> Result<Self, mmu::OutOfTables> {
        mmu::map_device(Region::new(line.controller, PAGE_SIZE))?;
        let output = Self { base: line.controller + DIRECT_MAP, register: FIRST_ENTRY + 2 * line.number, entry };
        output.open(false);
        write(output.base, output.register + 1, apic << 24);
        Ok(output)
    }

    /// Lets interrupts through, or none.
    pub(crate) fn open(&self, open: bool) {
        write(self.base, self.register, self.entry | if open { 0 } else { MASKED });
    }
}

/// Has the serial port's interrupt, an edge that is active high, taken by the CPU with this APIC identifier, and lets the port
/// interrupt.
///
/// # Errors
/// The controller cannot be mapped.
pub(crate) fn listen(line: &Line, apic: u32) -> Result<(), mmu::OutOfTables> {
    Output::make(line, apic, interrupts::KEYBOARD.into())?.open(true);
    console::listen(true);
    Ok(())
}
