//! What an open stream has to play: a guest writes into a buffer, a card plays pieces of it, and back ends end in between.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::collections::VecDeque;

use hyp_pvio::sound::{Format, Limits, Opened, Part, Play};
use proptest::prelude::*;
use xen_abi::errno::Errno;

const LIMITS: Limits = Limits { formats: &[Format::U8, Format::S16], rates: &[8000], channels: 2, buffer: 64 };
const BUFFER: u32 = 48;
const OPENED: Opened = Opened { format: Format::U8, channels: 1, rate: 8000, buffer: BUFFER, period: 12, directory: 7 };

/// A guest with its buffer, a card with what it was given, and what was heard of it: each sample is another number, silence
/// is 0.
struct World {
    play: Play,
    kept: String,
    told: u64,
    buffer: Vec<u32>,
    written: u32,
    card: VecDeque<Vec<u32>>,
    heard: Vec<u32>,
}

impl World {
    fn new() -> Self {
        let play = Play::new(OPENED);
        let (kept, buffer) = (play.to_text(), vec![0; BUFFER as usize]);
        Self { play, kept, told: 0, buffer, written: 0, card: VecDeque::new(), heard: Vec::new() }
    }

    /// The guest writes so many samples behind the last, as far as it knows of room.
    fn write(&mut self, wanted: u32) -> Option<Part> {
        let known = &self.heard[..self.told as usize];
        let waits = self.written - known.iter().filter(|sample| **sample != 0).count() as u32;
        let offset = self.written % BUFFER;
        let length = wanted.min(BUFFER - waits).min(BUFFER - offset);
        for at in offset..offset + length {
            self.written += 1;
            self.buffer[at as usize] = self.written;
        }
        let part = (length > 0).then_some(Part { offset, length })?;
        assert_eq!(self.play.write(part), Ok(()));
        self.kept = self.play.to_text();
        Some(part)
    }

    fn give(&mut self, most: u32) {
        match self.play.next(most) {
            Some(Part { offset, length }) => {
                assert!((1..=most).contains(&length));
                self.card.push_back(self.buffer[offset as usize..][..length as usize].to_vec());
                self.play.give(length);
            }
            None if self.card.is_empty() => {
                self.card.push_back(vec![0; most as usize]);
                self.play.give_silence(most);
            }
            None => {}
        }
    }

    fn hear(&mut self) {
        let Some(piece) = self.card.pop_front() else { return };
        self.play.played(piece.len() as u32);
        self.heard.extend(piece);
        assert_eq!(self.play.position(), self.heard.len() as u64);
    }

    /// A back end ends, and the next plays on; nothing that the guest knows of is heard again.
    fn end(&mut self) {
        self.play = Play::from_text(&self.kept, &LIMITS, Some(self.told)).unwrap();
        self.kept = self.play.to_text();
        self.card.clear();
        assert!(self.play.position() >= self.told);
        self.heard.truncate(self.play.position() as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_is_heard_once_and_in_order_though_back_ends_end(steps in prop::collection::vec((0_u8..7, 1_u32..30), 1..200)) {
        let mut world = World::new();
        for (step, number) in steps {
            match step {
                0 => _ = world.write(number),
                1 | 2 => world.give(number),
                3 => world.hear(),
                4 => world.told = world.play.position(),
                5 => world.end(),
                _ => if let Some(part) = world.write(number) {
                    // It ended after it was kept, and before it was answered.
                    world.end();
                    prop_assert_eq!(world.play.write(part), Ok(()));
                },
            }
        }
        while world.play.next(7).is_some() || !world.card.is_empty() {
            world.give(7);
            world.hear();
        }
        let heard: Vec<u32> = world.heard.into_iter().filter(|sample| *sample != 0).collect();
        prop_assert_eq!(heard, (1..=world.written).collect::<Vec<_>>());
    }

    #[test]
    fn no_part_and_no_text_makes_it_give_what_is_not_in_the_buffer(
        parts in prop::collection::vec((0..BUFFER, 1..=BUFFER, 0_u8..4), 1..100),
        text in prop::collection::vec(any::<u32>(), 0..12), told: u64,
    ) {
        let text = text.iter().fold("u8 1 8000 48 12 7; 1 5 0".to_owned(), |text, number| format!("{text} {number}"));
        let mut play = Play::from_text(&text, &LIMITS, Some(told)).unwrap_or_else(|| Play::new(OPENED));
        let mut card = 0;
        for (offset, length, step) in parts {
            let part = Part { offset, length: length.min(BUFFER - offset) };
            match step {
                0 => _ = play.write(part),
                1 => if let Some(part) = play.next(length) {
                    prop_assert!(part.length > 0 && part.offset + part.length <= BUFFER);
                    play.give(part.length);
                    card += part.length;
                },
                2 => play.played(std::mem::take(&mut card)),
                _ => {
                    play.stop();
                    card = 0;
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_played_is_refused() {
    let mut play = Play::new(Opened { format: Format::S16, channels: 2, ..OPENED });
    let part = |offset, length| Part { offset, length };
    assert_eq!(play.write(part(2, 4)), Err(Errno::EINVAL), "half a frame");
    assert_eq!(play.write(part(4, 6)), Err(Errno::EINVAL));
    assert_eq!(play.write(part(0, BUFFER)), Ok(()));
    assert_eq!(play.write(part(0, 4)), Err(Errno::ENOSPC), "more than a buffer");
    let mut play = Play::new(OPENED);
    for number in 0..16 {
        assert_eq!(play.write(part(number * 2, 1)), Ok(()));
    }
    assert_eq!(play.write(part(40, 1)), Err(Errno::ENOSPC), "in too many places");
    assert_eq!(play.write(part(31, 1)), Ok(()), "it follows the last");
}

#[test]
fn who_stops_begins_at_the_buffers_begin() {
    let mut play = Play::new(OPENED);
    play.run(true);
    play.write(Part { offset: 0, length: 20 }).unwrap();
    play.give(12);
    play.played(12);
    assert!(play.is_running());
    play.stop();
    assert_eq!((play.is_running(), play.position(), play.next(100)), (false, 48, None));
    play.stop();
    assert_eq!(play.position(), 48, "once");
    assert_eq!(play.to_text(), "u8 1 8000 48 12 7; 0 48 0 0 20");
    for wrong in ["", "u8 1 8000 48 12 7", "u8 1 8000 48 12 7; 0 48", "u8 1 8000 48 12 7; 0 48 0 1", "; 0 48 0 0 0"] {
        assert_eq!(Play::from_text(wrong, &LIMITS, None), None, "{wrong:?}");
    }
    assert_eq!(Play::from_text("u8 1 8000 48 12 7; 0 48 0 0 0 48 4", &LIMITS, None), None, "not in the buffer");
    assert_eq!(Play::from_text("u8 1 8000 48 12 7; 0 48 0 0 0 0 30 30 30", &LIMITS, None), None, "more than a buffer");
}
