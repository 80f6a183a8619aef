//! The machine's devices that guests have: their ports without an exit, their registers in the guest's memory, and their
//! interrupts on the lines of the interrupt controller that the guest sees.
//!
//! An interrupt comes to the hypervisor, which closes the line in the machine's controller, tells the guest, and opens it
//! again when the guest has ended it ([`crate::vioapic::IoApic::changes`]). So a device that goes on asking holds up nobody, and
//! after a guest's death its lines stay closed.

use heapless::Vec;
use hyp_boot::Region;
use hyp_boot::assigned::{Assigned, Kind, LINES, MAX_PIECES, Piece};
use hyp_core::domain::DomainId;
use spin::Once;

use crate::firmware_tables::{Line, Machine};
use crate::init::HYPERVISOR;
use crate::io_apic::Output;
use crate::layout::PAGE_SIZE;
use crate::pool::{self, PoolEmpty};
use crate::processor::{read_port32, write_port32};
use crate::vlapic::Effect;
use crate::{clock, console, firmware, interrupts, local_apic};

/// The ports by which a PC's devices are configured: which register, and its value. The guest's own reset register is one of
/// the first, so that those alone go on leaving the guest, and [`crate::run`] does what is asked of them.
pub(crate) const PCI_ADDRESS: u16 = 0xcf8;
const PCI_ADDRESS_BYTES: u16 = 4;

/// Bytes of a map of ports: a bit for each, and a page behind them for those of an access that goes beyond the last.
const MAP_BYTES: u64 = 3 * PAGE_SIZE;

/// A guest's line.
struct Device {
    domain: DomainId,
    line: u8,
    output: Output,
}

static DEVICES: Once<Vec<Device, MAX_PIECES>> = Once::new();

/// What the hypervisor needs itself of a machine.
pub(crate) fn own(machine: &Machine) -> Vec<Piece, 32> {
    let ports = [console::PORTS, interrupts::LEGACY_PORTS, clock::PORTS, firmware::PORTS].into_iter().flatten();
    let ports = ports.map(|(first, count)| (Kind::Ports, Region::new((*first).into(), *count)));
    let controllers = machine.controllers.iter().map(|(_, controller)| Region::new(*controller, PAGE_SIZE));
    let memory = controllers.chain([local_apic::PLACE]).map(|place| (Kind::Memory, place));
    let line = (Kind::Interrupts, Region::new(machine.serial_line.into(), 1));
    ports.chain(memory).chain([line]).map(|(kind, place)| Piece { kind, place }).collect()
}

/// Physical address of the map of ports that leave a guest; `None` where all do.
pub(crate) fn port_map(assigned: &Assigned, guest: usize) -> Result<Option<u64>, PoolEmpty> {
    let mut ports = assigned.of(guest, Kind::Ports).peekable();
    if ports.peek().is_none() {
        return Ok(None);
    }
    let map = pool::take_words(MAP_BYTES / PAGE_SIZE)?;
    map.fill(u64::MAX);
    let leaves = PCI_ADDRESS.into()..u64::from(PCI_ADDRESS + PCI_ADDRESS_BYTES);
    for port in ports.flat_map(|range| range.start..range.end()).filter(|port| !leaves.contains(port)) {
        if let Some(word) = map.get_mut(port as usize / 64) {
            *word &= !(1 << (port % 64));
        }
    }
    Ok(Some(map.as_ptr() as u64))
}

/// Does a guest configure the machine's devices?
pub(crate) fn configures(assigned: &Assigned, guest: usize) -> bool {
    assigned
        .of(guest, Kind::Ports)
        .any(|ports| ports.contains(&Region::new(PCI_ADDRESS.into(), PCI_ADDRESS_BYTES.into())))
}

/// Which register was chosen, for the guest that configures PCI's devices.
pub(crate) fn pci_address() -> u32 {
    // SAFETY: the port is one guest's, for which this is done; reading it has no effect.
    unsafe { read_port32(PCI_ADDRESS) }
}

/// Chooses one.
pub(crate) fn set_pci_address(value: u32) {
    // SAFETY: as above; it only chooses what an access to the next ports means.
    unsafe { write_port32(PCI_ADDRESS, value) };
}

/// A guest's lines, bit n is line n.
pub(crate) fn lines(assigned: &Assigned, guest: usize) -> u32 {
    assigned.of(guest, Kind::Interrupts).fold(0, |lines, line| lines | 1 << (line.start % LINES))
}

/// Has all lines come to the CPU that `apic` names for their guest; they stay closed.
///
/// # Errors
/// What cannot be.
pub(crate) fn connect(assigned: &Assigned, machine: &Machine, apic: impl Fn(usize) -> u32) -> Result<(), &'static str> {
    let mut devices = Vec::new();
    for ((guest, place), vector) in assigned.all(Kind::Interrupts).zip(interrupts::FIRST_DEVICE..) {
        let line = place.start as u8;
        let known: Line = machine.line(line.into()).ok_or("makuhari,irqs: the firmware names no controller for one")?;
        let output =
            Output::connect(&known, apic(guest), vector).map_err(|_| "no page table for a controller is left")?;
        // Cannot fail: there are as many as pieces.
        let _ = devices.push(Device { domain: DomainId::from_index(guest), line, output });
    }
    DEVICES.call_once(|| devices);
    Ok(())
}

/// Closes and opens lines of a guest.
pub(crate) fn change(domain: usize, (close, open): (u32, u32)) {
    let own = DEVICES.get().into_iter().flatten().filter(|device| device.domain.index() == domain);
    for Device { line, output, .. } in own {
        if (close | open) >> line & 1 != 0 {
            output.open(open >> line & 1 != 0);
        }
    }
}

/// Tells guests what has come for them. Called when it came.
pub(crate) fn poll() {
    let came = local_apic::served_devices();
    let devices = DEVICES.get().into_iter().flatten().enumerate();
    for (_, device) in devices.filter(|(number, _)| came >> number & 1 != 0) {
        let Some(domain) = HYPERVISOR.domain(device.domain) else { continue };
        let guest = domain.arch();
        // This closes the line, before the end of its interrupt lets it come again.
        if let Effect::Interrupt { targets, vector } =
            guest.drive_io_apic(|io_apic| io_apic.set_line(device.line, true))
        {
            guest.post(targets, vector);
            HYPERVISOR.device_interrupts(device.domain, targets);
        }
        local_apic::end();
    }
}
