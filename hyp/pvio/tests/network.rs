//! A network card's halves: rows of slots of every shape against an oracle that reads their bytes, both halves against
//! queues, and a front end whose back end answers what it likes.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;

use hyp_pvio::network::{
    Checksum, Fault, Outcome, Packet, Piece, Place, Receive, ReceiveBack, ReceiveFront, Received, Segmentation, Tag,
    Transmit, TransmitBack, TransmitFront, UnknownTag,
};
use hyp_pvio::ring::{BackRing, FrontRing};
use proptest::prelude::*;
use support::Memory;

type Slot = [u8; 12];

fn short(slot: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([slot[at], slot[at + 1]])
}

/// A packet's rest of slots, taken off the front: its requests, its extra slots, and whether its end is there.
fn row(slots: &mut VecDeque<Slot>) -> Row {
    let first = slots.pop_front().unwrap();
    let (mut requests, mut extras) = (vec![first], vec![]);
    let mut more = short(&first, 6) & 8 != 0;
    while more {
        let Some(slot) = slots.pop_front() else { return (requests, extras, false) };
        more = slot[1] & 1 != 0;
        extras.push(slot);
    }
    while short(&requests[requests.len() - 1], 6) & 4 != 0 {
        let Some(slot) = slots.pop_front() else { return (requests, extras, false) };
        requests.push(slot);
    }
    (requests, extras, true)
}

/// What the header says of a packet's slots; nothing if they are wrong.
fn expected(requests: &[Slot], extras: &[Slot]) -> Option<Packet> {
    let sizes: Vec<i64> = requests.iter().map(|slot| i64::from(short(slot, 10))).collect();
    let mut lengths = sizes.clone();
    lengths[0] -= sizes[1..].iter().sum::<i64>();
    let pieces: Vec<(u32, i64, i64)> = requests
        .iter()
        .zip(&lengths)
        .map(|(slot, length)| (u32::from_le_bytes(slot[..4].try_into().unwrap()), i64::from(short(slot, 4)), *length))
        .collect();
    let within = pieces.iter().all(|(_, offset, length)| *length > 0 && offset + length <= 4096);
    let late = requests[1..].iter().any(|slot| short(slot, 6) & 8 != 0);
    let extra = match extras {
        [] => Some(None),
        [slot] if slot[0] == 1 && short(slot, 2) > 0 && (slot[4] == 1 || slot[4] == 2) => {
            Some(Some(Segmentation { size: short(slot, 2), ipv6: slot[4] == 2 }))
        }
        _ => None,
    }?;
    if !within || late || requests.len() > 18 || sizes[0] < 14 {
        return None;
    }
    let checksum = match short(&requests[0], 6) & 3 {
        0 => Checksum::There,
        2 => Checksum::Validated,
        _ => Checksum::Blank,
    };
    let piece =
        |(grant, offset, length): (u32, i64, i64)| Piece { grant, offset: offset as u16, length: length as u16 };
    Some(Packet { pieces: pieces.into_iter().map(piece).collect(), checksum, segmentation: extra })
}

