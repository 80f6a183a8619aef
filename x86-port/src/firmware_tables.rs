//! The firmware's tables, as far as they say which CPUs there are.
//!
//! Read while the first 4 GiB are mapped one to one. A machine without tables, or with tables that lie elsewhere, has one
//! CPU.

use core::ptr::NonNull;

use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use heapless::Vec;
use hyp_core::limits::MAX_CPUS;

/// What is mapped.
const MAPPED: usize = 1 << 32;

/// A CPU can be used: it is enabled.
const ENABLED: u32 = 1;

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

/// The CPUs beside `own`, and how many more there are than the hypervisor has room for.
pub(crate) fn other_cpus(own: u64) -> (Cpus, u32) {
    let (mut cpus, mut left_out) = (Cpus::new(), 0);
    // SAFETY: the firmware's area below 1 MiB is mapped.
    let Ok(tables) = (unsafe { AcpiTables::search_for_rsdp_bios(Identity) }) else { return (cpus, left_out) };
    let Ok(madt) = tables.find_table::<Madt>() else { return (cpus, left_out) };
    for entry in madt.get().entries() {
        let id = match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => u64::from(cpu.apic_id),
            _ => continue,
        };
        if id != own && (cpus.len() + 1 >= MAX_CPUS || cpus.push(id).is_err()) {
            left_out += 1;
        }
    }
    (cpus, left_out)
}
