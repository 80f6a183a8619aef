//! The firmware's tables, as far as they say which CPUs there are and where the serial port's interrupt arrives.
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

/// Where the interrupt of a PC's first serial port arrives.
#[derive(Clone, Copy)]
pub(crate) struct SerialLine {
    /// Physical address of the interrupt controller.
    pub(crate) controller: u64,
    /// Which of its lines.
    pub(crate) number: u32,
}

/// What the tables say.
#[derive(Default)]
pub(crate) struct Machine {
    /// CPUs beside the one that asks.
    pub(crate) others: Cpus,
    /// How many more there are than the hypervisor has room for.
    pub(crate) left_out: u32,
    /// `None` without a controller that drives it.
    pub(crate) serial: Option<SerialLine>,
}

/// Reads the tables on the CPU `own`.
pub(crate) fn read(own: u64) -> Machine {
    /// Its interrupt on a PC, if nothing else is said.
    const SERIAL: u8 = 4;
    let mut machine = Machine::default();
    // SAFETY: the firmware's area below 1 MiB is mapped.
    let Ok(tables) = (unsafe { AcpiTables::search_for_rsdp_bios(Identity) }) else { return machine };
    let Ok(madt) = tables.find_table::<Madt>() else { return machine };
    let (mut line, mut controllers) = (u32::from(SERIAL), Vec::<(u32, u64), MAX_CONTROLLERS>::new());
    for entry in madt.get().entries() {
        match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => machine.add(cpu.apic_id.into(), own),
            MadtEntry::InterruptSourceOverride(other) if other.irq == SERIAL => line = other.global_system_interrupt,
            MadtEntry::IoApic(controller) => {
                // More than fit are no PC's.
                let _ = controllers.push((controller.global_system_interrupt_base, controller.io_apic_address.into()));
            }
            _ => {}
        }
    }
    let nearest = controllers.iter().filter(|(first, _)| *first <= line).max();
    machine.serial = nearest.map(|(first, controller)| SerialLine { controller: *controller, number: line - first });
    machine
}

impl Machine {
    fn add(&mut self, id: u64, own: u64) {
        if id != own && (self.others.len() + 1 >= MAX_CPUS || self.others.push(id).is_err()) {
            self.left_out += 1;
        }
    }
}
