//! Back ends that end at any store, and their next lives: what is not answered is found again as it was, and nothing is
//! answered twice.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::num::NonZeroU16;

use hyp_pvio::block::{self, Disk, Front, Kind, Operation, Segment, Todo};
use hyp_pvio::network::{
    self, Checksum, Packet, Piece, ReceiveBack, ReceiveFront, Received, Segmentation, TransmitBack, TransmitFront,
};
use hyp_pvio::ring::{BackRing, FrontRing, Protocol};
use proptest::prelude::*;
use support::{Life, Memory, Mortal};
use xen_abi::io::ring::{RSP_PROD, SLOTS};

/// Lives of this many stores, and then one without an end.
fn lives(most: u32) -> impl Strategy<Value = Vec<Life>> {
    let lengths = prop::collection::vec(prop_oneof![1 => 0_u32..4, 3 => 0_u32..most], 0..12);
    lengths.prop_map(|lengths| lengths.into_iter().chain([u32::MAX]).map(Life::new).collect())
}

/// Begins new lives until one lives longer than its beginning.
fn begin<'a, B>(
    memory: &'a Memory,
    lives: &mut std::slice::Iter<'a, Life>,
    make: impl Fn(Mortal<'a>) -> B,
) -> (B, &'a Life) {
    loop {
        let life = lives.next().unwrap();
        let back = make(Mortal { memory, life });
        if !life.is_over() {
            return (back, life);
        }
    }
}

struct Numbers;

