//! SPIs that are tied to physical ones.

use super::super::v3::Region;
use super::super::{Vgic, Width, v3};
use super::machine::{Machine, Version};

const GICD: Region = Region::Distributor;
const SPI: u32 = 40;
const BIT: u64 = 1 << (SPI % 32);

/// A machine with one list register or more, whose guest has enabled a device's interrupt.
fn machine(version: Version, vcpus: u8, lists: u8) -> Machine {
    let mut machine = Machine::of(version, vcpus, lists);
    machine.vgic.map_hardware(SPI);
    machine.write(0, GICD, 0, Width::Word, 3);
    assert!(machine.forwarded.is_empty(), "it is the guest that enables it");
    machine.write(0, GICD, 0x104, Width::Word, BIT);
    assert_eq!(machine.forwarded, [SPI]);
    machine
}

#[test]
fn completing_it_completes_the_physical_one_without_an_exit() {
    for version in [Version::V2, Version::V3] {
        let mut machine = machine(version, 1, 4);
        for _ in 0..3 {
            machine.take_shared(SPI);
            assert_eq!((machine.acknowledge(0), machine.shared.len()), (Some(SPI), 1), "silent while it is handled");
            let exits = machine.exits;
            machine.complete(0);
            assert_eq!((machine.shared.len(), machine.exits), (0, exits));
            assert_eq!(machine.acknowledge(0), None);
        }
    }
}

#[test]
fn it_outlives_its_vcpus_turns() {
    let mut machine = machine(Version::V3, 2, 4);
    machine.take_shared(SPI);
    machine.switch(0);
    assert_eq!((machine.acknowledge(0), machine.shared.len()), (Some(SPI), 1));
    machine.switch(0);
    assert_eq!(machine.shared.len(), 1);
    machine.write(1, GICD, 0x6000 + SPI * 8, Width::Double, 1);
    machine.complete(0);
    assert!(machine.shared.is_empty());
    machine.take_shared(SPI);
    assert_eq!((machine.acknowledge(0), machine.acknowledge(1)), (None, Some(SPI)), "where it is routed to by now");
}

#[test]
fn with_too_few_list_registers_the_hypervisor_completes_it() {
    let mut machine = machine(Version::V3, 1, 1);
    machine.write(0, GICD, 0x104, Width::Word, 1 << 9);
    machine.write(0, GICD, 0x400 + 41, Width::Byte, 0x80);
    machine.pulse(0, 41);
    machine.take_shared(SPI);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    machine.write(0, GICD, 0x184, Width::Word, BIT);
    assert_eq!(machine.shared.len(), 1, "it is being handled");
    machine.complete(0);
    assert_eq!((machine.shared.len(), machine.acknowledge(0)), (0, Some(41)));
}

#[test]
fn what_is_disabled_is_let_go() {
    let mut machine = machine(Version::V3, 1, 4);
    machine.take_shared(SPI);
    machine.write(0, GICD, 0x184, Width::Word, BIT);
    assert!(machine.forwarded.is_empty() && machine.shared.is_empty());
    assert_eq!(machine.read(0, GICD, 0x204, Width::Word), 0, "a level shows again when it is taken again");
    machine.write(0, GICD, 0x104, Width::Word, BIT);
    assert_eq!(machine.acknowledge(0), None);

    machine.write(0, GICD, 0x184, Width::Word, BIT);
    machine.write(0, GICD, 0xc08, Width::Word, 2 << (2 * (SPI % 16)));
    machine.write(0, GICD, 0x104, Width::Word, BIT);
    machine.take_shared(SPI);
    machine.write(0, GICD, 0x184, Width::Word, BIT);
    assert!(machine.shared.is_empty());
    machine.write(0, GICD, 0x104, Width::Word, BIT);
    assert_eq!(machine.acknowledge(0), Some(SPI), "an edge is not forgotten");
}

#[test]
fn what_was_on_its_way_when_it_was_disabled_is_let_go() {
    let mut machine = machine(Version::V3, 1, 4);
    // Another CPU has taken it before.
    machine.shared.push(SPI);
    machine.write(0, GICD, 0x184, Width::Word, BIT);
    let mask = machine.vgic.take_shared(SPI);
    machine.settle();
    machine.refresh_all(mask);
    assert!(machine.shared.is_empty());
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn what_a_guest_clears_by_hand_is_let_go() {
    for register in [0x284, 0x384] {
        let mut machine = machine(Version::V3, 1, 4);
        machine.take_shared(SPI);
        if register == 0x384 {
            machine.acknowledge(0);
        }
        machine.write(0, GICD, register, Width::Word, BIT);
        assert!(machine.shared.is_empty(), "{register:#x}");
    }
}

#[test]
fn a_new_life_starts_clean() {
    let mut machine = machine(Version::V3, 1, 4);
    machine.take_shared(SPI);
    machine.acknowledge(0);
    machine.sync(0);
    machine.vgic.reset();
    machine.settle();
    assert!(machine.forwarded.is_empty() && machine.shared.is_empty());
    assert_eq!(v3::read(&machine.vgic, 0, GICD, 0x304, Width::Word), 0);
    machine.write(0, GICD, 0x104, Width::Word, BIT);
    assert_eq!(machine.forwarded, [SPI], "it is still tied");
}

#[test]
fn only_shared_and_private_peripheral_interrupts_can_be_tied() {
    let mut vgic = Vgic::new(1);
    for intid in [0, 15, 27, 288, 1023, u32::MAX] {
        vgic.map_hardware(intid);
    }
    assert!(!vgic.has_devices() && vgic.next_physical().is_none());
    assert_eq!(vgic.take_shared(u32::MAX), 0);
}
