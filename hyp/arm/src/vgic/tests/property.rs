//! Random accesses, lines, SGIs, acknowledgements and completions: the controller with its list registers must be
//! indistinguishable from the model.

use super::std::vec::Vec;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::super::Width;
use super::super::v3::{Region, SgiRegister};
use super::machine::{Machine, Version};
use super::model::{Model, Wire};

const QUIET: u32 = 31;
const HARDWARE: u32 = 27;
/// SPIs that are tied to physical ones.
const SHARED: [u32; 2] = [35, 63];

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Read(u8, Region, u32, Width),
    Write(u8, Region, u32, Width, u64),
    Line(u8, u32, bool),
    Pulse(u8, u32),
    Sgi(u8, SgiRegister, u64),
    Acknowledge(u8),
    Complete(u8),
    Switch(u8),
}

/// The INTIDs in play: few, so that things happen to the same one, of every kind.
fn intid() -> impl Strategy<Value = u32> {
    prop_oneof![0..4u32, 26..32u32, 32..40u32, 60..68u32, 284..288u32]
}

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::Byte), Just(Width::Half), Just(Width::Word), Just(Width::Double)]
}

fn region() -> impl Strategy<Value = Region> {
    prop_oneof![Just(Region::Distributor), Just(Region::Redistributors)]
}

/// A place where something is, or next to it.
fn place() -> impl Strategy<Value = (Region, u32, Width)> {
    let anywhere = (region(), 0..0xc_0000u32, width());
    let heads = (region(), 0..5u32, 0..6u32, width()).prop_map(|(r, vcpu, word, w)| (r, vcpu * 0x2_0000 + word * 4, w));
    let ids = (region(), 0..14u32).prop_map(|(r, word)| (r, 0xffc8 + word * 4, Width::Word));
    let routes =
        (28..292u32, 0..2u32, width()).prop_map(|(n, half, w)| (Region::Distributor, 0x6000 + n * 8 + half * 4, w));
    let arrays = (intid(), 0..5u32, 1..8u32).prop_map(|(n, vcpu, array)| match n {
        0..32 => (Region::Redistributors, vcpu * 0x2_0000 + 0x1_0000 + array * 0x80, Width::Word),
        _ => (Region::Distributor, array * 0x80 + n / 32 * 4, Width::Word),
    });
    let others = (region(), 0..5u32, 0..0x1000u32, width()).prop_map(|(r, vcpu, at, w)| match r {
        Region::Distributor => (r, at, w),
        Region::Redistributors => (r, vcpu * 0x2_0000 + 0x1_0000 + at, w),
    });
    prop_oneof![1 => anywhere, 1 => heads, 1 => ids, 2 => routes, 6 => arrays, 3 => others]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(!0), 0..5u64, (0..32u32).prop_map(|bit| 1 << bit)]
}

fn sgi() -> impl Strategy<Value = (SgiRegister, u64)> {
    use SgiRegister::{Group0, Group1, OtherGroup1};
    let register = prop_oneof![3 => Just(Group1), 1 => Just(OtherGroup1), 1 => Just(Group0)];
    let value = prop_oneof![
        4 => (0..4u64, 0..32u64).prop_map(|(n, targets)| n << 24 | targets),
        1 => (0..4u64).prop_map(|n| n << 24 | 1 << 40),
        1 => any::<u64>(),
    ];
    (register, value)
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V2), Just(Version::V3)]
}

fn step() -> impl Strategy<Value = Step> {
    let vcpu = || 0..4u8;
    prop_oneof![
        4 => (vcpu(), place()).prop_map(|(v, (r, o, w))| Step::Read(v, r, o, w)),
        4 => (vcpu(), place(), value()).prop_map(|(v, (r, o, w), x)| Step::Write(v, r, o, w, x)),
        4 => (vcpu(), intid(), any::<bool>()).prop_map(|(v, n, level)| Step::Line(v, n, level)),
        3 => (vcpu(), intid()).prop_map(|(v, n)| Step::Pulse(v, n)),
        3 => (vcpu(), sgi()).prop_map(|(v, (r, x))| Step::Sgi(v, r, x)),
        8 => vcpu().prop_map(Step::Acknowledge),
        5 => vcpu().prop_map(Step::Complete),
        1 => vcpu().prop_map(Step::Switch),
    ]
}

/// The bits of a word that enables or activates interrupts, or of any other word, which leave no more of them than
/// there can be list registers: INTIDs 0, 1, 27, 31, 34, 35, 62, 63, 64, 65 and 287.
fn few(version: Version, region: Region, offset: u32) -> u64 {
    match (region, offset % 0x1_0000) {
        // An SGI that a guest makes active itself has no sender.
        (_, 0x300 | 0x380) if version == Version::V2 => 0x8800_0000,
        (_, 0x100) if version == Version::V2 => 0x8800_0003,
        (_, at) if !(0x100..0x180).contains(&at) && !(0x300..0x380).contains(&at) => !0,
        (Region::Redistributors, _) => 0x8800_0003,
        (_, at) if at % 0x80 == 4 => 0xc000_000c,
        (_, at) if at % 0x80 == 8 => 0x3,
        (_, at) if at % 0x80 == 0x20 => 0x8000_0000,
        _ => 0,
    }
}

