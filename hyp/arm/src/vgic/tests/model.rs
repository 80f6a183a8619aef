//! A GICv3 or a GICv2 for one security state, as the architecture's text describes it: one structure per interrupt, no list
//! registers, everything at once. Slow and plain, so that it can be checked against the text by eye.

use super::std::vec::Vec;

use super::super::Width;
use super::super::v3::{Region, SgiRegister};
use super::machine::{Running, Version};

/// Shared interrupts, from INTID 32 on.
const SPIS: u32 = 256;

/// How an interrupt is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// As `ICFGR` says.
    Plain,
    /// Changes of the line latch and unlatch.
    Quiet,
    /// The same, and every rise counts.
    Hardware,
}

#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    pub(super) enabled: bool,
    /// The pending state that does not depend on the line.
    pub(super) latched: bool,
    pub(super) line: bool,
    pub(super) active: bool,
    pub(super) edge: bool,
    pub(super) group1: bool,
    pub(super) priority: u8,
    pub(super) wire: Wire,
    /// `GICD_IROUTER`, or `GICD_ITARGETSR`; the vCPU for a private one.
    route: u64,
    /// GICv2, SGIs: the vCPUs from which it is pending.
    sources: u8,
}

impl Interrupt {
    fn new(edge: bool, route: u64) -> Self {
        let wire = Wire::Plain;
        let (enabled, latched, line, active) = (false, false, false, false);
        Self { enabled, latched, line, active, edge, group1: true, priority: 0, wire, route, sources: 0 }
    }

    pub(super) fn pending(&self) -> bool {
        self.latched || self.line && !self.edge && self.wire == Wire::Plain
    }

    fn set_sources(&mut self, sources: u8) {
        self.sources = sources;
        self.latched = sources != 0;
    }

    pub(super) fn set_line(&mut self, level: bool) {
        let rises = level && (!self.line || self.wire == Wire::Hardware);
        self.line = level;
        if rises && (self.edge || self.wire != Wire::Plain) {
            self.latched = true;
        }
        if !level && self.wire != Wire::Plain {
            self.latched = false;
        }
    }
}

/// One of an interrupt's bits.
type Flag = fn(&Interrupt) -> u64;

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) private: Vec<Vec<Interrupt>>,
    pub(super) spis: Vec<Interrupt>,
    groups: [bool; 2],
    asleep: Vec<bool>,
    version: Version,
}

impl Model {
    pub(super) fn new(version: Version, vcpus: u8) -> Self {
        let new = |edge, route| Interrupt { group1: version == Version::V3, ..Interrupt::new(edge, route) };
        let private = |vcpu| (0..32).map(|intid| new(intid < 16, vcpu)).collect();
        let target = u64::from(version == Version::V2);
        Self {
            version,
            private: (0..u64::from(vcpus)).map(private).collect(),
            spis: (0..SPIS).map(|_| new(false, target)).collect(),
            groups: [false; 2],
            asleep: (0..vcpus).map(|_| false).collect(),
        }
    }

    pub(super) fn get(&self, vcpu: u8, intid: u32) -> &Interrupt {
        match intid {
            0..32 => &self.private[usize::from(vcpu)][intid as usize],
            _ => &self.spis[intid as usize - 32],
        }
    }

    pub(super) fn get_mut(&mut self, vcpu: u8, intid: u32) -> &mut Interrupt {
        match intid {
            0..32 => &mut self.private[usize::from(vcpu)][intid as usize],
            _ => &mut self.spis[intid as usize - 32],
        }
    }

    /// Where an interrupt goes: of a GICv2's targets, the first.
    fn target(&self, intid: u32, interrupt: &Interrupt) -> u64 {
        match self.version {
            Version::V2 if intid >= 32 => interrupt.route.trailing_zeros().into(),
            _ => interrupt.route,
        }
    }

