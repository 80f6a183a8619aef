//! Random use of grants by three domains against a simple model, with tables that change under the hypervisor's hands.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_imports, reason = "tests, of all of one header")]

use std::collections::BTreeMap;

use fake::{Act, Machine};
use host_tests::grants::entry;
use host_tests::puppet::Stage;
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::domain::DomainConfig;
use proptest::prelude::*;
use xen_abi::domid::DOMID_SELF;
use xen_abi::grant_table::*;
use xen_abi::memory::{XENMEM_DECREASE_RESERVATION, XENMEM_POPULATE_PHYSMAP};

const DOMAINS: usize = 3;
const ENTRIES: usize = 4;
/// Frames with RAM that are touched, and as many without.
const FRAMES: u64 = 4;
const FIRST: u64 = 4;
const ELSEWHERE: u64 = 0x500;
/// What stands for "the domain's spare page".
const SPARE: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Op {
    /// A guest writes an entry of its table: what it may, or anything.
    Write(usize, u64),
    Map(usize, usize, u64, bool),
    /// One of its mappings, by rising handle, at its frame or another one.
    Unmap(usize, bool),
    /// From an entry of a domain to its own frame, or the other way.
    Copy(usize, usize, u64, bool),
    GiveUp(u64),
    TakeBack(u64),
    Restart,
}

/// What the model knows of an entry in use.
#[derive(Clone, Copy, Debug)]
struct Pin {
    user: usize,
    frame: u64,
    readers: u32,
    writers: u32,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    granter: usize,
    reference: usize,
    frame: u64,
    write: bool,
    revoked: bool,
}

#[derive(Default)]
struct Domain {
    entries: [u64; ENTRIES],
    pins: BTreeMap<usize, Pin>,
    mappings: BTreeMap<u32, Mapping>,
    absent: Vec<u64>,
}

#[derive(Default)]
struct Model(Vec<Domain>);

/// The first and third are strangers.
fn may_share(one: usize, other: usize) -> bool {
    one == other || one == 1 || other == 1
}

impl Model {
    fn mapped_at(&self, who: usize, frame: u64) -> Option<&Mapping> {
        self.0[who].mappings.values().find(|mapping| mapping.frame == frame)
    }

    fn has_ram(&self, who: usize, frame: u64) -> bool {
        frame < 16 && !self.0[who].absent.contains(&frame) && self.mapped_at(who, frame).is_none()
    }

    fn mark(&mut self, granter: usize, reference: usize, user: usize, write: bool) -> Result<u64, i16> {
        let word = &mut self.0[granter].entries[reference];
        let flags = *word as u16;
        let kind = flags & (GTF_TYPE_MASK | GTF_SUB_PAGE) == GTF_PERMIT_ACCESS;
        let permitted = usize::from((*word >> 16) as u16) == user + 1;
        if !kind || !permitted || (write && flags & GTF_READONLY != 0) {
            return Err(GNTST_GENERAL_ERROR);
        }
        *word |= u64::from(if write { GTF_READING | GTF_WRITING } else { GTF_READING });
        Ok(*word >> 32)
    }

    fn pin(&mut self, granter: usize, reference: usize, user: usize, write: bool) -> Result<u64, i16> {
        if !may_share(granter, user) {
            return Err(GNTST_PERMISSION_DENIED);
        }
        let mut pin = match self.0[granter].pins.get(&reference).copied() {
            Some(pin) if pin.user != user => return Err(GNTST_GENERAL_ERROR),
            Some(pin) => {
                if write && pin.writers == 0 {
                    self.mark(granter, reference, user, write)?;
                }
                pin
            }
            None => {
                let frame = self.mark(granter, reference, user, write)?;
                if !self.has_ram(granter, frame) {
                    self.0[granter].entries[reference] &= !u64::from(GTF_READING | GTF_WRITING);
                    return Err(GNTST_BAD_PAGE);
                }
                Pin { user, frame, readers: 0, writers: 0 }
            }
        };
        *(if write { &mut pin.writers } else { &mut pin.readers }) += 1;
        self.0[granter].pins.insert(reference, pin);
        Ok(pin.frame)
    }

