//! What is different with a GICv2: senders of SGIs, target lists, the distributor's layout.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::super::{ListRegisters, Vgic, Width, v2};

const SGIR: u32 = 0xf00;
const PENDING: u64 = 1 << 62;
const STATE: u64 = 3 << 62;

/// Two vCPUs or more whose list registers are brought back and filled anew at every step.
struct Machine {
    vgic: Vgic,
    lists: [ListRegisters; 4],
}

impl Machine {
    fn new(lists: u8) -> Self {
        let mut machine = Self { vgic: v2::new(4), lists: [const { ListRegisters::new(1) }; 4] };
        machine.lists.fill(ListRegisters::new(lists));
        machine.write(0, 0, 1);
        for vcpu in 0..4 {
            machine.write(vcpu, 0x100, !0);
        }
        machine
    }

    fn write(&mut self, vcpu: u8, offset: u32, value: u64) {
        v2::sync(&mut self.vgic, vcpu, &mut self.lists[usize::from(vcpu)]);
        v2::write(&mut self.vgic, vcpu, offset, Width::Word, value);
        self.refresh();
    }

    fn read(&mut self, vcpu: u8, offset: u32, width: Width) -> u64 {
        self.refresh();
        for (vcpu, lists) in (0..).zip(&mut self.lists) {
            v2::sync(&mut self.vgic, vcpu, lists);
        }
        v2::read(&self.vgic, vcpu, offset, width)
    }

    fn refresh(&mut self) {
        for (vcpu, lists) in (0..).zip(&mut self.lists) {
            v2::sync(&mut self.vgic, vcpu, lists);
            v2::flush(&mut self.vgic, vcpu, lists);
            for value in lists.used_mut() {
                assert_eq!(v2::from_hardware(v2::to_hardware(*value)), *value, "nothing is lost in GICH_LR");
            }
        }
    }

    /// GICC_IAR: the INTID and the sender.
    fn acknowledge(&mut self, vcpu: u8) -> Option<(u32, u8)> {
        self.refresh();
        let lists = self.lists[usize::from(vcpu)].used_mut();
        let value = lists.iter_mut().find(|value| **value & STATE == PENDING)?;
        *value ^= STATE;
        Some((*value as u32, (*value >> 32 & 7) as u8))
    }

    /// GICC_EOIR with the same.
    fn complete(&mut self, vcpu: u8, (intid, source): (u32, u8)) {
        self.refresh();
        let lists = &mut self.lists[usize::from(vcpu)];
        let both = u64::from(intid) | u64::from(source) << 32;
        let mut used = lists.used_mut().iter_mut();
        match used.find(|value| **value & (7 << 32 | 0xffff_ffff) == both && **value >> 63 != 0) {
            Some(value) => *value &= !(1 << 63),
            None => {
                assert_ne!(lists.control(), 0, "an active interrupt is missing without need");
                lists.set_eoi_count(1);
            }
        }
    }
}

#[test]
fn linux_finds_the_distributor() {
    let mut machine = Machine::new(4);
    assert_eq!(machine.read(0, 0xfe8, Width::Word) >> 4 & 0xf, 2, "ICPIDR2.ArchRev");
    assert_eq!(machine.read(0, 4, Width::Word), 8 | 3 << 5, "288 interrupts, 4 vCPUs");
    assert_eq!(machine.read(2, 0x800, Width::Word), 0x0404_0404, "private interrupts target whoever asks");
    assert_eq!(machine.read(0, 0x820, Width::Byte), 1);
}

