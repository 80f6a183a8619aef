//! What the controller promises, case by case, and then at random against a model.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

extern crate std;

mod devices;
mod hammer;
mod machine;
mod model;
mod property;
mod v2;

use machine::Machine;

use super::v3::{self, Region, SgiRegister};
use super::{ListRegisters, MAX_VCPUS, Vgic, Width};

const GICD: Region = Region::Distributor;
const GICR: Region = Region::Redistributors;

/// A machine whose groups, and whose INTIDs `enabled`, are enabled at priority 0xa0.
fn machine(vcpus: u8, lists: u8, enabled: &[u32]) -> Machine {
    let mut machine = Machine::new(vcpus, lists);
    machine.write(0, GICD, 0, Width::Word, 2);
    for &intid in enabled {
        for vcpu in 0..u32::from(if intid < 32 { vcpus } else { 1 }) {
            let (region, base) = if intid < 32 { (GICR, vcpu * 0x2_0000 + 0x1_0000) } else { (GICD, 0) };
            machine.write(0, region, base + 0x400 + intid, Width::Byte, 0xa0);
            machine.write(0, region, base + 0x100 + intid / 32 * 4, Width::Word, 1 << (intid % 32));
        }
    }
    machine
}

#[test]
fn state_is_small() {
    assert!(size_of::<Vgic>() <= 3300, "{} bytes", size_of::<Vgic>());
}

#[test]
fn linux_finds_the_controller() {
    let vgic = Vgic::new(4);
    let word = |region, offset| v3::read(&vgic, 0, region, offset, Width::Word);
    assert_eq!(word(GICD, 0xffe8) >> 4 & 0xf, 3, "GICD_PIDR2.ArchRev");
    assert_eq!(word(GICR, 0xffe8) >> 4 & 0xf, 3, "GICR_PIDR2.ArchRev");
    assert_eq!(word(GICD, 4) & 0x1f, 8, "GICD_TYPER.ITLinesNumber");
    assert_eq!(word(GICD, 0) & 0x50, 0x50, "GICD_CTLR.ARE and DS");
    for vcpu in 0..4 {
        let kind = v3::read(&vgic, 0, GICR, vcpu * 0x2_0000 + 8, Width::Double);
        assert_eq!((kind >> 32, kind >> 8 & 0xffff, kind >> 4 & 1), (vcpu.into(), vcpu.into(), u64::from(vcpu == 3)));
        assert_eq!(word(GICR, vcpu * 0x2_0000 + 12), vcpu.into(), "upper half");
    }
    assert_eq!(word(GICR, 4 * 0x2_0000 + 8), 0, "no fifth redistributor");
    assert_eq!(word(GICR, 0x1_0c00), 0xaaaa_aaaa, "SGIs are edge-triggered");
}

#[test]
fn an_interrupt_goes_round() {
    let mut machine = machine(2, 4, &[40]);
    assert_eq!(machine.pulse(0, 40), 1, "routed to vCPU 0 after reset");
    assert_eq!(machine.acknowledge(0), Some(40));
    assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 1 << 8, "active");
    assert_eq!(machine.read(0, GICD, 0x204, Width::Word), 0, "no longer pending");
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.complete(0), Some(40));
    assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 0);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn a_high_line_comes_back_and_a_fallen_one_does_not() {
    let mut machine = machine(1, 4, &[32]);
    machine.set_line(0, 32, true);
    for _ in 0..3 {
        assert_eq!(machine.read(0, GICD, 0x204, Width::Word), 1);
        machine.write(0, GICD, 0x284, Width::Word, 1);
        assert_eq!(machine.acknowledge(0), Some(32), "ICPENDR does not lower a line");
        machine.complete(0);
    }
    machine.set_line(0, 32, false);
    assert_eq!(machine.read(0, GICD, 0x204, Width::Word), 0);
    assert_eq!(machine.acknowledge(0), None, "withdrawn from the list register");
}

