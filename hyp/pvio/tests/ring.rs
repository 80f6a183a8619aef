//! Rings against a model: two queues and a peer that sleeps; and against a peer that writes what it likes.
#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::VecDeque;

use hyp_pvio::ring::{BackRing, FrontRing, NoSlot, Protocol, RingError};
use proptest::prelude::*;
use support::Memory;
use xen_abi::io::ring::{REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, SLOTS};

/// A protocol of plain numbers.
struct Numbers;

impl Protocol for Numbers {
    type Request = [u64; 3];
    type Response = u64;
}

type Front<'a> = FrontRing<&'a Memory, Numbers>;
type Back<'a> = BackRing<&'a Memory, Numbers>;

/// Room for eight slots and not quite for sixteen.
const SIZE: usize = SLOTS + 24 * 15;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put,
    PushRequests,
    TakeRequest,
    Respond,
    PushResponses,
    TakeResponse,
    FrontSleeps,
    BackSleeps,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{BackSleeps, FrontSleeps, PushRequests, PushResponses, Put, Respond, TakeRequest, TakeResponse};
    prop_oneof![
        3 => Just(Put), 2 => Just(PushRequests), 3 => Just(TakeRequest), 3 => Just(Respond),
        2 => Just(PushResponses), 3 => Just(TakeResponse), 1 => Just(FrontSleeps), 1 => Just(BackSleeps),
    ]
}

/// What lies between both ends, and who sleeps.
#[derive(Default)]
struct Model {
    /// Written, not shown.
    requests_made: VecDeque<u64>,
    /// Shown, not taken.
    requests: VecDeque<u64>,
    unanswered: VecDeque<u64>,
    responses_made: VecDeque<u64>,
    responses: VecDeque<u64>,
    front_sleeps: bool,
    back_sleeps: bool,
    next: u64,
}

impl Model {
    fn in_use(&self) -> usize {
        let queues = [&self.requests_made, &self.requests, &self.unanswered, &self.responses_made, &self.responses];
        queues.iter().map(|queue| queue.len()).sum()
    }
}

/// Whether the peer is told of what was pushed: if it sleeps and there is something new, it has to be.
fn check_notice(notice: bool, sleeps: &mut bool, new: bool) {
    assert_eq!(notice, *sleeps && new, "the peer sleeps: {sleeps}, something is new: {new}");
    *sleeps &= !notice;
}

fn run(front: &mut Front<'_>, back: &mut Back<'_>, model: &mut Model, step: Step) {
    match step {
        Step::Put => {
            model.next += 1;
            let put = front.put(&[model.next, 1, 2]);
            assert_eq!(put, if model.in_use() < 8 { Ok(()) } else { Err(NoSlot) });
            put.into_iter().for_each(|()| model.requests_made.push_back(model.next));
        }
        Step::PushRequests => {
            check_notice(front.push(), &mut model.back_sleeps, !model.requests_made.is_empty());
            model.requests.append(&mut model.requests_made);
        }
        Step::TakeRequest if !model.back_sleeps => {
            let taken = back.take().expect("the front end is honest").map(|request| request[0]);
            assert_eq!(taken, model.requests.pop_front());
            model.unanswered.extend(taken);
        }
        Step::Respond => match model.unanswered.pop_back() {
            Some(number) => {
                back.respond(&[!number]).expect("it was taken");
                model.responses_made.push_back(!number);
            }
            None => assert_eq!(back.respond(&[0]), Err(NoSlot)),
        },
        Step::PushResponses => {
            check_notice(back.push(), &mut model.front_sleeps, !model.responses_made.is_empty());
            model.responses.append(&mut model.responses_made);
        }
        Step::TakeResponse if !model.front_sleeps => {
            assert_eq!(front.take().expect("the back end is honest"), model.responses.pop_front());
        }
        Step::FrontSleeps if !model.front_sleeps => {
            let work = front.wait().expect("the back end is honest");
            assert_eq!(work, !model.responses.is_empty());
            model.front_sleeps = !work;
        }
        Step::BackSleeps if !model.back_sleeps => {
            let work = back.wait().expect("the front end is honest");
            assert_eq!(work, !model.requests.is_empty());
            model.back_sleeps = !work;
        }
        _ => {}
    }
    assert_eq!((front.free() as usize, back.unanswered() as usize), (8 - model.in_use(), model.unanswered.len()));
}

/// Both ends asleep, as a new connection has them: their wishes are in the page already.
fn pair(memory: &Memory, index: u32) -> (Front<'_>, Back<'_>, Model) {
    let front = Front::create_at(memory, index).expect("the size is right");
    let back = Back::attach(memory).expect("the size is right");
    (front, back, Model { front_sleeps: true, back_sleeps: true, ..Model::default() })
}