    fn unpin(&mut self, granter: usize, reference: usize, write: bool) {
        let Domain { pins, entries, .. } = &mut self.0[granter];
        let pin = pins.get_mut(&reference).unwrap();
        *(if write { &mut pin.writers } else { &mut pin.readers }) -= 1;
        if write && pin.writers == 0 {
            entries[reference] &= !u64::from(GTF_WRITING);
        }
        if pin.readers + pin.writers == 0 {
            entries[reference] &= !u64::from(GTF_READING);
            pins.remove(&reference);
        }
    }

    fn map(&mut self, user: usize, granter: usize, reference: usize, frame: u64, write: bool) -> Result<(), i16> {
        let owned = self.pin(granter, reference, user, write)?;
        if self.mapped_at(user, frame).is_some() || (granter, owned) == (user, frame) {
            self.unpin(granter, reference, write);
            return Err(GNTST_GENERAL_ERROR);
        }
        Ok(())
    }

    fn copy(&mut self, user: usize, granter: usize, reference: usize, own: u64, outward: bool) -> i16 {
        // The source comes first.
        let own_side = if self.has_ram(user, own) { Ok(()) } else { Err(GNTST_BAD_PAGE) };
        match self.pin(granter, reference, user, outward) {
            Ok(_) => {
                self.unpin(granter, reference, outward);
                own_side.err().unwrap_or(GNTST_OKAY)
            }
            Err(status) => status,
        }
    }

    fn restart(&mut self, who: usize) {
        for mapping in std::mem::take(&mut self.0[who].mappings).into_values().filter(|mapping| !mapping.revoked) {
            self.unpin(mapping.granter, mapping.reference, mapping.write);
        }
        for mapping in self.0.iter_mut().flat_map(|domain| domain.mappings.values_mut()) {
            mapping.revoked |= mapping.granter == who;
        }
        self.0[who] = Domain { mappings: BTreeMap::new(), ..Domain::default() };
    }
}

fn ops() -> impl Strategy<Value = Op> {
    let frame = prop_oneof![3 => FIRST..FIRST + FRAMES, 1 => ELSEWHERE..ELSEWHERE + FRAMES];
    let grant = (prop::bool::weighted(0.2), 1..4u16, FIRST..FIRST + FRAMES).prop_map(|(read_only, to, frame)| {
        entry(if read_only { GTF_PERMIT_ACCESS | GTF_READONLY } else { GTF_PERMIT_ACCESS }, to, frame)
    });
    let anything = (0..0x200u16, 0..5u16, prop_oneof![FIRST..FIRST + FRAMES, Just(99u64), Just(u64::from(u32::MAX))])
        .prop_map(|(flags, domain, frame)| entry(flags, domain, frame));
    prop_oneof![
        6 => (0..ENTRIES, prop_oneof![4 => grant, 1 => anything]).prop_map(|(at, word)| Op::Write(at, word)),
        8 => (0..DOMAINS, 0..ENTRIES, frame.clone(), any::<bool>())
            .prop_map(|(granter, at, frame, write)| Op::Map(granter, at, frame, write)),
        4 => (0..8usize, prop::bool::weighted(0.9)).prop_map(|(which, right)| Op::Unmap(which, right)),
        3 => (0..DOMAINS, 0..ENTRIES, frame.clone(), any::<bool>())
            .prop_map(|(granter, at, own, outward)| Op::Copy(granter, at, own, outward)),
        1 => frame.clone().prop_map(Op::GiveUp),
        1 => frame.prop_map(Op::TakeBack),
        1 => Just(Op::Restart),
    ]
}