    /// The interrupts that could be signalled to a vCPU, priorities apart.
    pub(super) fn deliverable(&self, vcpu: u8) -> Vec<u32> {
        let signalled = |intid: &u32| {
            let interrupt = self.get(vcpu, *intid);
            interrupt.pending()
                && !interrupt.active
                && interrupt.enabled
                && self.groups[usize::from(interrupt.group1)]
                && self.target(*intid, interrupt) == u64::from(vcpu)
        };
        (0..32 + SPIS).filter(signalled).collect()
    }

    /// The most urgent of them that beats the running priority.
    pub(super) fn best(&self, vcpu: u8, running: u16) -> Option<u8> {
        let priorities = self.deliverable(vcpu).into_iter().map(|intid| self.get(vcpu, intid).priority);
        priorities.min().filter(|priority| u16::from(*priority) < running)
    }

    pub(super) fn acknowledge(&mut self, vcpu: u8, taken: Running) {
        let with_sender = self.version == Version::V2 && taken.intid < 16;
        let interrupt = self.get_mut(vcpu, taken.intid);
        interrupt.active = true;
        interrupt.latched = false;
        if with_sender {
            assert_ne!(interrupt.sources & 1 << taken.sender, 0, "vCPU {vcpu}: {taken:?} was not sent");
            interrupt.set_sources(interrupt.sources & !(1 << taken.sender));
        }
    }

    pub(super) fn send_sgi(&mut self, from: u8, register: SgiRegister, value: u64) {
        let intid = (value >> 24 & 15) as u32;
        let cluster = value >> 16 & 0xff | value >> 32 & 0xff | value >> 48 & 0xff | value >> 44 & 0xf;
        for vcpu in 0..self.private.len() as u8 {
            let named = if value >> 40 & 1 != 0 { vcpu != from } else { cluster == 0 && value >> vcpu & 1 != 0 };
            let target = self.get_mut(vcpu, intid);
            if named && (register == SgiRegister::Group1 || !target.group1) {
                target.latched = true;
            }
        }
    }

    /// The vCPU and the first INTID that an access to an array of `bits` bits an interrupt, at `base` in the
    /// distributor or in an SGI frame, is about.
    fn array(&self, vcpu: u8, region: Region, offset: u32, base: u32, bits: u32) -> Option<(u8, u32)> {
        let (vcpu, frame) = match region {
            _ if self.version == Version::V2 => {
                let intid = offset.checked_sub(base)? * 8 / bits;
                return (intid < 32 + SPIS).then_some((vcpu, intid));
            }
            Region::Distributor => (vcpu, offset),
            Region::Redistributors if offset % 0x2_0000 < 0x1_0000 => return None,
            Region::Redistributors => ((offset / 0x2_0000) as u8, offset % 0x1_0000),
        };
        let intid = frame.checked_sub(base)? * 8 / bits;
        let valid = if region == Region::Distributor { (32..32 + SPIS).contains(&intid) } else { intid < 32 };
        (valid && usize::from(vcpu) < self.private.len()).then_some((vcpu, intid))
    }

    /// Is there no register at all?
    fn is_beyond(&self, region: Region, offset: u32) -> bool {
        match self.version {
            Version::V2 => offset >= 0x1000,
            Version::V3 => region == Region::Distributor && offset >= 0x1_0000,
        }
    }

    pub(super) fn read(&self, vcpu: u8, region: Region, offset: u32, width: Width) -> u64 {
        let bytes = width.bytes();
        if !offset.is_multiple_of(bytes) || self.is_beyond(region, offset) {
            return 0;
        }
        let gather = |base, bits: u32, value: fn(&Interrupt) -> u64| {
            self.array(vcpu, region, offset, base, bits).map(|(vcpu, first)| {
                let count = bytes * 8 / bits;
                (0..count).fold(0, |word, n| word | value(self.get(vcpu, first + n)) << (n * bits))
            })
        };
        if bytes == 4 {
            let flags: [(u32, Flag); 7] = [
                (0x80, |i| i.group1.into()),
                (0x100, |i| i.enabled.into()),
                (0x180, |i| i.enabled.into()),
                (0x200, |i| i.pending().into()),
                (0x280, |i| i.pending().into()),
                (0x300, |i| i.active.into()),
                (0x380, |i| i.active.into()),
            ];
            let frame = offset % 0x1_0000;
            if let Some(found) = flags.iter().find(|flag| (flag.0..flag.0 + 0x80).contains(&frame)) {
                return gather(found.0, 1, found.1).unwrap_or(0);
            }
            if let Some(word) = gather(0xc00, 2, |i| u64::from(i.edge) << 1) {
                return word;
            }
        }
        if (bytes == 1 || bytes == 4)
            && let Some(word) = gather(0x400, 8, |i| i.priority.into())
        {
            return word;
        }
        match self.version {
            Version::V2 => self.read_other_v2(vcpu, offset, bytes),
            Version::V3 => self.read_other(region, offset, bytes),
        }
    }