/// Both sides.
pub(super) struct Pair {
    machine: Machine,
    model: Model,
    version: Version,
    vcpus: u8,
}

impl Pair {
    pub(super) fn new(version: Version, vcpus: u8, lists: u8, active_writes: bool) -> Self {
        let (machine, model) = (Machine::of(version, vcpus, lists), Model::new(version, vcpus));
        let mut pair = Self { machine, model, version, vcpus };
        pair.machine.vgic.set_quiet(QUIET);
        pair.machine.vgic.map_hardware(HARDWARE);
        for private in &mut pair.model.private {
            private[QUIET as usize].wire = Wire::Quiet;
            private[HARDWARE as usize].wire = Wire::Hardware;
        }
        for intid in SHARED {
            pair.machine.vgic.map_hardware(intid);
            pair.model.get_mut(0, intid).wire = Wire::Hardware;
        }
        // Something to see from the start: both groups, most interrupts, priorities that differ, lines of both kinds.
        pair.write(0, Region::Distributor, 0, Width::Word, 3);
        for word in 0..72 {
            for vcpu in 0..if word < 8 { vcpus } else { 1 } {
                let (region, base) = match version {
                    Version::V3 if word < 8 => (Region::Redistributors, 0x1_0000 + u32::from(vcpu) * 0x2_0000),
                    _ => (Region::Distributor, 0),
                };
                let priority = 0x40a0_60e0 + u64::from(word % 5) * 0x0810_0808;
                pair.write(vcpu, region, base + 0x400 + word * 4, Width::Word, priority);
                let offset = base + 0x100 + word / 8 * 4;
                let enabled = if active_writes { few(version, region, offset) } else { 0xf7ff_ffff };
                pair.write(vcpu, region, offset, Width::Word, enabled);
                pair.write(vcpu, region, base + 0xc00 + word / 4 * 4, Width::Word, 0xa0a0_2222);
            }
        }
        for spi in 0..256 {
            let target = u64::from(spi % (u32::from(vcpus) + 1));
            match version {
                Version::V2 => pair.write(0, Region::Distributor, 0x820 + spi, Width::Byte, 1 << target),
                Version::V3 => pair.write(0, Region::Distributor, 0x6100 + spi * 8, Width::Double, target),
            }
        }
        pair
    }

    fn write(&mut self, vcpu: u8, region: Region, offset: u32, width: Width, value: u64) {
        self.machine.write(vcpu, region, offset, width, value);
        self.model.write(vcpu, region, offset, width, value);
    }

    pub(super) fn run(&mut self, step: Step, active_writes: bool) {
        match step {
            Step::Read(vcpu, region, offset, width) => {
                let vcpu = vcpu % self.vcpus;
                let answer = self.machine.read(vcpu, region, offset, width);
                assert_eq!(answer, self.model.read(vcpu, region, offset, width), "{step:x?}");
            }
            Step::Write(_, _, offset, ..) if !active_writes && (0x300..0x400).contains(&(offset % 0x1_0000)) => {}
            Step::Write(_, _, offset, ..)
                if !active_writes && (0x400..0x800).contains(&(offset % 0x1_0000)) && self.is_anything_running() => {}
            Step::Write(vcpu, region, offset, width, value) => {
                let mut value = if active_writes { value & few(self.version, region, offset) } else { value };
                if (0x300..0x400).contains(&(offset % 0x1_0000)) {
                    value &= !self.running_at(offset % 0x80);
                }
                self.write(vcpu % self.vcpus, region, offset, width, value);
            }
            // SGIs of a GICv2 come from somebody.
            Step::Pulse(_, 0..16) | Step::Line(_, 0..16, _) if self.version == Version::V2 => {}
            Step::Line(vcpu, HARDWARE, true) => {
                let vcpu = vcpu % self.vcpus;
                if self.machine.physical(vcpu) == 0 {
                    self.machine.take_physical(vcpu, HARDWARE);
                    self.model.get_mut(vcpu, HARDWARE).set_line(true);
                }
            }
            // Its line is not seen, only that it has been taken.
            Step::Line(_, intid, level) if SHARED.contains(&intid) => {
                let can_come = self.machine.forwarded.contains(&intid) && !self.machine.shared.contains(&intid);
                if level && can_come {
                    self.model.get_mut(0, intid).latched = true;
                    self.machine.take_shared(intid);
                }
            }
            Step::Line(vcpu, intid, level) => {
                self.machine.set_line(vcpu % self.vcpus, intid, level);
                self.model.get_mut(vcpu % self.vcpus, intid).set_line(level);
            }
            Step::Pulse(vcpu, intid) => {
                self.machine.pulse(vcpu % self.vcpus, intid);
                self.model.get_mut(vcpu % self.vcpus, intid).latched = true;
            }
            Step::Sgi(from, _, value) if self.version == Version::V2 => {
                let all_but_self = (value >> 40 & 1) << 24;
                let value = value >> 24 & 15 | (value & 0xff) << 16 | all_but_self;
                self.write(from % self.vcpus, Region::Distributor, 0xf00, Width::Word, value);
            }
            Step::Sgi(from, register, value) => {
                self.machine.send_sgi(from % self.vcpus, register, value);
                self.model.send_sgi(from % self.vcpus, register, value);
            }
            Step::Acknowledge(vcpu) => self.acknowledge(vcpu % self.vcpus),
            Step::Complete(vcpu) => {
                if let Some(intid) = self.machine.complete(vcpu % self.vcpus) {
                    self.model.get_mut(vcpu % self.vcpus, intid).active = false;
                }
            }
            Step::Switch(vcpu) => self.machine.switch(vcpu % self.vcpus),
        }
        self.forget_released();
    }