fn perform(stage: &mut Stage<'_>, model: &mut Model, who: usize, op: &Op) {
    match *op {
        Op::Write(at, word) => {
            stage.set_entry(who, at, word);
            model.0[who].entries[at] = word;
        }
        Op::Map(granter, reference, frame, write) => {
            let result = stage.map(who, granter as u16 + 1, reference as u32, frame, !write);
            assert_eq!(result.map(|_| ()), model.map(who, granter, reference, frame, write), "{op:?}");
            if let Ok(handle) = result {
                let mapping = Mapping { granter, reference, frame, write, revoked: false };
                assert!(model.0[who].mappings.insert(handle, mapping).is_none(), "handle {handle} is in use");
            }
        }
        Op::Unmap(which, right) => {
            let found = model.0[who].mappings.iter().nth(which).map(|(handle, mapping)| (*handle, *mapping));
            let Some((handle, mapping)) = found else {
                assert_eq!(stage.unmap(who, 200, FIRST), GNTST_BAD_HANDLE);
                return;
            };
            if !right {
                assert_eq!(stage.unmap(who, handle, mapping.frame ^ 1), GNTST_GENERAL_ERROR);
                return;
            }
            assert_eq!(stage.unmap(who, handle, mapping.frame), GNTST_OKAY);
            model.0[who].mappings.remove(&handle);
            if !mapping.revoked {
                model.unpin(mapping.granter, mapping.reference, mapping.write);
            }
        }
        Op::Copy(granter, reference, own, outward) => {
            let here = CopyPtr { u: own, domid: DOMID_SELF, ..Default::default() };
            let there = CopyPtr { u: reference as u64, domid: granter as u16 + 1, ..Default::default() };
            let status = if outward {
                stage.copy(who, here, there, 8, GNTCOPY_DEST_GREF)
            } else {
                stage.copy(who, there, here, 8, GNTCOPY_SOURCE_GREF)
            };
            assert_eq!(status, model.copy(who, granter, reference, own, outward), "{op:?}");
        }
        Op::GiveUp(frame) => {
            let done = stage.reserve(who, XENMEM_DECREASE_RESERVATION, &[frame], 0);
            assert_eq!(done, u64::from(model.has_ram(who, frame)));
            (done != 0).then(|| model.0[who].absent.push(frame));
        }
        Op::TakeBack(frame) => {
            let free = model.0[who].absent.contains(&frame) && model.mapped_at(who, frame).is_none();
            assert_eq!(stage.reserve(who, XENMEM_POPULATE_PHYSMAP, &[frame], 0), u64::from(free));
            if free {
                model.0[who].absent.retain(|absent| *absent != frame);
            }
        }
        Op::Restart => {
            stage.act(who, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
            model.restart(who);
        }
    }
}

/// Every entry, and where every frame leads.
fn compare(stage: &Stage<'_>, model: &Model) {
    for (who, domain) in model.0.iter().enumerate() {
        let entries: [u64; ENTRIES] = std::array::from_fn(|at| stage.entry(who, at));
        assert_eq!(entries, domain.entries, "entries of domain {}", who + 1);
        for frame in (FIRST..FIRST + FRAMES).chain(ELSEWHERE..ELSEWHERE + FRAMES) {
            let expected = match model.mapped_at(who, frame) {
                Some(Mapping { revoked: true, .. }) => Some((SPARE, true)),
                Some(Mapping { granter, reference, write, .. }) => {
                    Some((stage.home(*granter, model.0[*granter].pins[reference].frame), *write))
                }
                None => model.has_ram(who, frame).then(|| (stage.home(who, frame), true)),
            };
            let spare = stage.domain(who).space.lock().unwrap().spare();
            let found = stage.place(who, frame).map(|(pa, write)| (if pa == spare { SPARE } else { pa }, write));
            assert_eq!(found, expected, "frame {frame:#x} of domain {}", who + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]
    #[test]
    fn grants_follow_the_model(ops in prop::collection::vec((0..DOMAINS, ops()), 10..80)) {
        let machine = Machine::new(1);
        let mut stage = Stage::new(&machine);
        for (name, peers) in [("one", 0b010), ("two", 0b100), ("three", 0)] {
            stage.add(&DomainConfig { peers, ..DomainConfig::new(name) });
        }
        let mut model = Model((0..DOMAINS).map(|_| Domain::default()).collect());
        for (who, op) in ops {
            perform(&mut stage, &mut model, who, &op);
            compare(&stage, &model);
        }
    }
}