    fn read_other_v2(&self, vcpu: u8, offset: u32, bytes: u32) -> u64 {
        let vcpus = self.private.len() as u64;
        let gather =
            |base, value: &dyn Fn(u32) -> u64| (0..bytes).fold(0, |word, n| word | value(offset - base + n) << (8 * n));
        let ids = [4, 0, 0, 0, 0x92, 0xb4, 0x2b, 0, 0x0d, 0xf0, 5, 0xb1];
        match (offset, bytes) {
            (0, 4) => u64::from(self.groups[0]) | u64::from(self.groups[1]) << 1,
            (4, 4) => 8 | (vcpus - 1) << 5,
            (8, 4) => 0x4d00_043b,
            (0x800..0x920, 1 | 4) if vcpus > 1 => gather(0x800, &|intid| match intid {
                0..32 => 1 << vcpu,
                _ => self.get(vcpu, intid).route,
            }),
            (0xf10..0xf20, 1 | 4) => gather(0xf10, &|sgi| self.get(vcpu, sgi).sources.into()),
            (0xf20..0xf30, 1 | 4) => gather(0xf20, &|sgi| self.get(vcpu, sgi).sources.into()),
            (0xfd0..0x1000, 4) => ids[(offset as usize - 0xfd0) / 4],
            _ => 0,
        }
    }

    fn write_other_v2(&mut self, vcpu: u8, offset: u32, bytes: u32, value: u64) {
        let vcpus = self.private.len() as u8;
        let everyone = (1 << vcpus) - 1;
        let parts = (0..bytes).map(|n| (n, (value >> (8 * n)) as u8 & everyone));
        match (offset, bytes) {
            (0, 4) => self.groups = [value & 1 != 0, value & 2 != 0],
            (0x820..0x920, 1 | 4) if vcpus > 1 => {
                parts.for_each(|(n, targets)| self.get_mut(0, offset - 0x800 + n).route = targets.into());
            }
            (0xf00, 4) => {
                let sgi = (value & 15) as u32;
                for target in 0..vcpus {
                    let named = match value >> 24 & 3 {
                        0 => value >> (16 + target) & 1 != 0,
                        1 => target != vcpu,
                        2 => target == vcpu,
                        _ => false,
                    };
                    let interrupt = self.get_mut(target, sgi);
                    if named {
                        interrupt.set_sources(interrupt.sources | 1 << vcpu);
                    }
                }
            }
            (0xf10..0xf20, 1 | 4) => parts.for_each(|(n, gone)| {
                let interrupt = self.get_mut(vcpu, offset - 0xf10 + n);
                interrupt.set_sources(interrupt.sources & !gone);
            }),
            (0xf20..0xf30, 1 | 4) => parts.for_each(|(n, new)| {
                let interrupt = self.get_mut(vcpu, offset - 0xf20 + n);
                interrupt.set_sources(interrupt.sources | new);
            }),
            _ => {}
        }
    }

