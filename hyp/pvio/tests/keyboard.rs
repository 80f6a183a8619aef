//! A keyboard's halves against a queue, and what both write into xenstore.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::VecDeque;

use hyp_pvio::keyboard::{Back, Connection, Front, Input, Offer};
use hyp_pvio::memory::SharedMemory;
use proptest::prelude::*;
use support::{Life, Memory, Mortal};

fn input() -> impl Strategy<Value = Input> {
    let three = || (any::<i32>(), any::<i32>(), -9_i32..9);
    prop_oneof![
        (any::<u32>(), any::<bool>()).prop_map(|(code, pressed)| Input::Key { code, pressed }),
        three().prop_map(|(x, y, wheel)| Input::Motion { x, y, wheel }),
        three().prop_map(|(x, y, wheel)| Input::Position { x, y, wheel }),
    ]
}

proptest! {
    #[test]
    fn what_is_told_is_taken_in_order_and_once(
        steps in prop::collection::vec((0_u8..9, input()), 1..400), lengths in prop::collection::vec(0_u32..300, 0..9),
    ) {
        let lives: Vec<Life> = lengths.into_iter().chain([u32::MAX]).map(Life::new).collect();
        let (memory, mut life) = (Memory::new(4096), 0);
        let mut front = Front::create(&memory);
        let begin = |life: usize| Back::attach(Mortal { memory: &memory, life: &lives[life] });
        let (mut back, mut told) = (begin(0), VecDeque::new());
        for (step, input) in steps {
            if step < 8 {
                let before = memory.peek(4);
                let there = back.tell(input).unwrap();
                prop_assert!(there == (told.len() < 51) || lives[life].is_over());
                told.extend((memory.peek(4) != before).then_some(input));
            } else {
                while let Some(input) = front.take().unwrap() {
                    prop_assert_eq!(Some(input), told.pop_front());
                }
                front.show();
                prop_assert!(told.is_empty());
            }
            while lives[life].is_over() {
                life += 1;
                back = begin(life);
            }
        }
    }
}

#[test]
fn what_nobody_knows_is_passed_over() {
    let memory = Memory::new(4096);
    let (mut front, mut back) = (Front::create(&memory), Back::attach(&memory));
    back.tell(Input::Key { code: 1, pressed: true }).unwrap();
    memory.write(1024, &[5; 40]);
    back.tell(Input::Motion { x: -1, y: 2, wheel: 3 }).unwrap();
    let mut event = [0; 16];
    memory.read(1064, &mut event);
    assert_eq!(event, [1, 0, 0, 0, 255, 255, 255, 255, 2, 0, 0, 0, 253, 255, 255, 255]);
    assert_eq!(front.take(), Ok(Some(Input::Motion { x: -1, y: 2, wheel: 3 })));
    memory.poke(4, 54);
    assert!(front.take().is_err());
    memory.poke(0, 3);
    assert!(back.tell(Input::Key { code: 1, pressed: true }).is_err());
}

#[test]
fn both_ends_are_in_xenstore() {
    let offer = Offer { keyboard: true, pointer: true, screen: Some((800, 600)) };
    let nodes = offer.features();
    for (name, value) in
        [("feature-disable-keyboard", "0"), ("feature-abs-pointer", "1"), ("width", "800"), ("height", "600")]
    {
        assert!(nodes.contains(&(name, value.into())), "{name}");
    }
    let keys = Offer { keyboard: true, pointer: false, screen: None };
    assert!(keys.features().contains(&("feature-disable-pointer", "1".into())) && keys.features().len() == 3);
    let mut linux = |node: &str| match node {
        "page-gref" => Some(b"12".to_vec()),
        "event-channel" => Some(b"9".to_vec()),
        "request-abs-pointer" => Some(b"1".to_vec()),
        _ => None,
    };
    assert_eq!(Connection::read(&offer, &mut linux), Ok(Connection { page: 12, port: 9, positions: true }));
    assert!(!Connection::read(&keys, &mut linux).unwrap().positions, "it was not offered");
    assert_eq!(Connection::read(&keys, &mut |_| None).unwrap_err().to_string(), "the front end has no page-gref");
}
