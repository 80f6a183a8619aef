//! A disk's back end against requests of every shape and an oracle that reads their bytes, and both halves together.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::HashMap;

use hyp_pvio::block::{Back, Blkif, Disk, Front, Kind, Operation, Outcome, Segment, Tag, Todo, UnknownTag};
use hyp_pvio::ring::FrontRing;
use proptest::prelude::*;
use support::Memory;
use xen_abi::io::blkif::{Request, Response};
use xen_abi::io::ring::REQ_PROD;
use zerocopy::FromBytes;

const DISK: Disk = Disk { sectors: 1000, read_only: false, flush: true, barrier: true, discard: true, indirect: 600 };

/// What the header says of a request's bytes.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Refused(i16),
    Operation(Operation),
    /// Grants, count of segments, whether it writes, sector.
    Look(Vec<u32>, usize, bool, u64),
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The transfer of segments of 8 bytes each: grant, first sector, last sector.
fn transfer(kind: Kind, sector: u64, segments: &[u8], disk: &Disk) -> Expected {
    let segments: Vec<_> = segments.chunks(8).map(|one| (number(one, 0, 4) as u32, one[4], one[5])).collect();
    let sectors: u128 =
        segments.iter().map(|(_, first, last)| u128::from(*last) + 1 - u128::from(*first).min(u128::from(*last))).sum();
    let fits = u128::from(sector) + sectors <= u128::from(disk.sectors);
    let whole = segments.iter().all(|(_, first, last)| first <= last && *last < 8);
    let some = kind == Kind::Barrier || !segments.is_empty();
    if !fits || !whole || !some || (disk.read_only && kind != Kind::Read) {
        return Expected::Refused(-1);
    }
    let segment = |(grant, first, last): (u32, u8, u8)| Segment {
        grant,
        offset: u16::from(first) * 512,
        length: (u16::from(last) + 1 - u16::from(first)) * 512,
    };
    Expected::Operation(Operation { kind, sector, segments: segments.into_iter().map(segment).collect() })
}

fn expected(bytes: &[u8; 112], disk: &Disk) -> Expected {
    let sector = number(bytes, 16, 8);
    let direct = |kind| match bytes[1] {
        count @ 0..=11 => transfer(kind, sector, &bytes[24..24 + usize::from(count) * 8], disk),
        _ => Expected::Refused(-1),
    };
    match bytes[0] {
        0 => direct(Kind::Read),
        1 => direct(Kind::Write),
        2 if disk.barrier => direct(Kind::Barrier),
        3 if disk.flush => Expected::Operation(Operation { kind: Kind::Flush, sector: 0, segments: vec![] }),
        5 if disk.discard => {
            let sectors = number(bytes, 24, 8);
            let fits = u128::from(sector) + u128::from(sectors) <= u128::from(disk.sectors);
            if sectors == 0 || !fits || disk.read_only {
                return Expected::Refused(-1);
            }
            let kind = Kind::Discard { sectors, secure: bytes[1] & 1 == 1 };
            Expected::Operation(Operation { kind, sector, segments: vec![] })
        }
        6 if disk.indirect > 0 => {
            let count = number(bytes, 2, 2) as usize;
            let possible = (1..=usize::from(disk.indirect)).contains(&count) && count <= 8 * 512;
            match bytes[1] {
                write @ (0 | 1) if possible && !(write == 1 && disk.read_only) => {
                    let grants = (0..count.div_ceil(512)).map(|at| number(bytes, 28 + at * 4, 4) as u32);
                    Expected::Look(grants.collect(), count, write == 1, sector)
                }
                _ => Expected::Refused(-1),
            }
        }
        _ => Expected::Refused(-2),
    }
}

/// Bytes of a request that may or may not hold.
fn request() -> impl Strategy<Value = [u8; 112]> {
    let segment = (any::<u32>(), 0_u8..9, 0_u8..9);
    let sector = prop_oneof![8 => 0_u64..1010, 1 => any::<u64>(), 1 => (u64::MAX - 20)..=u64::MAX];
    let head = (0_u8..8, 0_u8..13, 0_u16..1300, any::<u64>());
    (head, sector, prop::collection::vec(segment, 11), 0_u64..1010, any::<bool>(), any::<bool>()).prop_map(
        |((operation, second, third, id), sector, segments, sectors, ordered, first_only)| {
            let mut bytes = [0; 112];
            bytes[0] = operation;
            bytes[1] = if first_only { second % 2 } else { second };
            bytes[2..4].copy_from_slice(&third.to_le_bytes());
            bytes[8..16].copy_from_slice(&id.to_le_bytes());
            bytes[16..24].copy_from_slice(&sector.to_le_bytes());
            for (place, (grant, a, b)) in bytes[24..].chunks_mut(8).zip(segments) {
                place[..4].copy_from_slice(&grant.to_le_bytes());
                (place[4], place[5]) = if ordered { (a.min(b).min(7), a.max(b).min(7)) } else { (a, b) };
            }
            if operation == 5 {
                bytes[24..32].copy_from_slice(&sectors.to_le_bytes());
            }
            bytes
        },
    )
}

