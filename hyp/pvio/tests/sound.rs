//! A sound stream's halves: requests of every shape against an oracle that reads their bytes, both halves together while
//! back ends end at any store, and what both write into xenstore.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use hyp_pvio::events::EventError;
use hyp_pvio::ring::FrontRing;
use hyp_pvio::sound::{
    Back, Card, Command, Connection, Device, Direction, Format, Front, Limits, Opened, Part, Positions, Sndif, Stream,
    Trigger, UnknownTag, events, position,
};
use proptest::prelude::*;
use support::{Life, Memory, Mortal};
use xen_abi::errno::Errno;
use xen_abi::io::ring::RSP_PROD;
use xen_abi::io::sndif::{QueryHwParam, Request};
use zerocopy::{FromBytes, IntoBytes};

const LIMITS: Limits =
    Limits { formats: &[Format::S16, Format::U8], rates: &[8000, 44100, 48000], channels: 4, buffer: 65536 };

const OPENED: Opened =
    Opened { format: Format::S16, channels: 2, rate: 48000, buffer: 16384, period: 4096, directory: 77 };

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What the header says of a request's bytes, while a stream for playing is open as above or is not: a command, an answer
/// of parameters, or a status.
#[derive(Debug, PartialEq)]
enum Expected {
    Command(Command),
    Left(QueryHwParam),
    Status(i32),
}

fn expected(bytes: &[u8; 64], open: bool) -> Expected {
    let invalid = Expected::Status(-22);
    let (offset, length) = (word(bytes, 8), word(bytes, 12));
    let part = Part { offset, length };
    let fits = length > 0 && u64::from(offset) + u64::from(length) <= 16384;
    let sized = |each: u32, command: fn(Part) -> Command| match fits && length == each * 2 {
        true => Expected::Command(command(part)),
        false => Expected::Status(-22),
    };
    match bytes[2] {
        0 => {
            let (format, channels, buffer, period) = (bytes[12], bytes[13], word(bytes, 16), word(bytes, 24));
            let format = match format {
                2 => Format::S16,
                1 => Format::U8,
                _ => return invalid,
            };
            let frame = u32::from(channels) * if format == Format::S16 { 2 } else { 1 };
            let possible = [8000, 44100, 48000].contains(&offset)
                && (1..5).contains(&channels)
                && (1..=65536).contains(&buffer)
                && buffer % frame == 0
                && period <= buffer;
            let directory = word(bytes, 20);
            let opened = Opened { format, channels, rate: offset, buffer, period, directory };
            if possible { Expected::Command(Command::Open(opened)) } else { invalid }
        }
        1 if !open => Expected::Status(0),
        1 => Expected::Command(Command::Close),
        2..9 if !open => Expected::Status(-5),
        3 if fits => Expected::Command(Command::Write(part)),
        2 | 3 => invalid,
        4 => sized(4, Command::SetVolume),
        5 => sized(4, Command::GetVolume),
        6 => sized(1, Command::Mute),
        7 => sized(1, Command::Unmute),
        8 => match bytes[8] {
            0 => Expected::Command(Command::Trigger(Trigger::Start)),
            1 => Expected::Command(Command::Trigger(Trigger::Pause)),
            2 => Expected::Command(Command::Trigger(Trigger::Stop)),
            3 => Expected::Command(Command::Trigger(Trigger::Resume)),
            _ => invalid,
        },
        9 => left(bytes).map_or(invalid, Expected::Left),
        _ => Expected::Status(-95),
    }
}

/// The parameters that are left, by trying all that there are.
fn left(bytes: &[u8; 64]) -> Option<QueryHwParam> {
    let formats: Vec<(u64, u32)> =
        [(2, 2), (1, 1)].into_iter().filter(|(bit, _)| word(bytes, 8) >> bit & 1 == 1).collect();
    let within = |at: usize, value: u32| (word(bytes, at)..=word(bytes, at + 4)).contains(&value);
    let all = |at: usize, values: &mut dyn Iterator<Item = u32>| -> Option<[u32; 2]> {
        let values: Vec<u32> = values.filter(|value| within(at, *value)).collect();
        Some([*values.iter().min()?, *values.iter().max()?])
    };
    let rates = all(16, &mut [8000, 44100, 48000].into_iter())?;
    let channels = all(24, &mut (1..5))?;
    let frame = formats.iter().map(|(_, bytes)| *bytes).min()? * channels[0];
    let buffer = all(32, &mut (1..=65536 / frame))?;
    let period = all(40, &mut (1..=buffer[1]))?;
    Some(QueryHwParam { formats: formats.iter().map(|(bit, _)| 1 << bit).sum(), rates, channels, buffer, period })
}