#[test]
fn a_quiet_line_costs_no_exit_after_its_completion() {
    let mut machine = machine(1, 4, &[31]);
    machine.vgic.set_quiet(31);
    assert_eq!(machine.set_line(0, 31, true), 1);
    assert_eq!(machine.set_line(0, 31, true), 0, "the same level again is no news");
    assert_eq!(machine.acknowledge(0), Some(31));
    let exits = machine.exits;
    machine.complete(0);
    assert_eq!(machine.exits, exits);
    assert_eq!(machine.acknowledge(0), None);
    machine.set_line(0, 31, false);
    machine.set_line(0, 31, true);
    machine.set_line(0, 31, false);
    assert_eq!(machine.acknowledge(0), None, "withdrawn before it was acknowledged");
}

#[test]
fn a_timer_interrupt_completes_the_physical_one() {
    let mut machine = machine(1, 4, &[27]);
    machine.vgic.map_hardware(27);
    machine.take_physical(0, 27);
    assert_eq!(machine.read(0, GICR, 0x1_0200, Width::Word), 1 << 27, "shows in ISPENDR");
    assert_eq!(machine.acknowledge(0), Some(27));
    assert_eq!(machine.physical(0), 1 << 27);
    let exits = machine.exits;
    machine.complete(0);
    assert_eq!((machine.physical(0), machine.exits), (0, exits), "by hardware, without an exit");

    machine.take_physical(0, 27);
    machine.set_line(0, 27, false);
    assert_eq!(machine.physical(0), 0, "the timer was switched off: nobody else would complete it");
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn clearing_the_active_state_of_a_timer_completes_the_physical_one() {
    let mut machine = machine(1, 4, &[27]);
    machine.vgic.map_hardware(27);
    machine.take_physical(0, 27);
    machine.acknowledge(0);
    machine.write(0, GICR, 0x1_0380, Width::Word, 1 << 27);
    assert_eq!(machine.physical(0), 0);
}

#[test]
fn sgis_reach_whom_they_name() {
    let mut machine = machine(4, 4, &[1, 5]);
    assert_eq!(machine.send_sgi(0, SgiRegister::Group1, 5 << 24 | 0b1010), 0b1010);
    assert_eq!(machine.acknowledge(3), Some(5));
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.send_sgi(2, SgiRegister::Group1, 1 << 40 | 1 << 24), 0b1011, "all but self");
    assert_eq!(machine.send_sgi(2, SgiRegister::Group1, 1 << 16 | 1 << 24 | 1), 0, "another cluster");
    assert_eq!(machine.send_sgi(2, SgiRegister::Group0, 5 << 24 | 4), 0, "INTID 5 is in group 1");
    assert_eq!(machine.send_sgi(0, SgiRegister::Group1, 5 << 24 | 0xfff0), 0, "nobody there");
}

#[test]
fn the_trapped_registers_are_told_apart() {
    let iss = |op2: u32, read: u32| 3 << 20 | op2 << 17 | 12 << 10 | 9 << 5 | 11 << 1 | read;
    assert_eq!(v3::sgi_register(iss(5, 0)), Some(SgiRegister::Group1));
    assert_eq!(v3::sgi_register(iss(6, 0)), Some(SgiRegister::OtherGroup1));
    assert_eq!(v3::sgi_register(iss(7, 0)), Some(SgiRegister::Group0));
    for other in [iss(5, 1), iss(1, 0), iss(5, 0) ^ 1 << 10, iss(5, 0) ^ 1 << 14, iss(5, 0) ^ 1 << 20] {
        assert_eq!(v3::sgi_register(other), None);
    }
}

#[test]
fn more_interrupts_than_list_registers() {
    let intids: std::vec::Vec<u32> = (32..44).collect();
    for lists in 1..=4 {
        let mut machine = machine(1, lists, &intids);
        for &intid in &intids {
            // The higher the number, the more urgent, each in a group priority of its own.
            machine.write(0, GICD, 0x400 + intid, Width::Byte, u64::from(0xf0 - (intid - 32) * 8));
            machine.pulse(0, intid);
        }
        for &intid in intids.iter().rev() {
            assert_eq!(machine.acknowledge(0), Some(intid), "{lists} list registers");
            machine.complete(0);
        }
        assert_eq!(machine.acknowledge(0), None);
    }
}