fn disk() -> impl Strategy<Value = Disk> {
    let bits = prop::collection::vec(prop::bool::weighted(0.8), 3);
    (bits, prop::bool::weighted(0.2), prop::sample::select(vec![0_u16, 11, 600, 4096])).prop_map(
        |(bits, read_only, indirect)| Disk {
            read_only,
            flush: bits[0],
            barrier: bits[1],
            discard: bits[2],
            indirect,
            ..DISK
        },
    )
}

type RawFront<'a> = FrontRing<&'a Memory, Blkif>;

fn answer(front: &mut RawFront<'_>, back: &mut Back<&Memory>) -> Option<(u64, u8, i16)> {
    back.push();
    front.take().unwrap().map(|Response { id, operation, status, .. }| (id, operation, status))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_request_becomes_what_the_header_says_or_an_error(
        disk in disk(), requests in prop::collection::vec(request(), 1..12),
        pages in prop::collection::vec((any::<u32>(), 0_u8..8, 0_u8..8), 1..40), wrong in 0_usize..9000,
    ) {
        let memory = Memory::new(4096);
        let mut front = RawFront::create(&memory).unwrap();
        let mut back = Back::attach(&memory, disk).unwrap();
        memory.hostile.set(3);
        let segment = |(grant, a, b): &(u32, u8, u8)| [&grant.to_le_bytes()[..], &[*a.min(b), *a.max(b), 0, 0]].concat();
        let mut segments: Vec<u8> = pages.iter().cycle().take(4096).flat_map(segment).collect();
        // One of them may reach past its page.
        segments.get_mut(wrong * 8 + 5).into_iter().for_each(|last| *last = 8);
        for bytes in requests {
            front.put(&Request::read_from_bytes(&bytes).unwrap()).unwrap();
            front.push();
            // The answer to a request with indirect segments names what it is about.
            let (id, code) = (number(&bytes, 8, 8), if bytes[0] == 6 { bytes[1] } else { bytes[0] });
            let todo = back.take().unwrap();
            let (tag, operation) = match (todo, expected(&bytes, &disk)) {
                (None, Expected::Refused(status)) => {
                    prop_assert_eq!(answer(&mut front, &mut back), Some((id, code, status)));
                    continue;
                }
                (Some(Todo::Operate(tag, operation)), Expected::Operation(expected)) => {
                    prop_assert_eq!(operation, expected.clone());
                    (tag, expected)
                }
                (Some(Todo::Look(tag, wanted)), Expected::Look(grants, count, write, sector)) => {
                    prop_assert_eq!((&wanted.grants, wanted.bytes), (&grants, count * 8));
                    let kind = if write { Kind::Write } else { Kind::Read };
                    let operation = back.look(tag, &segments[..wanted.bytes]).unwrap();
                    match transfer(kind, sector, &segments[..wanted.bytes], &disk) {
                        Expected::Operation(expected) => {
                            prop_assert_eq!(operation, Some(expected.clone()));
                            prop_assert_eq!(back.look(tag, &segments), Err(UnknownTag));
                            (tag, expected)
                        }
                        _ => {
                            prop_assert_eq!(operation, None);
                            prop_assert_eq!(answer(&mut front, &mut back), Some((id, code, -1)));
                            continue;
                        }
                    }
                }
                (todo, expected) => panic!("{todo:?} is not {expected:?}"),
            };
            prop_assert_eq!(answer(&mut front, &mut back), None, "{:?} is answered early", operation);
            let (outcome, status) = [(Outcome::Done, 0), (Outcome::Failed, -1), (Outcome::Unsupported, -2)][id as usize % 3];
            prop_assert_eq!(back.complete(tag, outcome), Ok(()));
            prop_assert_eq!(back.complete(tag, outcome), Err(UnknownTag));
            prop_assert_eq!(answer(&mut front, &mut back), Some((id, code, status)));
        }
        prop_assert_eq!(back.in_flight(), 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Operation),
    Show,
    Begin,
    /// Which of those that go on, and what came of it.
    Complete(usize, Outcome),
    Answer,
}

fn operation() -> impl Strategy<Value = Operation> {
    let segment = (any::<u32>(), 0_u16..8, 1_u16..9).prop_map(|(grant, first, count)| Segment {
        grant,
        offset: first * 512,
        length: count.min(8 - first) * 512,
    });
    let kind = prop_oneof![
        4 => Just(Kind::Read), 4 => Just(Kind::Write), 2 => Just(Kind::Barrier), 1 => Just(Kind::Flush),
        1 => (1_u64..100, any::<bool>()).prop_map(|(sectors, secure)| Kind::Discard { sectors, secure }),
    ];
    (kind, 0_u64..800, prop::collection::vec(segment, 1..12)).prop_map(|(kind, sector, segments)| match kind {
        Kind::Flush => Operation { kind, sector: 0, segments: vec![] },
        Kind::Discard { .. } => Operation { kind, sector, segments: vec![] },
        _ => Operation { kind, sector, segments },
    })
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(vec![Outcome::Done, Outcome::Failed, Outcome::Unsupported]);
    prop_oneof![
        4 => operation().prop_map(Step::Ask),
        2 => Just(Step::Show),
        4 => Just(Step::Begin),
        4 => (0_usize..40, outcome).prop_map(|(at, outcome)| Step::Complete(at, outcome)),
        3 => Just(Step::Answer),
    ]
}

/// Both halves, and everything that was asked, by the order of asking.
struct Machine<'a> {
    front: Front<&'a Memory>,
    back: Back<&'a Memory>,
    asked: Vec<(Tag, Operation)>,
    shown: usize,
    begun: usize,
    /// The back end's tag, and which of those asked.
    going: Vec<(Tag, usize)>,
    /// The tags of what is completed.
    over: Vec<Tag>,
    outcomes: HashMap<Tag, Outcome>,
    answered: usize,
}