    /// A level that was let go, because the guest holds it back, comes again if it is still up: it is not pending here.
    fn forget_released(&mut self) {
        for intid in core::mem::take(&mut self.machine.released) {
            let interrupt = self.model.get_mut(0, intid);
            assert!(!(interrupt.active || interrupt.latched && interrupt.enabled), "{intid} is let go before its time");
            interrupt.latched &= interrupt.edge;
        }
    }

    /// The interrupts of a word of the bit arrays that are being handled somewhere. A guest that takes the active state
    /// from one of them and gives it back makes it active at the vCPU it is routed to, and completes it at another.
    fn running_at(&self, word: u32) -> u64 {
        let running = (0..self.vcpus).flat_map(|vcpu| self.machine.running(vcpu));
        let intids = running.map(|entry| entry.intid).filter(|intid| intid / 32 * 4 == word);
        intids.fold(0, |bits, intid| bits | 1 << (intid % 32))
    }

    fn is_anything_running(&self) -> bool {
        (0..self.vcpus).any(|vcpu| !self.machine.running(vcpu).is_empty())
    }

    fn acknowledge(&mut self, vcpu: u8) {
        let running = self.machine.running(vcpu).iter().map(|entry| u16::from(entry.priority)).min().unwrap_or(0x100);
        let best = self.model.best(vcpu, running);
        let intid = self.machine.acknowledge(vcpu);
        let priority = intid.map(|intid| self.model.get(vcpu, intid).priority);
        assert_eq!(priority, best, "vCPU {vcpu} got {intid:?} of {:?}", self.model.deliverable(vcpu));
        if let Some(intid) = intid {
            assert!(self.model.deliverable(vcpu).contains(&intid), "vCPU {vcpu} got {intid}");
            if let Some(taken) = self.machine.running(vcpu).last() {
                self.model.acknowledge(vcpu, *taken);
            }
        }
    }

    /// What must hold between any two steps.
    pub(super) fn check(&mut self) {
        for vcpu in 0..self.vcpus {
            let timer = self.model.get(vcpu, HARDWARE);
            let alive = timer.pending() || timer.active;
            assert!(alive || self.machine.physical(vcpu) == 0, "vCPU {vcpu}: a timer that nobody will complete");
            for intid in SHARED.into_iter().filter(|intid| self.machine.shared.contains(intid)) {
                let interrupt = self.model.get(0, intid);
                let wanted = interrupt.active || interrupt.pending() && interrupt.enabled;
                assert!(wanted, "{intid}: a device's interrupt that nobody will complete");
            }
            let others = self.machine.sync(vcpu);
            let has = !self.model.deliverable(vcpu).is_empty();
            assert_eq!(self.machine.vgic.has_deliverable(vcpu), has, "vCPU {vcpu}: has_deliverable");
            self.machine.refresh_all(others | 1 << vcpu);
        }
    }
}

fn play(version: Version, vcpus: u8, lists: u8, steps: Vec<Step>, active_writes: bool, check: bool) {
    let mut pair = Pair::new(version, vcpus, lists, active_writes);
    for step in steps {
        pair.run(step, active_writes);
        if check {
            pair.check();
        }
    }
    pair.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few list registers. The guest writes no active bits here, and priorities only while it handles nothing: a
    /// completion of what is in no list register is known by count alone, and the count presumes that acknowledged
    /// interrupts are the active ones and that the most urgent of them came last.
    #[test]
    fn like_the_model_with_few_list_registers(
        version in version(), vcpus in 1..=4u8, lists in 1..=4u8, check in any::<bool>(), steps in vec(step(), 1..250)
    ) {
        play(version, vcpus, lists, steps, false, check);
    }

    /// All of it, with list registers enough.
    #[test]
    fn like_the_model_with_active_bits_written(
        version in version(), vcpus in 1..=4u8, check in any::<bool>(), steps in vec(step(), 1..250)
    ) {
        play(version, vcpus, 16, steps, true, check);
    }
}
