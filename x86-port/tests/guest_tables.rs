//! The tables of an x86 guest, read by another reader of such tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::ptr::NonNull;

use acpi::fadt::Fadt;
use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use hyp_boot::guest_tables::{IO_APIC, RESET, SLEEP_CONTROL, TABLES, Tables};

/// The tables where a guest finds them.
#[derive(Clone)]
struct Memory(*const u8, usize);

impl AcpiHandler for Memory {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let offset = address - TABLES.start as usize;
        assert!(offset + size <= self.1, "{address:#x} is behind the tables");
        let place = NonNull::new(self.0.wrapping_add(offset) as *mut T).unwrap();
        // SAFETY: the range lies in the tables, which outlive the reader.
        unsafe { PhysicalMapping::new(address, place, size, size, self.clone()) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

#[test]
fn another_reader_finds_processors_controllers_and_registers() {
    for vcpus in [1, 4, 8] {
        let tables = Tables::new(vcpus);
        let bytes = tables.bytes();
        let memory = Memory(bytes.as_ptr(), bytes.len());
        // SAFETY: the handler gives the tables' bytes; the reader checks their sums.
        let reader = unsafe { AcpiTables::from_rsdp(memory, TABLES.start as usize) }.unwrap();
        let madt = reader.find_table::<Madt>().unwrap();
        let (mut numbers, mut controllers) = (Vec::new(), Vec::new());
        for entry in madt.get().entries() {
            match entry {
                MadtEntry::LocalApic(cpu) => numbers.push((cpu.apic_id, { cpu.flags })),
                MadtEntry::IoApic(controller) => {
                    controllers.push(({ controller.io_apic_address }, { controller.global_system_interrupt_base }))
                }
                _ => panic!("an entry that nobody expects"),
            }
        }
        assert_eq!(numbers, (0..vcpus).map(|number| (number, 1)).collect::<Vec<_>>());
        assert_eq!(controllers, [(IO_APIC.start as u32, 0)]);
        let fadt = reader.find_table::<Fadt>().unwrap();
        assert_eq!(fadt.reset_register().unwrap().address, RESET.0.into());
        assert_eq!(fadt.sleep_control_register().unwrap().unwrap().address, SLEEP_CONTROL.into());
        let flags = { fadt.flags };
        assert!(flags.system_is_hw_reduced_acpi() && flags.supports_system_reset_via_fadt());
        assert!(fadt.dsdt_address().unwrap() > TABLES.start as usize);
        assert!(TABLES.size >= bytes.len() as u64);
    }
}