proptest! {
    #[test]
    fn both_halves_are_queues_that_wake_who_sleeps(
        start in prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let memory = Memory::new(SIZE);
        let (mut front, mut back, mut model) = pair(&memory, start);
        for step in steps {
            run(&mut front, &mut back, &mut model, step);
        }
    }

    #[test]
    fn a_hostile_front_end_is_believed_only_what_can_be(
        pokes in prop::collection::vec((any::<bool>(), 0_u32..20, any::<u32>()), 1..60),
    ) {
        let memory = Memory::new(SIZE);
        let (_, mut back, _) = pair(&memory, 0);
        let (mut taken, mut answered, mut broken) = (0_u32, 0_u32, false);
        for (near, small, large) in pokes {
            let producer = if near { answered.wrapping_add(small) } else { large };
            memory.poke(REQ_PROD, producer);
            memory.poke(RSP_EVENT, large);
            memory.poke(RSP_PROD, large);
            let possible = producer >= taken && producer - answered <= 8;
            broken |= !possible;
            prop_assert_eq!(back.wait().is_err(), broken);
            while let Ok(Some(_)) = back.take() {
                prop_assert!(!broken);
                taken += 1;
                prop_assert!(taken - answered <= 8);
            }
            prop_assert_eq!(taken, if broken { taken } else { producer });
            while small % 2 == 0 && back.respond(&[7]).is_ok() {
                answered += 1;
            }
            back.push();
        }
    }

    #[test]
    fn a_hostile_back_end_answers_only_what_was_asked(
        pokes in prop::collection::vec((0_u32..9, 0_u32..12, any::<u32>()), 1..60),
    ) {
        let memory = Memory::new(SIZE);
        let (mut front, _, _) = pair(&memory, u32::MAX - 20);
        let (mut asked, mut shown, mut taken, mut broken) = (0_u32, 0_u32, 0_u32, false);
        for (requests, small, large) in pokes {
            for _ in 0..requests {
                asked += u32::from(front.put(&[1, 2, 3]).is_ok());
            }
            if large % 3 != 0 {
                front.push();
                shown = asked;
            }
            let answers = if large % 8 == 0 { large } else { taken + small };
            memory.poke(RSP_PROD, (u32::MAX - 20).wrapping_add(answers));
            memory.poke(REQ_EVENT, large);
            broken |= answers < taken || answers > shown;
            prop_assert_eq!(front.wait().is_err(), broken);
            while let Ok(Some(_)) = front.take() {
                taken += 1;
            }
            prop_assert!(taken <= asked && front.free() <= 8);
        }
    }
}

#[test]
fn a_slot_is_copied_once_and_then_may_change() {
    let memory = Memory::new(SIZE);
    let (mut front, mut back, _) = pair(&memory, 0);
    memory.hostile.set(1);
    front.put(&[1, 2, 3]).expect("there is room");
    front.push();
    assert_eq!(back.take(), Ok(Some([1, 2, 3])));
    assert_eq!(memory.most_reads(), 1);
    back.respond(&[9]).expect("it was taken");
    back.push();
    memory.forget_reads();
    assert_eq!(front.take(), Ok(Some(9)));
    assert_eq!(memory.most_reads(), 1);
}

#[test]
fn a_new_back_end_gets_what_the_last_one_left() {
    let memory = Memory::new(SIZE);
    let (mut front, mut back, _) = pair(&memory, u32::MAX);
    for number in 1..=3 {
        front.put(&[number; 3]).expect("there is room");
    }
    front.push();
    for _ in 0..2 {
        back.take().expect("the front end is honest").expect("there are three");
    }
    back.respond(&[1]).expect("it was taken");
    back.push();
    let mut back = Back::resume(&memory).expect("the size is right");
    assert_eq!(back.take(), Ok(Some([2; 3])));
    assert_eq!(back.take(), Ok(Some([3; 3])));
    assert_eq!(back.take(), Ok(None));
}

#[test]
fn pages_without_room_are_refused() {
    for size in [0, 63, SLOTS, SLOTS + 23] {
        let memory = Memory::new(size);
        assert_eq!(Back::attach(&memory).err(), Some(RingError::Size { size }));
        assert_eq!(Front::create(&memory).err(), Some(RingError::Size { size }));
    }
    // One slot, and what a response and what is known of it need behind it.
    let size = SLOTS + 24 + 12 + 7;
    assert_eq!(Back::attach(&Memory::new(size)).err(), Some(RingError::Size { size }));
    let memory = Memory::new(size + 1);
    memory.poke(REQ_PROD, 2);
    let error = Back::attach(&memory).err().expect("two requests do not fit");
    assert_eq!(error.to_string(), "ring: the peer's producer index is 0x2, which is not in 0x0..=0x1");
}