    fn read_other(&self, region: Region, offset: u32, bytes: u32) -> u64 {
        let half = |value: u64| match (bytes, offset % 8) {
            (8, _) => value,
            (4, 0) => value & 0xffff_ffff,
            (4, _) => value >> 32,
            _ => 0,
        };
        if region == Region::Distributor
            && let Some(spi) = self.spis.get((offset as usize).wrapping_sub(0x6100) / 8)
        {
            return half(spi.route);
        }
        let vcpus = self.private.len() as u32;
        let (vcpu, frame) = (offset / 0x2_0000, offset % 0x2_0000);
        let ids = [4, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 5, 0xb1];
        let groups = u64::from(self.groups[0]) | u64::from(self.groups[1]) << 1;
        match (region, frame, bytes) {
            (Region::Redistributors, ..) if vcpu >= vcpus => 0,
            (_, 0xffd0..0x1_0000, 4) => ids[(frame as usize - 0xffd0) / 4],
            (Region::Distributor, 0, 4) => 0x50 | groups,
            (Region::Distributor, 4, 4) => 1 << 25 | 9 << 19 | 8,
            (Region::Distributor, 8, 4) | (Region::Redistributors, 4, 4) => 0x4d00_043b,
            (Region::Redistributors, 8 | 12, _) => {
                half(u64::from(vcpu) << 32 | u64::from(vcpu) << 8 | u64::from(vcpu + 1 == vcpus) << 4)
            }
            (Region::Redistributors, 0x14, 4) => u64::from(self.asleep[vcpu as usize]) * 6,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, vcpu: u8, region: Region, offset: u32, width: Width, value: u64) {
        let bytes = width.bytes();
        let frame = offset % 0x1_0000;
        if !offset.is_multiple_of(bytes) || self.is_beyond(region, offset) {
            return;
        }
        if bytes == 4 && (0x80..0x400).contains(&frame) {
            let Some((vcpu, first)) = self.array(vcpu, region, offset, frame & !0x7f, 1) else { return };
            let first_sgis = self.version == Version::V2 && first == 0 && (0x200..0x300).contains(&frame);
            for n in if first_sgis { 16..32 } else { 0..32 } {
                let set = value >> n & 1 != 0;
                let interrupt = self.get_mut(vcpu, first + n);
                match frame & !0x7f {
                    0x80 => interrupt.group1 = set,
                    0x100 => interrupt.enabled |= set,
                    0x180 => interrupt.enabled &= !set,
                    0x200 => interrupt.latched |= set,
                    0x280 => interrupt.latched &= !set,
                    0x300 => interrupt.active |= set,
                    _ => interrupt.active &= !set,
                }
            }
        } else if (bytes == 1 || bytes == 4) && (0x400..0x800).contains(&frame) {
            let Some((vcpu, first)) = self.array(vcpu, region, offset, 0x400, 8) else { return };
            (0..bytes).for_each(|n| self.get_mut(vcpu, first + n).priority = (value >> (8 * n)) as u8 & 0xf8);
        } else if bytes == 4 && (0xc00..0xd00).contains(&frame) {
            let Some((vcpu, first)) = self.array(vcpu, region, offset, 0xc00, 2) else { return };
            let edges = (0..16).map(|n| (first + n, value >> (2 * n + 1) & 1 != 0)).filter(|edge| edge.0 >= 16);
            edges.for_each(|(intid, edge)| self.get_mut(vcpu, intid).edge = edge);
        } else if self.version == Version::V2 {
            self.write_other_v2(vcpu, offset, bytes, value);
        } else {
            self.write_other(region, offset, bytes, value);
        }
    }

    fn write_other(&mut self, region: Region, offset: u32, bytes: u32, value: u64) {
        if region == Region::Redistributors {
            if let (0x14, 4, Some(asleep)) = (offset % 0x2_0000, bytes, self.asleep.get_mut(offset as usize / 0x2_0000))
            {
                *asleep = value & 2 != 0;
            }
        } else if offset == 0 && bytes == 4 {
            self.groups = [value & 1 != 0, value & 2 != 0];
        } else if let Some(spi) = self.spis.get_mut((offset as usize).wrapping_sub(0x6100) / 8) {
            let (keep, new) = match (bytes, offset % 8) {
                (8, _) => (0, value),
                (4, 0) => (!0 << 32, value & 0xffff_ffff),
                (4, _) => (0xffff_ffff, value << 32),
                _ => return,
            };
            spi.route = (spi.route & keep | new) & 0xff_00ff_ffff;
        }
    }
}