#[test]
fn nesting_deeper_than_the_list_registers() {
    let mut machine = machine(1, 2, &[32, 33, 34, 35, 36]);
    for intid in 32..37 {
        machine.write(0, GICD, 0x400 + intid, Width::Byte, u64::from(0xf0 - (intid - 32) * 8));
    }
    for intid in 32..37 {
        machine.pulse(0, intid);
        assert_eq!(machine.acknowledge(0), Some(intid));
    }
    assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 0x1f);
    for intid in (32..37).rev() {
        assert_eq!(machine.complete(0), Some(intid));
        assert_eq!(machine.read(0, GICD, 0x304, Width::Word), (1 << (intid - 32)) - 1);
    }
}

#[test]
fn interrupts_left_active_do_not_keep_others_out() {
    let intids: std::vec::Vec<u32> = (32..40).collect();
    for lists in 1..=4 {
        let mut machine = machine(1, lists, &intids);
        for &intid in &intids {
            machine.pulse(0, intid);
        }
        for _ in &intids {
            assert!(machine.acknowledge(0).is_some(), "{lists} list registers, all of them active");
            machine.drop_priority(0);
        }
        assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 0xff);
        intids.iter().for_each(|intid| machine.deactivate(0, *intid));
        assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 0);
    }
}

#[test]
fn what_the_guest_made_active_it_can_deactivate() {
    let mut machine = machine(2, 4, &[40]);
    machine.write(0, GICD, 0x304, Width::Word, 1 << 8);
    machine.deactivate(0, 40);
    assert_eq!(machine.read(0, GICD, 0x304, Width::Word), 0);
}

#[test]
fn an_spi_follows_its_route() {
    let mut machine = machine(3, 4, &[50]);
    machine.pulse(0, 50);
    machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 2);
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.acknowledge(2), Some(50));
    machine.pulse(0, 50);
    machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 1);
    assert_eq!(machine.acknowledge(1), None, "still active at vCPU 2");
    machine.complete(2);
    assert_eq!(machine.acknowledge(1), Some(50), "vCPU 1 is told when vCPU 2 is done");
    machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 7);
    assert_eq!(machine.pulse(0, 50), 2, "vCPU 1 alone, which still has it active");
    assert_eq!(machine.read(0, GICD, 0x6000 + 50 * 8, Width::Double), 7);
}

#[test]
fn an_spi_active_at_a_vcpu_that_is_off_its_cpu_stays_there() {
    let mut machine = machine(2, 4, &[50]);
    machine.pulse(0, 50);
    machine.acknowledge(0);
    machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 1);
    machine.pulse(0, 50);
    machine.sync(0);
    machine.refresh(1);
    assert_eq!(machine.acknowledge(1), None);
}

#[test]
fn an_spi_that_went_nowhere_waits_for_a_route() {
    let mut machine = machine(2, 4, &[50]);
    machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 0x1_0000_0000);
    assert_eq!(machine.pulse(0, 50), 0, "Aff3 names nobody");
    assert_eq!(machine.write(0, GICD, 0x6000 + 50 * 8, Width::Double, 1), 2);
    assert_eq!(machine.acknowledge(1), Some(50));
}

#[test]
fn five_bits_of_priority_exist() {
    let mut machine = machine(1, 4, &[]);
    machine.write(0, GICR, 0x1_0404, Width::Word, 0xffff_ff07);
    assert_eq!(machine.read(0, GICR, 0x1_0404, Width::Word), 0xf8f8_f800);
}

#[test]
fn untouched_list_registers_are_not_written() {
    let mut machine = machine(1, 4, &[32]);
    machine.refresh(0);
    assert_eq!(machine.lists(0).to_write().len(), 0);
    machine.pulse(0, 32);
    assert_eq!(machine.lists(0).to_write().len(), 1);
    machine.acknowledge(0);
    machine.complete(0);
    machine.refresh(0);
    assert_eq!(machine.lists(0).to_write(), [0]);
    machine.switch(0);
    assert_eq!(machine.lists(0).to_write().len(), 0);
}

/// Whether a vCPU that left its CPU comes back by the short way.
fn comes_quickly(machine: &mut Machine) -> bool {
    machine.switch(0);
    !machine.lists(0).must_sync()
}