#[test]
fn the_sender_is_known() {
    let mut machine = Machine::new(4);
    machine.write(3, SGIR, 1 << 16 | 5);
    machine.write(1, SGIR, 1 << 24 | 5);
    assert_eq!(machine.read(0, 0xf24, Width::Word), 0b1010 << 8, "pending from vCPUs 1 and 3");
    assert_eq!(machine.read(0, 0xf15, Width::Byte), 0b1010);
    machine.refresh();
    assert_eq!(machine.lists[0].used_mut().first().map(|value| value >> 41 & 1), Some(1), "its completion is watched");
    assert_eq!(machine.acknowledge(0), Some((5, 1)));
    assert_eq!(machine.acknowledge(0), None, "the same INTID is active");
    machine.complete(0, (5, 1));
    assert_eq!(machine.acknowledge(0), Some((5, 3)));
    machine.complete(0, (5, 3));
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.acknowledge(2), Some((5, 1)), "all but self");
    assert_eq!(machine.acknowledge(1), None);
}

#[test]
fn senders_are_set_and_cleared() {
    let mut machine = Machine::new(4);
    machine.write(0, 0xf24, 0xff << 8);
    assert_eq!(machine.read(0, 0xf24, Width::Word), 0xf << 8, "four vCPUs");
    machine.write(0, 0xf14, 0b0111 << 8);
    assert_eq!(machine.acknowledge(0), Some((5, 3)));
    machine.write(0, 0x200, !0);
    assert_eq!(machine.read(0, 0x200, Width::Word), 0xffff_0000, "SGIs ignore ISPENDR");
}

#[test]
fn an_spi_goes_to_the_first_of_its_targets() {
    let mut machine = Machine::new(4);
    machine.write(0, 0x104, 1);
    machine.write(0, 0x820, 0b1100);
    machine.vgic.pulse(0, 32);
    assert_eq!(machine.acknowledge(3), None);
    assert_eq!(machine.acknowledge(2), Some((32, 0)));
    assert_eq!(machine.read(0, 0x820, Width::Word), 0b1100);
}

#[test]
fn reset_leaves_a_v2_a_v2() {
    let mut vgic = v2::new(2);
    v2::write(&mut vgic, 0, 0x80, Width::Word, !0);
    v2::write(&mut vgic, 0, 0x820, Width::Byte, 2);
    vgic.reset();
    assert_eq!(v2::read(&vgic, 0, 0x80, Width::Word), 0);
    assert_eq!(v2::read(&vgic, 0, 0x820, Width::Byte), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each SGI arrives once from each sender, whatever the order, and with few list registers.
    #[test]
    fn every_sender_is_heard_once(lists in 1..=4u8, steps in vec((any::<u8>(), 0..4u8, 0..4u8, 0..3u8), 1..200)) {
        let mut machine = Machine::new(lists);
        let mut pending = [[0u8; 4]; 4];
        let mut active = [None; 4];
        for (kind, vcpu, other, sgi) in steps {
            let index = usize::from(vcpu);
            match (kind % 4, active[index]) {
                (0 | 1, _) => {
                    machine.write(vcpu, SGIR, 1 << (16 + other) | u64::from(sgi));
                    pending[usize::from(other)][usize::from(sgi)] |= 1 << vcpu;
                }
                (2, None) => {
                    active[index] = machine.acknowledge(vcpu);
                    let Some((sgi, source)) = active[index] else {
                        assert_eq!(pending[index], [0; 4]);
                        continue;
                    };
                    assert_ne!(pending[index][sgi as usize] & 1 << source, 0);
                    pending[index][sgi as usize] ^= 1 << source;
                }
                (_, Some(done)) => {
                    machine.complete(vcpu, done);
                    active[index] = None;
                }
                _ => {
                    let expected = pending[index].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
                    assert_eq!(machine.read(vcpu, 0xf20, Width::Word), expected);
                }
            }
        }
    }

    /// Nothing that a guest stores makes an access fail.
    #[test]
    fn random_accesses_are_harmless(steps in vec((0..4u8, any::<u16>(), 0..4u8, any::<u64>()), 1..200)) {
        let mut machine = Machine::new(2);
        for (vcpu, offset, width, value) in steps {
            let (offset, width) = (u32::from(offset) % 0x1100, Width::from_sas(width));
            v2::write(&mut machine.vgic, vcpu, offset, width, value);
            v2::read(&machine.vgic, vcpu, offset, width);
            machine.refresh();
        }
    }
}
