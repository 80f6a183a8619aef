//! A frame buffer's halves: pages of every shape against what the header says, areas pixel by pixel, both halves against
//! each other, and front ends that keep to nothing.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use hyp_pvio::display::{Area, Back, Change, Connection, Fault, Front, Offer, Screen};
use hyp_pvio::memory::SharedMemory;
use proptest::prelude::*;
use support::Memory;

/// Most bytes of a picture in these tests.
const MOST: u32 = 16 << 20;

const SCREEN: Screen = Screen { width: 10, height: 7, depth: 32, line: 48, offset: 0, memory: 4096 };

/// Whether all pixels are in the memory, and none in two lines.
fn is_right(screen: &Screen) -> bool {
    let bytes = |number: u32| u128::from(number);
    let pixel = bytes(screen.depth) / 8;
    let last = bytes(screen.offset) + bytes(screen.height - 1) * bytes(screen.line) + bytes(screen.width) * pixel;
    [8, 16, 24, 32].contains(&screen.depth)
        && bytes(screen.width) * pixel <= bytes(screen.line)
        && last <= bytes(screen.memory)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1_u32..70, 1 => 0_u32..3, 1 => any::<u32>(), 1 => Just(i32::MAX as u32)]
}

/// Width, height, depth, bytes of a line, offset, bytes of memory.
fn screen() -> impl Strategy<Value = Screen> {
    let depth = prop_oneof![4 => prop::sample::select(vec![8_u32, 16, 24, 32]), 1 => 0_u32..256];
    let memory = prop_oneof![3 => 0_u32..30_000, 1 => Just(MOST), 1 => any::<u32>()];
    (number(), number(), depth, prop_oneof![4 => 0_u32..400, 1 => any::<u32>()], 0_u32..200, memory)
        .prop_map(|(width, height, depth, line, offset, memory)| Screen { width, height, depth, line, offset, memory })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_page_is_a_picture_in_its_memory_or_an_error(screen in screen()) {
        let memory = Memory::new(4096);
        let Screen { width, height, depth, line, memory: bytes, .. } = screen;
        let words = [(16, width), (20, height), (24, line), (28, bytes), (32, depth)];
        words.into_iter().for_each(|(at, value)| memory.poke(at, value));
        memory.hostile.set(1);
        let due = Screen { offset: 0, ..screen };
        let right = width > 0 && height > 0 && is_right(&due) && bytes <= MOST;
        match Back::attach(&memory, MOST) {
            Ok((back, frames)) => {
                prop_assert!(right && *back.screen() == due);
                prop_assert_eq!(frames.wanted(), Some(0));
            }
            Err(fault) => prop_assert!(!right && fault == Fault::Screen(due)),
        }
    }

    #[test]
    fn sizes_that_are_told_are_checked_too(screen in screen()) {
        let memory = Memory::new(4096);
        let mut front = Front::create(&memory, &SCREEN, &[5]).unwrap();
        let mut back = Back::attach(&memory, MOST).unwrap().0;
        front.resize(&screen).unwrap();
        let due = Screen { memory: 4096, ..screen };
        let right = screen.width > 0 && screen.height > 0 && is_right(&due);
        prop_assert_eq!(back.take(), if right { Ok(Some(Change::Screen(due))) } else { Err(Fault::Screen(due)) });
        let mut next = Back::attach(&memory, MOST).unwrap().0;
        prop_assert_eq!((next.resume(screen).is_ok(), next.screen()), (right, if right { &due } else { &SCREEN }));
    }

    #[test]
    fn areas_are_those_within_the_picture(
        x in -15_i32..15, y in -15_i32..15, width in -5_i32..30, height in -5_i32..30, far in any::<bool>(),
    ) {
        let memory = Memory::new(4096);
        let mut front = Front::create(&memory, &SCREEN, &[5]).unwrap();
        let mut back = Back::attach(&memory, MOST).unwrap().0;
        let (width, height) = if far { (i32::MAX, i32::MAX) } else { (width, height) };
        let [ax, ay, aw, ah] = [x, y, width, height].map(i32::cast_unsigned);
        front.update(Area { x: ax, y: ay, width: aw, height: ah }).unwrap();
        let inside = |at: i32, first: i32, count: i32| i64::from(at) >= i64::from(first) && i64::from(at) < i64::from(first) + i64::from(count);
        let pixels = |y: i32| (0..10).filter(move |at| inside(*at, x, width)).map(move |x| (x, y));
        let due: Vec<(i32, i32)> = (0..7).filter(|at| inside(*at, y, height)).flat_map(pixels).collect();
        let bytes = match back.take().unwrap() {
            None => vec![],
            Some(Change::Area(area)) => back.screen().lines(area).collect(),
            Some(change) => panic!("{change:?}"),
        };
        let got = bytes.iter().flat_map(|(start, length)| (*start..start + length).step_by(4));
        let got: Vec<(i32, i32)> = got.map(|at| (at as i32 % 48 / 4, at as i32 / 48)).collect();
        prop_assert_eq!(got, due);
        prop_assert_eq!(back.take(), Ok(None));
    }

    #[test]
    fn frames_are_listed_in_order(memory in 1_u32..MOST) {
        let screen = Screen { width: 1, height: 1, depth: 8, line: 1, offset: 0, memory };
        let frames: Vec<u64> = (0..u64::from(memory.div_ceil(4096))).map(|at| at * 3 + (1 << 40)).collect();
        let lists = Front::<&Memory>::lists(&frames);
        let own: Vec<u64> = (0..lists.len() as u64).map(|at| at + 77).collect();
        let page = Memory::new(4096);
        Front::create(&page, &screen, &own).unwrap();
        let (_, mut known) = Back::attach(&page, MOST).unwrap();
        for (list, own) in lists.iter().zip(own) {
            prop_assert_eq!(known.wanted(), Some(own));
            known.list(list);
        }
        prop_assert_eq!((known.wanted(), known.known()), (None, &frames[..]));
    }

    #[test]
    fn a_front_end_that_writes_what_it_likes_is_checked(
        steps in prop::collection::vec((0_u8..4, any::<u32>(), prop::collection::vec(any::<u8>(), 40)), 1..80),
    ) {
        let memory = Memory::new(4096);
        Front::create(&memory, &SCREEN, &[5]).unwrap();
        let mut back = Back::attach(&memory, MOST).unwrap().0;
        let (mut put, mut over) = (0_u32, false);
        for (step, index, mut event) in steps {
            match step {
                0 | 1 => {
                    event[0] = 2 + event[0] % 2;
                    memory.write(2048 + (put % 51) as usize * 40, &event);
                    put = put.wrapping_add(1);
                    memory.poke(12, put);
                }
                2 if index % 8 == 0 => {
                    put = index;
                    memory.poke(12, put);
                }
                _ => while let Ok(Some(change)) = back.take() {
                    let screen = *back.screen();
                    prop_assert!(!over && is_right(&screen));
                    if let Change::Area(area) = change {
                        prop_assert!(area.width > 0 && area.x + area.width <= screen.width);
                        prop_assert!(area.height > 0 && area.y + area.height <= screen.height);
                        prop_assert!(screen.lines(area).all(|(start, length)| start + length <= 4096));
                    }
                    back.show();
                },
            }
            over |= matches!(back.take(), Err(Fault::Events(_)));
        }
    }
}

