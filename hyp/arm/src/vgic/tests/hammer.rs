//! Ten million accesses: a guest that stores whatever it likes wherever it likes, in every width and at every alignment.
//!
//! The property tests shrink what they find, and so they are slow; these only count. Between the accesses lines move,
//! interrupts are acknowledged and completed, and every answer is compared with the model's.

use super::super::Width;
use super::super::v3::{Region, SgiRegister};
use super::machine::Version;
use super::property::{Pair, Step};

/// Accesses of each test; there are four.
const ACCESSES: u32 = 2_500_000;
/// From here on another machine, with as many vCPUs and list registers as comes.
const ACCESSES_OF_ONE: u32 = 5_000;

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() >> 32) as u32 % end
    }

    fn width(&mut self) -> Width {
        Width::from_sas(self.below(4) as u8)
    }

    /// Few, so that things happen to the same one.
    fn intid(&mut self) -> u32 {
        match self.below(5) {
            0 => self.below(4),
            1 => 26 + self.below(6),
            2 => 32 + self.below(8),
            3 => 60 + self.below(8),
            _ => 284 + self.below(4),
        }
    }

    /// Where a word of the bit arrays is.
    fn array(&mut self, version: Version) -> (Region, u32) {
        let (intid, array, vcpu) = (self.intid(), 1 + self.below(7), self.below(5));
        match version {
            Version::V3 if intid < 32 => (Region::Redistributors, vcpu * 0x2_0000 + 0x1_0000 + array * 0x80),
            _ => (Region::Distributor, array * 0x80 + intid / 32 * 4),
        }
    }

    fn place(&mut self, version: Version) -> (Region, u32, Width) {
        let frames = [(Region::Distributor, 0), (Region::Redistributors, 0), (Region::Redistributors, 0x1_0000)];
        let (region, base) = frames[if version == Version::V2 { 0 } else { self.below(3) as usize }];
        let base = if region == Region::Distributor { 0 } else { base + self.below(5) * 0x2_0000 };
        match self.below(16) {
            0 => (region, base + self.below(0x1_0000), self.width()),
            1..4 => (region, base + self.below(0x1100), self.width()),
            4 => (region, base + self.below(0x20), self.width()),
            5 => (region, base + 0xffd0 + self.below(0x38), self.width()),
            6 => (Region::Distributor, 0xef8 + self.below(0x40), self.width()),
            7 | 8 if version == Version::V2 => (Region::Distributor, 0x7f0 + self.below(0x140), self.width()),
            7 | 8 => (Region::Distributor, 0x60f0 + self.below(0x820), self.width()),
            _ => {
                let (region, offset) = self.array(version);
                (region, offset, Width::Word)
            }
        }
    }

    fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => !0,
            2 => 1 << self.below(32),
            _ => self.below(5).into(),
        }
    }

    fn step(&mut self, version: Version) -> Step {
        let vcpu = self.below(4) as u8;
        match self.below(16) {
            0..5 => {
                let (region, offset, width) = self.place(version);
                Step::Read(vcpu, region, offset, width)
            }
            5..10 => {
                let (region, offset, width) = self.place(version);
                Step::Write(vcpu, region, offset, width, self.value())
            }
            10 => Step::Line(vcpu, self.intid(), self.below(2) != 0),
            11 => Step::Pulse(vcpu, self.intid()),
            12 => {
                let registers = [SgiRegister::Group0, SgiRegister::Group1, SgiRegister::OtherGroup1];
                let value = u64::from(self.below(4)) << 24 | u64::from(self.below(32));
                Step::Sgi(vcpu, registers[self.below(3) as usize], value | u64::from(self.below(4) / 3) << 40)
            }
            13 | 14 => Step::Acknowledge(vcpu),
            _ if self.below(50) == 0 => Step::Switch(vcpu),
            _ => Step::Complete(vcpu),
        }
    }
}

fn hammer(version: Version, active_writes: bool, seed: u64) {
    let mut random = Random(seed);
    let mut accesses = 0;
    while accesses < ACCESSES {
        let vcpus = 1 + random.below(4) as u8;
        let lists = if active_writes { 16 } else { 1 + random.below(4) as u8 };
        let mut pair = Pair::new(version, vcpus, lists, active_writes);
        let end = accesses + ACCESSES_OF_ONE;
        while accesses < end {
            let step = random.step(version);
            accesses += u32::from(matches!(step, Step::Read(..) | Step::Write(..)));
            pair.run(step, active_writes);
        }
        pair.check();
    }
}

#[test]
fn a_gicv3_with_few_list_registers() {
    hammer(Version::V3, false, 1);
}

#[test]
fn a_gicv3_whose_guest_writes_active_bits() {
    hammer(Version::V3, true, 2);
}

#[test]
fn a_gicv2_with_few_list_registers() {
    hammer(Version::V2, false, 3);
}

#[test]
fn a_gicv2_whose_guest_writes_active_bits() {
    hammer(Version::V2, true, 4);
}