/// Bytes of requests, most of which are nearly right.
fn request() -> impl Strategy<Value = [u8; 64]> {
    let rate = prop::sample::select(vec![8000, 44100, 48000, 96000, 0, 16380, u32::MAX]);
    let small = || prop_oneof![0_u32..20, 16370_u32..16390, Just(65536), any::<u32>()];
    let range = |most: u32| (0..most, 0..most);
    let words = (rate, 0_u8..4, 0_u8..6, prop_oneof![0_u32..300, small()], small(), small());
    let query = (0_u8..8, range(100_000), range(7), range(70_000), range(70_000));
    (0_u8..11, any::<u16>(), 0_u8..5, words, query, prop_oneof![Just(2_u32), Just(8), small()]).prop_map(
        |(operation, id, kind, (rate, format, channels, buffer, directory, period), query, length)| {
            let mut bytes = [0; 64];
            bytes[..2].copy_from_slice(&id.to_le_bytes());
            bytes[2] = operation;
            let buffer = buffer.wrapping_mul(u32::from(format.max(1))) % 70_000;
            let words = match operation {
                0 => vec![rate, u32::from(format) | u32::from(channels) << 8, buffer, directory, period],
                8 => vec![u32::from(kind)],
                9 => {
                    let (formats, rates, channels, buffer, period) = query;
                    let sorted = |(a, b): (u32, u32)| if kind == 0 { (a, b) } else { (a.min(b), a.max(b)) };
                    let pairs = [rates, channels, buffer, period].map(sorted);
                    [u32::from(formats), 0].into_iter().chain(pairs.into_iter().flat_map(|(a, b)| [a, b])).collect()
                }
                _ => vec![if length == 2 { directory } else { rate }, length],
            };
            bytes[8..8 + words.len() * 4].copy_from_slice(words.as_bytes());
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_request_is_what_the_header_says_or_an_error(bytes in request(), open in any::<bool>()) {
        let memory = Memory::new(4096);
        let mut front = FrontRing::<_, Sndif>::create(&memory).unwrap();
        let mut back = Back::resume(&memory, Direction::Playback, LIMITS, open.then_some(OPENED)).unwrap();
        memory.hostile.set(1);
        front.put(&Request::read_from_bytes(&bytes).unwrap()).unwrap();
        front.push();
        let taken = back.take().unwrap();
        let due = expected(&bytes, open);
        if let Some((tag, command)) = taken {
            prop_assert_eq!(Expected::Command(command), due);
            prop_assert_eq!(back.complete(tag, Err(Errno::EIO)), Ok(()));
            prop_assert_eq!(back.complete(tag, Ok(())), Err(UnknownTag));
            back.push();
            let answer = front.take().unwrap().unwrap();
            prop_assert_eq!((&answer.as_bytes()[..3], answer.status), (&bytes[..3], -5));
            prop_assert_eq!(back.opened().is_some(), open && !matches!(command, Command::Open(_) | Command::Close));
            return Ok(());
        }
        back.push();
        let answer = front.take().unwrap().unwrap();
        prop_assert_eq!(&answer.as_bytes()[..3], &bytes[..3]);
        match due {
            Expected::Status(status) => prop_assert_eq!(answer.status, status),
            Expected::Left(left) => {
                prop_assert_eq!(answer.status, 0);
                prop_assert_eq!(QueryHwParam::read_from_prefix(&answer.resp).unwrap().0, left);
            }
            Expected::Command(command) => panic!("{command:?} is refused with {}", answer.status),
        }
        prop_assert_eq!(back.opened().is_some(), open);
    }

    #[test]
    fn commands_are_answered_once_though_back_ends_end(
        steps in prop::collection::vec((0_u8..6, 0_u32..1000, any::<prop::sample::Index>()), 1..120),
        lengths in prop::collection::vec(0_u32..500, 0..9),
    ) {
        let lives: Vec<Life> = lengths.into_iter().chain([u32::MAX]).map(Life::new).collect();
        let (memory, mut life) = (Memory::new(4096), 0);
        let mut front = Front::create(&memory).unwrap();
        let begin = |life: usize| {
            let mortal = Mortal { memory: &memory, life: &lives[life] };
            Back::resume(mortal, Direction::Playback, LIMITS, Some(OPENED))
        };
        let mut back = begin(0).unwrap();
        let (mut asked, mut going, mut came) = (Vec::new(), Vec::new(), 0);
        let mut begun = 0;
        let all = (0..150).flat_map(|_| [2, 3, 4, 5]).map(|step| (step, 0, steps[0].2));
        for (step, offset, index) in steps.clone().into_iter().chain(all) {
            match step {
                0 | 1 => {
                    let command = Command::Write(Part { offset, length: 16 });
                    asked.extend(front.ask(&command).ok().map(|id| (id, command)));
                    front.push();
                }
                2 => if let Some((tag, command)) = back.take().unwrap() {
                    prop_assert_eq!(command, asked[begun].1);
                    going.push(tag);
                    begun += 1;
                },
                3 if !going.is_empty() => back.complete(going.swap_remove(index.index(going.len())), Ok(())).unwrap(),
                4 => _ = back.push(),
                _ => while let Some(answer) = front.take().unwrap() {
                    prop_assert_eq!((answer.id, answer.result, answer.left), (asked[came].0, Ok(()), None));
                    came += 1;
                },
            }
            while lives[life].is_over() {
                life += 1;
                back = begin(life).unwrap();
                begun = memory.peek(RSP_PROD) as usize;
                going.clear();
            }
        }
        prop_assert_eq!(came, asked.len());
    }

    #[test]
    fn positions_come_in_order_and_go_on(steps in prop::collection::vec((0_u8..4, any::<u64>()), 1..300)) {
        let memory = Memory::new(4096);
        let (mut back, mut front) = (Positions::attach(&memory), events(&memory));
        let (mut told, mut read, mut waiting) = (std::collections::VecDeque::new(), 0_u16, 0);
        let mut last = None;
        for (step, bytes) in steps {
            match step {
                0 | 1 => for position in (0..bytes % 30).map(|at| bytes ^ at) {
                    let there = back.tell(position).unwrap();
                    prop_assert_eq!(there, waiting < 63);
                    last = if there { Some(position) } else { last };
                    told.extend(there.then_some(position));
                    waiting += usize::from(there);
                },
                2 => {
                    back = Positions::attach(&memory);
                    prop_assert_eq!(back.last(), last);
                }
                _ => {
                    while let Some(event) = front.take().unwrap() {
                        prop_assert_eq!((event.id, position(&event)), (read, told.pop_front()));
                        read += 1;
                    }
                    front.show();
                    waiting = 0;
                    prop_assert!(told.is_empty());
                }
            }
        }
    }
}

#[test]
fn both_halves_agree_on_every_command() {
    let memory = Memory::new(4096);
    let mut front = Front::create(&memory).unwrap();
    let part = Part { offset: 8, length: 8 };
    let bytes = Part { offset: 8, length: 2 };
    let asked = [
        Command::Open(OPENED),
        Command::Read(part),
        Command::SetVolume(part),
        Command::GetVolume(part),
        Command::Mute(bytes),
        Command::Unmute(bytes),
        Command::Trigger(Trigger::Start),
        Command::Trigger(Trigger::Resume),
        Command::Close,
    ];
    assert!(asked.iter().all(|command| front.ask(command).is_ok()));
    let query = QueryHwParam {
        formats: u64::MAX,
        rates: [9000, 48000],
        channels: [2, 2],
        buffer: [1, u32::MAX],
        period: [64, u32::MAX],
    };
    front.query(&query).unwrap();
    front.push();
    let mut back = Back::attach(&memory, Direction::Capture, LIMITS).unwrap();
    for command in asked {
        let (tag, taken) = back.take().unwrap().unwrap();
        assert_eq!(taken, command);
        back.complete(tag, Ok(())).unwrap();
    }
    assert_eq!((back.take(), back.push()), (Ok(None), true));
    let answers: Vec<_> = std::iter::from_fn(|| front.take().unwrap()).collect();
    assert!(answers.len() == 10 && answers.iter().all(|answer| answer.result == Ok(())));
    let left =
        QueryHwParam { formats: 6, rates: [44100, 48000], channels: [2, 2], buffer: [1, 32768], period: [64, 32768] };
    assert_eq!(answers[9].left, Some(left));
    // A number that nobody asked with.
    memory.poke(64 + 10 * 64, 0x0003_0077);
    memory.poke(RSP_PROD, 11);
    assert!(front.take().is_err());
}

#[test]
fn what_is_open_is_kept_as_text() {
    let text = OPENED.to_text();
    assert_eq!(text, "s16_le 2 48000 16384 4096 77");
    assert_eq!(Opened::from_text(&text, &LIMITS), Some(OPENED));
    for wrong in
        ["", "s16_le", "s32_le 2 48000 16384 4096 77", "s16_le 2 48000 16384 4096 77 1", "s16_le 0 48000 16384 4096 77"]
    {
        assert_eq!(Opened::from_text(wrong, &LIMITS), None, "{wrong}");
    }
}

#[test]
fn an_index_that_cannot_be_true_ends_the_events() {
    let memory = Memory::new(4096);
    let (mut back, mut front) = (Positions::attach(&memory), events(&memory));
    memory.poke(0, 1);
    let error = EventError { producer: 0, consumer: 1, count: 63 };
    assert_eq!(back.tell(1), Err(error));
    assert_eq!(error.to_string(), "ring of 63 events: producer index 0x0 does not fit consumer index 0x1");
    memory.poke(0, 0);
    assert_eq!(back.tell(1), Err(error), "it stays so");
    memory.poke(4, 64);
    assert_eq!(front.take(), Err(EventError { producer: 64, consumer: 0, count: 63 }));
}

#[test]
fn a_card_is_in_the_front_ends_directory() {
    let stream = |direction, id: &str| Stream { direction, unique_id: id.into(), limits: LIMITS };
    let streams = vec![stream(Direction::Playback, "out"), stream(Direction::Capture, "in")];
    let device = Device { name: "Analog".into(), streams };
    let card = Card { short_name: "Card".into(), long_name: "A card".into(), devices: vec![device] };
    let nodes = card.nodes();
    for (name, value) in [
        ("short-name", "Card"),
        ("0/name", "Analog"),
        ("0/0/type", "p"),
        ("0/1/type", "c"),
        ("0/1/unique-id", "in"),
        ("0/0/channels-max", "4"),
        ("0/0/buffer-size", "65536"),
        ("0/0/sample-formats", "s16_le,u8"),
        ("0/0/sample-rates", "8000,44100,48000"),
    ] {
        assert!(nodes.contains(&(name.into(), value.into())), "{name}");
    }
    assert_eq!(Card::features(), [("versions", "2".into())]);
    let names = ["ring-ref", "event-channel", "evt-ring-ref", "evt-event-channel"];
    let mut get = |node: &str| {
        let (stream, name) = node.strip_prefix("0/")?.split_once('/')?;
        let number = names.iter().position(|it| *it == name)? + 10 * stream.parse::<usize>().ok()?;
        Some(number.to_string().into_bytes())
    };
    let connections = card.connections(&mut get).unwrap();
    let connection = |first| Connection { ring: first, port: first + 1, events: first + 2, events_port: first + 3 };
    assert_eq!(connections, [connection(0), connection(10)]);
    let error = card.connections(&mut |node| (node != "0/1/event-channel").then(|| b"7".to_vec())).unwrap_err();
    assert_eq!(error.to_string(), "the front end has no 0/1/event-channel");
}
