//! The firmware's tables, as far as they say which CPUs there are and where devices' interrupts arrive.
//!
//! Read while the first 4 GiB are mapped one to one. A machine without tables, or with tables that lie elsewhere, has one
//! CPU, and nothing can be typed.

use core::ptr::NonNull;

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use heapless::Vec;
use hyp_core::limits::MAX_CPUS;

/// What is mapped.
const MAPPED: usize = 1 << 32;

/// A CPU can be used: it is enabled.
const ENABLED: u32 = 1;

/// Interrupt controllers for devices.
const MAX_CONTROLLERS: usize = 8;

/// Lines below are those of old devices, active high if nothing is said; flags of an override (ACPI 6.4, 5.2.12.5).
const ISA_LINES: u32 = 16;
const POLARITY: u16 = 3;
const POLARITY_LOW: u16 = 3;

/// APIC identifiers.
pub(crate) type Cpus = Vec<u64, MAX_CPUS>;

#[derive(Clone)]
struct Identity;

impl AcpiHandler for Identity {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        // What is not mapped must not be touched: the first page reads as no table.
        let address = if address.checked_add(size).is_some_and(|end| end <= MAPPED) { address } else { 0x1000 };
        let start = NonNull::new(address as *mut T).unwrap_or(NonNull::dangling());
        // SAFETY: the range is mapped for good as long as this module is used.
        unsafe { PhysicalMapping::new(address, start, size, size, Self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

/// Where an interrupt arrives.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// Physical address of the interrupt controller.
    pub(crate) controller: u64,
    /// Which of its lines.
    pub(crate) number: u32,
    /// It is active low, if it is triggered by level.
    pub(crate) active_low: bool,
}

/// What the tables say.
#[derive(Default)]
pub(crate) struct Machine {
    /// CPUs beside the one that asks.
    pub(crate) others: Cpus,
    /// How many more there are than the hypervisor has room for.
    pub(crate) left_out: u32,
    /// The controllers: the global number of the first line of each, and its physical address.
    pub(crate) controllers: Vec<(u32, u64), MAX_CONTROLLERS>,
    /// The global number of the serial port's line.
    pub(crate) serial_line: u32,
    /// Lines below [`ISA_LINES`] that are active low.
    active_low: u16,
}

/// Reads the tables on the CPU `own`.
pub(crate) fn read(own: u64) -> Machine {
    /// Its interrupt on a PC, if nothing else is said.
    const SERIAL: u8 = 4;
    let mut machine = Machine { serial_line: SERIAL.into(), ..Machine::default() };
    // SAFETY: the firmware's area below 1 MiB is mapped.
    let Ok(tables) = (unsafe { AcpiTables::search_for_rsdp_bios(Identity) }) else { return machine };
    let Ok(madt) = tables.find_table::<Madt>() else { return machine };
    for entry in madt.get().entries() {
        match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => machine.add(cpu.apic_id.into(), own),
            MadtEntry::InterruptSourceOverride(other) => {
                let line = other.global_system_interrupt;
                if other.irq == SERIAL {
                    machine.serial_line = line;
                }
                if other.flags & POLARITY == POLARITY_LOW && line < ISA_LINES {
                    machine.active_low |= 1 << line;
                }
            }
            MadtEntry::IoApic(controller) => {
                // More than fit are no PC's.
                let _ = machine
                    .controllers
                    .push((controller.global_system_interrupt_base, controller.io_apic_address.into()));
            }
            _ => {}
        }
    }
    machine
}

impl Machine {
    /// Where a line arrives, by its global number; `None` without a controller that drives it.
    pub(crate) fn line(&self, number: u32) -> Option<Line> {
        let (first, controller) = self.controllers.iter().filter(|(first, _)| *first <= number).max().copied()?;
        // Those that are PCI's alone are active low, as PCI's lines are.
        let active_low = if number < ISA_LINES { self.active_low >> number & 1 != 0 } else { true };
        Some(Line { controller, number: number - first, active_low })
    }

    fn add(&mut self, id: u64, own: u64) {
        if id != own && (self.others.len() + 1 >= MAX_CPUS || self.others.push(id).is_err()) {
            self.left_out += 1;
        }
    }
}