/// Slots that often make packets.
fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let slot = (
        any::<u32>(),
        0_u16..4200,
        prop::sample::select(vec![0_u16, 1, 2, 3, 4, 4, 4, 5, 6, 8, 12]),
        any::<u16>(),
        0_u16..5000,
    );
    let slot = (slot, prop::bool::weighted(0.2), 0_u8..4, 0_u8..4, 0_u8..2);
    let slot = slot.prop_map(|((grant, offset, flags, id, size), gso, kind, gso_type, more)| {
        let mut slot = [0; 12];
        slot[..4].copy_from_slice(&grant.to_le_bytes());
        if gso {
            slot[..5].copy_from_slice(&[kind, more, 100, 0, gso_type]);
        }
        for (at, value) in
            [(4, if gso { 1 } else { offset % 2100 * (1 + offset % 3) }), (6, flags), (8, id), (10, size)]
        {
            slot[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        slot
    });
    prop::collection::vec(slot, 1..40)
}

/// One packet in the middle of its size range, cut at random places, sometimes with one wrong byte.
fn packet() -> impl Strategy<Value = Packet> {
    let piece =
        (any::<u32>(), 0_u16..2000, 14_u16..2000).prop_map(|(grant, offset, length)| Piece { grant, offset, length });
    let checksum = prop::sample::select(vec![Checksum::There, Checksum::Validated, Checksum::Blank]);
    let segmentation =
        prop::option::of((1_u16..1500, any::<bool>()).prop_map(|(size, ipv6)| Segmentation { size, ipv6 }));
    (prop::collection::vec(piece, 1..19), checksum, segmentation).prop_map(|(pieces, checksum, segmentation)| Packet {
        pieces,
        checksum,
        segmentation,
    })
}

/// Answers until there are no more: number and status.
fn answers(front: &mut FrontRing<&Memory, Transmit>) -> Vec<(u16, i16)> {
    std::iter::from_fn(|| front.take().unwrap()).map(|response| (response.id, response.status)).collect()
}

/// Requests, extra slots, and whether the packet ends.
type Row = (Vec<Slot>, Vec<Slot>, bool);

/// Takes off `rest` what is wrong before the next packet, with its answers; the packet's slots and what it is.
fn next_row(rest: &mut VecDeque<Slot>, due: &mut Vec<(u16, i16)>) -> Option<(Row, Option<Packet>)> {
    while !rest.is_empty() {
        let (requests, extras, whole) = row(rest);
        let right = expected(&requests, &extras);
        if !whole || right.is_some() {
            return Some(((requests, extras, whole), right));
        }
        answer(due, &requests, &extras, -1);
    }
    None
}

fn answer(due: &mut Vec<(u16, i16)>, requests: &[Slot], extras: &[Slot], status: i16) {
    due.extend(requests.iter().map(|slot| (short(slot, 8), status)));
    due.extend(extras.iter().map(|_| (0, 1)));
}

fn check_rows(slots: Vec<Slot>) {
    let memory = Memory::new(4096);
    let mut front = FrontRing::<_, Transmit>::create(&memory).unwrap();
    let mut back = TransmitBack::attach(&memory).unwrap();
    memory.hostile.set(1);
    slots.iter().for_each(|slot| front.put(slot).unwrap());
    front.push();
    let (mut rest, mut due) = (VecDeque::from(slots), Vec::new());
    loop {
        let taken = back.take();
        let Some(((requests, extras, whole), right)) = next_row(&mut rest, &mut due) else {
            assert_eq!(taken, Ok(None));
            break;
        };
        if !whole {
            return assert_eq!(taken, Err(Fault::Cut { slots: requests.len() + extras.len() }));
        }
        let (tag, packet) = taken.unwrap().unwrap();
        assert_eq!(Some(packet), right);
        assert_eq!(back.complete(tag, Outcome::Dropped), Ok(()));
        assert_eq!(back.complete(tag, Outcome::Done), Err(UnknownTag));
        answer(&mut due, &requests, &extras, -2);
    }
    back.push();
    assert_eq!(answers(&mut front), due);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn rows_of_slots_become_packets_that_add_up_or_errors(slots in slots()) {
        check_rows(slots);
    }

    #[test]
    fn packets_are_sent_once_and_answered_once(
        steps in prop::collection::vec((0_u8..4, packet(), any::<prop::sample::Index>()), 1..80),
    ) {
        let memory = Memory::new(4096);
        let mut front = TransmitFront::create(&memory).unwrap();
        let mut back = TransmitBack::attach(&memory).unwrap();
        let (mut sent, mut going, mut done) = (VecDeque::new(), Vec::<(Tag, Tag)>::new(), HashMap::new());
        let mut used = 0;
        let slots = |packet: &Packet| packet.pieces.len() + usize::from(packet.segmentation.is_some());
        let mut sizes = HashMap::new();
        for (step, packet, index) in steps {
            match step {
                0 => {
                    let tag = front.send(&packet);
                    prop_assert_eq!(tag.is_ok(), used + slots(&packet) <= 256);
                    front.push();
                    if let Ok(tag) = tag {
                        used += slots(&packet);
                        sizes.insert(tag, slots(&packet));
                        sent.push_back((tag, packet.clone()));
                    }
                }
                1 => {
                    let taken = back.take().unwrap();
                    prop_assert_eq!(taken.as_ref().map(|(_, packet)| packet), sent.front().map(|(_, packet)| packet));
                    going.extend(taken.into_iter().zip(sent.pop_front()).map(|((theirs, _), (ours, _))| (theirs, ours)));
                }
                2 if !going.is_empty() => {
                    let (theirs, ours) = going.remove(index.index(going.len()));
                    let outcome = [Outcome::Done, Outcome::Dropped, Outcome::Failed][index.index(3)];
                    back.complete(theirs, outcome).unwrap();
                    back.push();
                    done.insert(ours, outcome);
                }
                _ => while let Some((tag, outcome)) = front.take().unwrap() {
                    prop_assert_eq!(done.remove(&tag), Some(outcome));
                    used -= sizes[&tag];
                },
            }
            prop_assert_eq!(back.in_flight(), going.len());
        }
    }

    #[test]
    fn what_is_delivered_is_received_in_order(
        steps in prop::collection::vec((0_u8..4, 1_u16..20_000, packet(), any::<bool>()), 1..120),
    ) {
        let memory = Memory::new(4096);
        let mut front = ReceiveFront::create(&memory).unwrap();
        let mut back = ReceiveBack::attach(&memory).unwrap();
        let (mut given, mut grant) = (VecDeque::new(), 0_u32);
        // What the guest is to see of each packet: if all goes well, and if not.
        let mut reserved = VecDeque::<[Vec<Received>; 2]>::new();
        let mut due = VecDeque::new();
        for (step, length, Packet { checksum, segmentation, .. }, well) in steps {
            match step {
                0 => {
                    for _ in 0..length % 20 {
                        grant += 1;
                        given.extend(front.give(grant).is_ok().then_some(grant));
                    }
                    front.push();
                }
                1 => {
                    let lengths: Vec<u16> = (0..length).step_by(4096).map(|at| (length - at).min(4096)).collect();
                    let needed = lengths.len() + usize::from(segmentation.is_some());
                    let places = back.reserve(NonZeroU16::new(length).unwrap(), checksum, segmentation).unwrap();
                    prop_assert_eq!(places.is_some(), given.len() >= needed);
                    let Some(places) = places.map(Iterator::collect::<Vec<Place>>) else { continue };
                    let mut grants: Vec<u32> = given.drain(..needed).collect();
                    let nothing = grants.iter().map(|grant| Received::Nothing(*grant)).collect();
                    let spare = segmentation.map(|_| grants.remove(1));
                    let pairs = grants.iter().zip(lengths);
                    prop_assert_eq!(places, pairs.clone().map(|(grant, length)| Place { grant: *grant, length }).collect::<Vec<_>>());
                    let pieces = pairs.map(|(grant, length)| Piece { grant: *grant, offset: 0, length }).collect();
                    reserved.push_back([vec![Received::Packet(Packet { pieces, checksum, segmentation }, spare)], nothing]);
                }
                2 => match reserved.pop_front() {
                    Some([all, nothing]) => {
                        back.deliver(if well { Outcome::Done } else { Outcome::Dropped }).unwrap();
                        back.push();
                        due.extend(if well { all } else { nothing });
                    }
                    None => prop_assert_eq!(back.deliver(Outcome::Done), Err(UnknownTag)),
                },
                _ => prop_assert_eq!(front.take().unwrap(), due.pop_front()),
            }
        }
    }

    #[test]
    fn a_front_end_believes_no_piece_that_cannot_be(
        slots in prop::collection::vec((any::<bool>(), 0_u16..4300, 0_u16..16, -3_i16..4200, 0_u8..5), 1..40),
    ) {
        let memory = Memory::new(4096);
        let mut front = ReceiveFront::create(&memory).unwrap();
        (0..40).for_each(|grant| front.give(grant).unwrap());
        front.push();
        let mut back = BackRing::<_, Receive>::attach(&memory).unwrap();
        for (at, (right, offset, flags, status, kind)) in (0_u16..).zip(slots) {
            back.take().unwrap().unwrap();
            let id = if right { at } else { at ^ (offset % 2) };
            let mut slot = [id, offset, flags, status as u16].map(u16::to_le_bytes).concat();
            if kind == 1 && !right {
                slot[..6].copy_from_slice(&[1, 0, 5, 0, 1, 0]);
            }
            back.respond(&[slot.try_into().unwrap()]).unwrap();
        }
        back.push();
        let mut grants = Vec::new();
        while let Ok(Some(received)) = front.take() {
            match received {
                Received::Nothing(grant) => grants.push(grant),
                Received::Packet(packet, spare) => {
                    for Piece { grant, offset, length } in packet.pieces {
                        prop_assert!(length > 0 && offset + length <= 4096);
                        grants.push(grant);
                    }
                    grants.extend(spare);
                }
            }
        }
        grants.sort_unstable();
        prop_assert_eq!(&grants, &(0..grants.len() as u32).collect::<Vec<_>>(), "a page comes back once, in turn");
    }
}

#[test]
fn what_is_no_packet_is_not_sent() {
    let memory = Memory::new(4096);
    let mut front = TransmitFront::create(&memory).unwrap();
    let piece = |offset, length| Piece { grant: 1, offset, length };
    let packet = |pieces| Packet { pieces, checksum: Checksum::There, segmentation: None };
    for pieces in
        [vec![], vec![piece(0, 13)], vec![piece(4000, 97)], vec![piece(0, 0), piece(0, 20)], vec![piece(0, 20); 19]]
    {
        assert!(front.send(&packet(pieces)).is_err());
    }
    assert!(front.send(&packet(vec![piece(0, 20); 18])).is_ok());
}

#[test]
fn a_packet_of_too_many_slots_is_refused_whole() {
    for (count, right) in [(18_u16, true), (19, false)] {
        let memory = Memory::new(4096);
        let mut front = FrontRing::<_, Transmit>::create(&memory).unwrap();
        let mut back = TransmitBack::attach(&memory).unwrap();
        for at in 0..count {
            let mut slot = [0; 12];
            slot[6] = if at + 1 < count { 4 } else { 0 };
            slot[8] = at as u8;
            let size = if at == 0 { count * 20 } else { 20 };
            slot[10..].copy_from_slice(&size.to_le_bytes());
            front.put(&slot).unwrap();
        }
        front.push();
        assert_eq!(back.take().unwrap().is_some(), right);
        back.push();
        let due = if right { vec![] } else { (0..19).map(|id| (id, -1)).collect() };
        assert_eq!(answers(&mut front), due);
    }
}

#[test]
fn pages_come_back_in_the_order_in_which_they_were_given() {
    let memory = Memory::new(4096);
    let mut front = ReceiveFront::create(&memory).unwrap();
    (7..9).for_each(|grant| front.give(grant).unwrap());
    front.push();
    let mut back = BackRing::<_, Receive>::attach(&memory).unwrap();
    back.take().unwrap().unwrap();
    back.respond(&[[1, 0, 0, 0, 0, 0, 60, 0]]).unwrap();
    back.push();
    let fault = front.take().unwrap_err();
    assert_eq!(fault, Fault::Answer { id: 1 });
    assert_eq!(fault.to_string(), "network: an answer with number 1, which is none");
}