#[test]
fn an_event_that_nobody_asked_for_ends_the_device() {
    let memory = Memory::new(4096);
    Front::create(&memory, &SCREEN, &[5]).unwrap();
    let mut back = Back::attach(&memory, MOST).unwrap().0;
    memory.poke(2048, 9);
    memory.poke(12, 1);
    let fault = back.take().unwrap_err();
    assert_eq!(fault.to_string(), "display: an event of type 9, which nobody asked for");
    let wide = Screen { width: 13, ..SCREEN };
    let fault = Front::create(&memory, &wide, &[5]).err().unwrap();
    assert_eq!(
        fault.to_string(),
        "display: 13 columns and 7 lines of 32 bits, 48 bytes each, from 0 on, in 4096 bytes"
    );
    assert!(Front::create(&memory, &SCREEN, &[0; 124]).is_err(), "events are behind 123");
    memory.poke(12, 99);
    assert_eq!(
        Back::attach(&memory, MOST).unwrap().0.take().unwrap_err().to_string(),
        "display: ring of 51 events: producer index 0x63 does not fit consumer index 0x0"
    );
}

#[test]
fn a_page_has_room_for_the_numbers_of_123_lists() {
    for (memory, right) in [(123 << 21, true), ((123 << 21) + 1, false)] {
        let page = Memory::new(4096);
        Front::create(&page, &Screen { memory, ..SCREEN }, &[5]).unwrap();
        assert_eq!(Back::attach(&page, u32::MAX).is_ok(), right);
    }
}

#[test]
fn a_back_end_says_how_often_it_looks() {
    let memory = Memory::new(4096);
    let mut front = Front::create(&memory, &SCREEN, &[5]).unwrap();
    let mut back = Back::attach(&memory, MOST).unwrap().0;
    assert_eq!(front.take(), Ok(None));
    assert!((0..25).all(|period| back.advise(period) == Ok(true)));
    assert_eq!((back.advise(99), front.take(), front.take()), (Ok(false), Ok(Some(24)), Ok(None)));
    assert_eq!((back.advise(40), front.take()), (Ok(true), Ok(Some(40))));
}

#[test]
fn both_ends_are_in_xenstore() {
    let nodes = Offer { width: 800, height: 600, megabytes: 2 }.features();
    for (name, value) in [("width", "800"), ("height", "600"), ("videoram", "2"), ("request-update", "1")] {
        assert!(nodes.contains(&(name, value.into())), "{name}");
    }
    let linux = |node: &str| match node {
        "page-ref" => Some(b"264321".to_vec()),
        "event-channel" => Some(b"9".to_vec()),
        "protocol" => Some(b"arm-abi".to_vec()),
        "feature-update" => Some(b"1".to_vec()),
        _ => None,
    };
    assert_eq!(Connection::read(&mut { linux }), Ok(Connection { frame: 264321, port: 9, updates: true }));
    let old = |node: &str| if node == "protocol" { Some(b"x86_32-abi".to_vec()) } else { linux(node) };
    assert_eq!(Connection::read(&mut { old }).unwrap_err().to_string(), "the front end's protocol is \"x86_32-abi\"");
}