impl Protocol for Numbers {
    type Request = [u64; 3];
    type Response = u64;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_ring_is_found_again(
        start in prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()], room in 1_usize..9,
        steps in prop::collection::vec((0_u8..6, 1_usize..5), 1..200), lives in lives(80),
    ) {
        let memory = Memory::new(SLOTS + 24 * 8 + 12 + 8 * room);
        let mut front = FrontRing::<_, Numbers>::create_at(&memory, start).unwrap();
        let mut lives = lives.iter();
        let resume = |memory| BackRing::<_, Numbers>::resume(memory).unwrap();
        let (mut back, mut life) = begin(&memory, &mut lives, resume);
        let answered = || u64::from(memory.peek(RSP_PROD).wrapping_sub(start));
        // How many were asked, taken, and how many answers came.
        let (mut asked, mut taken, mut came) = (0, answered(), 0);
        let all = (0..60).flat_map(|_| [(1, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        for (step, count) in steps.into_iter().chain(all) {
            match step {
                0 => {
                    asked += u64::from(front.put(&[asked, !asked, 5]).is_ok());
                    front.push();
                }
                1 => if let Some(request) = back.take().unwrap() {
                    prop_assert_eq!(request, [taken, !taken, 5]);
                    taken += 1;
                },
                2 => {
                    let first = taken - u64::from(back.unanswered());
                    let _ = back.respond(&(first..first + count as u64).map(|number| number ^ 0x77).collect::<Vec<_>>());
                }
                3 => _ = back.push(),
                4 => while let Some(response) = front.take().unwrap() {
                    prop_assert_eq!(response, came ^ 0x77);
                    came += 1;
                },
                _ => _ = back.wait().unwrap(),
            }
            if life.is_over() {
                (back, life) = begin(&memory, &mut lives, resume);
                taken = answered();
            }
        }
        prop_assert_eq!((taken, came), (asked, asked));
    }
}

const DISK: Disk = Disk { sectors: 1000, read_only: false, flush: true, barrier: true, discard: true, indirect: 0 };

fn operation() -> impl Strategy<Value = Operation> {
    let segment =
        (any::<u32>(), 0_u16..8).prop_map(|(grant, first)| Segment { grant, offset: first * 512, length: 512 });
    let kind = prop_oneof![3 => Just(Kind::Read), 3 => Just(Kind::Write), 1 => Just(Kind::Barrier)];
    (kind, 0_u64..1200, prop::collection::vec(segment, 1..12)).prop_map(|(kind, sector, segments)| Operation {
        kind,
        sector,
        segments,
    })
}

/// Whether the disk can do it.
fn is_possible(operation: &Operation) -> bool {
    operation.sector + operation.segments.len() as u64 <= DISK.sectors
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_disk_does_again_what_was_not_answered(
        steps in prop::collection::vec((0_u8..6, operation(), any::<prop::sample::Index>()), 1..200), lives in lives(400),
    ) {
        let memory = Memory::new(4096);
        let mut front = Front::create(&memory).unwrap();
        let mut lives = lives.iter();
        let resume = |memory| block::Back::resume(memory, DISK).unwrap();
        let (mut back, mut life) = begin(&memory, &mut lives, resume);
        let (mut asked, mut going, mut came) = (Vec::new(), Vec::new(), 0);
        let mut begun = memory.peek(RSP_PROD) as usize;
        let rest = steps[0].1.clone();
        let all = (0..400).flat_map(|_| [2, 3, 4, 5]).map(|step| (step, rest.clone(), steps[0].2));
        for (step, operation, index) in steps.clone().into_iter().chain(all) {
            match step {
                0 | 1 => {
                    asked.extend(front.ask(&operation).ok().map(|tag| (tag, operation)));
                    front.push();
                }
                2 => if let Some(Todo::Operate(tag, operation)) = back.take().unwrap() {
                    begun += asked[begun..].iter().take_while(|(_, operation)| !is_possible(operation)).count();
                    prop_assert_eq!(&operation, &asked[begun].1);
                    going.push((tag, begun));
                    begun += 1;
                },
                3 if !going.is_empty() => {
                    let (tag, _) = going.swap_remove(index.index(going.len()));
                    back.complete(tag, block::Outcome::Done).unwrap();
                }
                4 => _ = back.push(),
                _ => while let Some((tag, outcome)) = front.take().unwrap() {
                    let outcomes = if is_possible(&asked[came].1) { block::Outcome::Done } else { block::Outcome::Failed };
                    prop_assert_eq!((tag, outcome), (asked[came].0, outcomes), "in the order of the ring");
                    came += 1;
                },
            }
            if life.is_over() {
                (back, life) = begin(&memory, &mut lives, resume);
                begun = memory.peek(RSP_PROD) as usize;
                going.clear();
            }
        }
        prop_assert_eq!(came, asked.len());
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    let piece = (any::<u32>(), 0_u16..2000, 14_u16..2000);
    let piece = piece.prop_map(|(grant, offset, length)| Piece { grant, offset, length });
    let segmentation = prop::option::of((1_u16..1500).prop_map(|size| Segmentation { size, ipv6: false }));
    (prop::collection::vec(piece, 1..19), segmentation).prop_map(|(pieces, segmentation)| Packet {
        pieces,
        checksum: Checksum::Blank,
        segmentation,
    })
}

/// Slots that a packet takes.
fn slots(packet: &Packet) -> usize {
    packet.pieces.len() + usize::from(packet.segmentation.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_packet_is_answered_whole_or_sent_again(
        steps in prop::collection::vec((0_u8..6, packet(), any::<prop::sample::Index>()), 1..150), lives in lives(300),
    ) {
        let memory = Memory::new(4096);
        let mut front = TransmitFront::create(&memory).unwrap();
        let mut lives = lives.iter();
        let resume = |memory| TransmitBack::resume(memory).unwrap();
        let (mut back, mut life) = begin(&memory, &mut lives, resume);
        let (mut sent, mut going, mut came, mut begun) = (Vec::<(network::Tag, Packet)>::new(), Vec::new(), 0, 0);
        let all = (0..150).flat_map(|_| [2, 3, 4, 5]).map(|step| (step, steps[0].1.clone(), steps[0].2));
        for (step, packet, index) in steps.clone().into_iter().chain(all) {
            match step {
                0 | 1 => {
                    sent.extend(front.send(&packet).ok().map(|tag| (tag, packet)));
                    front.push();
                }
                2 => if let Some((tag, packet)) = back.take().unwrap() {
                    prop_assert_eq!(&packet, &sent[begun].1);
                    going.push(tag);
                    begun += 1;
                },
                3 if !going.is_empty() => {
                    back.complete(going.swap_remove(index.index(going.len())), network::Outcome::Done).unwrap();
                }
                4 => _ = back.push(),
                _ => while let Some((tag, outcome)) = front.take().unwrap() {
                    prop_assert_eq!((tag, outcome), (sent[came].0, network::Outcome::Done));
                    came += 1;
                },
            }
            if life.is_over() {
                (back, life) = begin(&memory, &mut lives, resume);
                let mut answered = memory.peek(RSP_PROD) as usize;
                let whole = |(_, packet): &&(_, Packet)| {
                    let left = answered.checked_sub(slots(packet));
                    answered = left.unwrap_or(answered);
                    left.is_some()
                };
                begun = sent.iter().take_while(whole).count();
                prop_assert_eq!(answered, 0, "a packet is answered in part");
                going.clear();
            }
        }
        prop_assert_eq!(came, sent.len());
    }

    #[test]
    fn a_page_that_was_given_is_filled_once(
        steps in prop::collection::vec((0_u8..5, 1_u16..20_000, any::<bool>()), 1..200), lives in lives(300),
    ) {
        let memory = Memory::new(4096);
        let mut front = ReceiveFront::create(&memory).unwrap();
        let mut lives = lives.iter();
        let resume = |memory| ReceiveBack::resume(memory).unwrap();
        let (mut back, mut life) = begin(&memory, &mut lives, resume);
        let (mut given, mut taken, mut came) = (0, memory.peek(RSP_PROD), 0);
        for (step, length, large) in steps {
            match step {
                0 => {
                    given += (0..8).map(|at| u32::from(front.give(given + at).is_ok())).sum::<u32>();
                    front.push();
                }
                1 => {
                    let segmentation = large.then_some(Segmentation { size: 1000, ipv6: true });
                    let length = NonZeroU16::new(length).unwrap();
                    if let Some(places) = back.reserve(length, Checksum::There, segmentation).unwrap() {
                        let places: Vec<network::Place> = places.collect();
                        prop_assert_eq!(places[0].grant, taken);
                        taken += places.len() as u32 + u32::from(large);
                    }
                }
                2 => drop(back.deliver(network::Outcome::Done)),
                3 => _ = back.push(),
                // No packet is cut, or this is a fault.
                _ => while let Some(received) = front.take().unwrap() {
                    let Received::Packet(packet, spare) = received else { panic!("{received:?}") };
                    prop_assert_eq!(packet.pieces[0].grant, came);
                    came += packet.pieces.len() as u32 + u32::from(spare.is_some());
                },
            }
            if life.is_over() {
                (back, life) = begin(&memory, &mut lives, resume);
                taken = memory.peek(RSP_PROD);
            }
        }
    }
}