impl Machine<'_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(operation) => {
                let waiting = self.asked.len() - self.answered;
                let tag = self.front.ask(&operation);
                assert_eq!(tag.is_ok(), waiting < 32);
                self.asked.extend(tag.ok().map(|tag| (tag, operation)));
            }
            Step::Show => {
                self.front.push();
                self.shown = self.asked.len();
            }
            Step::Begin => self.begin(),
            Step::Complete(at, outcome) if !self.going.is_empty() => {
                let (tag, index) = self.going.remove(at % self.going.len());
                self.back.complete(tag, outcome).unwrap();
                self.outcomes.insert(self.asked[index].0, outcome);
                self.over.push(tag);
                self.back.push();
            }
            Step::Complete(..) => {}
            Step::Answer => {
                // In the order of asking, whatever was completed first.
                let next = self.asked.get(self.answered).map(|(tag, _)| *tag);
                let due = next.and_then(|tag| self.outcomes.remove(&tag).map(|outcome| (tag, outcome)));
                assert_eq!(self.front.take().unwrap(), due);
                self.answered += usize::from(due.is_some());
            }
        }
    }

    /// Operations come in order, and a barrier is alone.
    fn begin(&mut self) {
        let barrier = |index: usize| self.asked[index].1.kind == Kind::Barrier;
        let next = (self.begun < self.shown).then_some(self.begun);
        let alone = self.going.iter().all(|(_, index)| !barrier(*index));
        let may = next.filter(|next| alone && (!barrier(*next) || self.going.is_empty()));
        match (self.back.take().unwrap(), may) {
            (None, None) => {}
            (Some(Todo::Operate(tag, operation)), Some(index)) => {
                assert_eq!(operation, self.asked[index].1);
                self.going.push((tag, index));
                self.begun += 1;
            }
            (todo, may) => panic!("{todo:?}, but {may:?}"),
        }
        assert_eq!(self.back.in_flight(), self.going.len());
        // Its slot may be another's by now.
        for tag in self.over.iter().rev().take(3) {
            assert_eq!(self.back.complete(*tag, Outcome::Done), Err(UnknownTag));
        }
    }
}

proptest! {
    #[test]
    fn what_is_asked_is_done_once_and_answered_once(steps in prop::collection::vec(step(), 1..300)) {
        let memory = Memory::new(4096);
        let front = Front::create(&memory).unwrap();
        let back = Back::attach(&memory, DISK).unwrap();
        let (asked, going, outcomes) = (vec![], vec![], HashMap::new());
        let mut machine = Machine { front, back, asked, shown: 0, begun: 0, going, over: vec![], outcomes, answered: 0 };
        for step in steps {
            machine.step(step);
        }
    }
}

#[test]
fn an_index_ahead_ends_the_device() {
    let memory = Memory::new(4096);
    let _front = Front::create(&memory).unwrap();
    let mut back = Back::attach(&memory, DISK).unwrap();
    memory.poke(REQ_PROD, 33);
    assert!(back.take().is_err() && back.wait().is_err());
    memory.poke(REQ_PROD, 1);
    assert!(back.take().is_err(), "it stays so");
}

#[test]
fn a_back_end_that_answers_what_it_was_not_asked_is_found() {
    let memory = Memory::new(4096);
    let mut front = Front::create(&memory).unwrap();
    let read = Operation { kind: Kind::Read, sector: 0, segments: vec![Segment { grant: 1, offset: 0, length: 512 }] };
    front.ask(&read).unwrap();
    front.push();
    // The response's place in the first slot: a wrong number, then one too many.
    memory.poke(64, 1);
    memory.poke(8, 1);
    assert!(front.take().is_err());
    let wrong =
        Operation { kind: Kind::Write, sector: 0, segments: vec![Segment { grant: 1, offset: 3584, length: 1024 }] };
    assert!(front.ask(&wrong).is_err());
}