#[test]
fn a_vcpu_with_one_private_interrupt_comes_and_goes_quickly() {
    let mut machine = machine(1, 4, &[3, 31, 40]);
    machine.vgic.set_quiet(31);
    machine.refresh(0);
    assert!(comes_quickly(&mut machine));
    assert_eq!(machine.lists(0).used(), 0);
    machine.set_line(0, 31, true);
    assert!(comes_quickly(&mut machine));
    assert_eq!((machine.lists(0).used(), machine.acknowledge(0)), (1, Some(31)));
    assert!(comes_quickly(&mut machine), "active");
    machine.pulse(0, 31);
    assert!(comes_quickly(&mut machine), "active and pending");
    machine.complete(0);
    assert_eq!((machine.acknowledge(0), machine.complete(0)), (Some(31), Some(31)));
    assert!(comes_quickly(&mut machine), "over and forgotten");
    assert_eq!((machine.lists(0).used(), machine.read(0, GICR, 0x1_0300, Width::Word)), (0, 0));
    assert_eq!(machine.read(0, GICR, 0x1_0200, Width::Word), 0);
    machine.set_line(0, 31, false);
    machine.pulse(0, 31);
    machine.pulse(0, 3);
    assert!(!comes_quickly(&mut machine), "two");
    assert_eq!((machine.acknowledge(0), machine.complete(0), machine.acknowledge(0)), (Some(3), Some(3), Some(31)));
    machine.complete(0);
    assert!(comes_quickly(&mut machine));
    machine.pulse(0, 40);
    assert!(!comes_quickly(&mut machine), "a shared one");
    machine.acknowledge(0);
    assert!(!comes_quickly(&mut machine));
    assert_eq!((machine.complete(0), machine.acknowledge(0)), (Some(40), None));
    machine.refresh(0);
    assert!(comes_quickly(&mut machine), "nothing is left of it");
}

#[test]
fn a_vcpu_with_a_physical_interrupt_takes_its_time() {
    let mut machine = machine(1, 4, &[27]);
    machine.vgic.map_hardware(27);
    assert!(comes_quickly(&mut machine));
    machine.take_physical(0, 27);
    assert!(!comes_quickly(&mut machine), "pending");
    assert_eq!((machine.acknowledge(0), machine.physical(0)), (Some(27), 1 << 27));
    assert!(!comes_quickly(&mut machine), "active");
    machine.complete(0);
    assert_eq!(machine.physical(0), 0);
    assert!(comes_quickly(&mut machine));
    machine.write(0, GICR, 0x1_0180, Width::Word, 1 << 27);
    machine.take_physical(0, 27);
    assert!(!comes_quickly(&mut machine), "disabled");
    assert_eq!(machine.physical(0), 1 << 27, "silent until the guest looks at it");
}

#[test]
fn reset_forgets_all_but_the_sources() {
    let mut vgic = Vgic::new(2);
    vgic.map_hardware(27);
    v3::write(&mut vgic, 0, GICD, 0, Width::Word, 3);
    v3::write(&mut vgic, 0, GICR, 0x1_0100, Width::Word, !0);
    assert_eq!(vgic.set_line(0, 27, true), 1);
    assert!(vgic.has_deliverable(0));
    vgic.reset();
    assert!(!vgic.has_deliverable(0));
    assert_eq!(v3::read(&vgic, 0, GICR, 0x1_0100, Width::Word), 0);
    assert_eq!((vgic.set_line(0, 27, true), vgic.physical(0)), (1, 1 << 27), "still a hardware interrupt");
}

#[test]
fn vcpus_that_do_not_exist_are_harmless() {
    let mut vgic = Vgic::new(200);
    assert_eq!(usize::from(vgic.vcpus()), MAX_VCPUS);
    let mut lists = ListRegisters::new(200);
    for vcpu in [8, 31, 32, 255] {
        assert_eq!(vgic.pulse(vcpu, 3) | vgic.set_line(vcpu, 27, true), 0);
        vgic.flush(vcpu, &mut lists);
        assert_eq!((vgic.sync(vcpu, &mut lists), vgic.has_deliverable(vcpu), vgic.physical(vcpu)), (0, false, 0));
    }
    for intid in [288, 1023, u32::MAX] {
        assert_eq!(vgic.pulse(0, intid) | vgic.set_line(0, intid, true), 0);
        vgic.set_quiet(intid);
        vgic.map_hardware(intid);
    }
}
