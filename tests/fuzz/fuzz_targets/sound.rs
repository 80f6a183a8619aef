//! A sound stream's front end that writes what it likes into its ring, its lists of grants and its page of events, between
//! any two steps of the back end; and one whose back end does.
//!
//! `cargo +nightly fuzz run --fuzz-dir . sound` in `tests/fuzz`. A byte of the input is a step; a slot takes 64 bytes
//! more, an event as many, a list of grants and an index 4. Every command that comes out is checked here once more.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::directory::Buffer;
use hyp_pvio::memory::SharedMemory;
use hyp_pvio::sound::{Back, Command, Direction, Format, Limits, Opened, Part, Positions, events, position};
use support::Memory;
use xen_abi::io::ring::{REQ_PROD, SLOTS};

const LIMITS: Limits = Limits {
    formats: &[Format::U8, Format::S16, Format::S32],
    rates: &[8000, 44100, 48000],
    channels: 8,
    buffer: 1 << 20,
};

fn check_opened(opened: &Opened) {
    assert!((1..=8).contains(&opened.channels) && LIMITS.rates.contains(&opened.rate));
    assert!(LIMITS.formats.contains(&opened.format) && (1..=1 << 20).contains(&opened.buffer));
    assert!(opened.buffer % opened.frame() == 0 && opened.period <= opened.buffer);
    assert_eq!(Opened::from_text(&opened.to_text(), &LIMITS), Some(*opened));
}

fn check(command: &Command, opened: Option<Opened>) {
    let part = |part: &Part, bytes: Option<u32>| {
        let opened = opened.expect("it is open");
        assert!(part.length > 0 && part.offset as usize + part.length as usize <= opened.buffer as usize);
        assert!(bytes.is_none_or(|bytes| part.length == bytes * u32::from(opened.channels)));
    };
    match command {
        Command::Open(opened) => check_opened(opened),
        Command::Write(it) => part(it, None),
        Command::SetVolume(it) | Command::GetVolume(it) => part(it, Some(4)),
        Command::Mute(it) | Command::Unmute(it) => part(it, Some(1)),
        Command::Trigger(_) | Command::Close => assert!(opened.is_some()),
        Command::Read(_) => panic!("it is for playing"),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = std::str::from_utf8(input).map(|text| Opened::from_text(text, &LIMITS).iter().for_each(check_opened));
    let (memory, page) = (Memory::new(4096), Memory::new(4096));
    let Ok(mut back) = Back::attach(&memory, Direction::Playback, LIMITS) else { return };
    let (mut told, mut heard) = (Positions::attach(&page), events(&page));
    let mut going = Vec::new();
    let mut buffer = Buffer::new(0, 0);
    let (mut rest, mut made) = (input, 0_u32);
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step % 9 {
            0 | 1 => {
                let Some((slot, after)) = rest.split_at_checked(64) else { return };
                memory.write(SLOTS + (made % 32) as usize * 64, slot);
                made = made.wrapping_add(1);
                memory.poke(REQ_PROD, made);
                rest = after;
            }
            2 => {
                let Some((index, after)) = rest.split_first_chunk() else { return };
                let at = usize::from(step >> 4) % 4 * 4;
                let memory = if step & 8 == 0 { &memory } else { &page };
                memory.poke(at, u32::from_le_bytes(*index));
                rest = after;
            }
            3 if !going.is_empty() => {
                let tag = going.swap_remove(usize::from(step >> 3) % going.len());
                assert!(back.complete(tag, Ok(())).is_ok() && back.complete(tag, Ok(())).is_err());
            }
            4 => _ = back.push(),
            5 => _ = told.tell(step.into()),
            6 => _ = heard.take().map(|event| event.as_ref().and_then(position)),
            7 => {
                let Some((words, after)) = rest.split_first_chunk::<4>() else { return };
                let mut list = [0; 4096];
                list.iter_mut().zip(words.iter().cycle()).for_each(|(to, byte)| *to = *byte);
                if buffer.wanted().is_some() {
                    let _ = buffer.list(&list);
                }
                let pieces = buffer.pieces(usize::from(step), 5000).into_iter().flatten();
                assert!(matches!(pieces.map(|piece| piece.length).sum(), 0 | 5000));
                rest = after;
            }
            _ => {
                let opened = back.opened().copied();
                if let Ok(Some((tag, command))) = back.take() {
                    // Refused requests on the way changed nothing.
                    check(&command, opened);
                    if let Command::Open(opened) = command {
                        buffer = Buffer::new(opened.buffer, opened.directory);
                    }
                    going.push(tag);
                }
            }
        }
        assert!(going.len() <= 32);
    }
});
