//! Rings and streams whose peer writes what it likes, where it likes, between any two of our steps.
//!
//! `cargo +nightly fuzz run --fuzz-dir . ring` in `tests/fuzz`. The first byte of the input chooses the size of the pages; then each
//! step is one byte, and a poke takes six more: where, and what.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::ring::{BackRing, FrontRing, Protocol};
use hyp_pvio::stream::{Place, Reader, Writer};
use support::Memory;

struct Numbers;

impl Protocol for Numbers {
    type Request = [u64; 3];
    type Response = u64;
}

const PLACE: Place = Place { data: 64, size: 64, consumer: 0, producer: 4 };

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&size, mut steps)) = input.split_first() else { return };
    let size = 128 + usize::from(size) * 8;
    let memory = Memory::new(size);
    let (Ok(mut front), Ok(mut back)) =
        (FrontRing::<_, Numbers>::create(&memory), BackRing::<_, Numbers>::attach(&memory))
    else {
        return;
    };
    let (mut reader, mut writer) = (Reader::attach(&memory, PLACE), Writer::attach(&memory, PLACE));
    while let Some((&step, rest)) = steps.split_first() {
        steps = rest;
        match step % 11 {
            0 => _ = front.put(&[1, 2, 3]),
            1 => _ = front.push(),
            2 => _ = front.take(),
            3 => _ = front.wait(),
            4 => _ = back.take(),
            5 => _ = back.respond(&[5]),
            6 => _ = back.push(),
            7 => _ = back.wait(),
            8 => assert!(reader.read(&mut [0; 48]).unwrap_or(0) <= 48),
            9 => assert!(writer.write(&[9; 48]).unwrap_or(0) <= 48),
            _ => {
                let Some((&[low, high, a, b, c, d], rest)) = steps.split_first_chunk() else { return };
                let offset = usize::from(u16::from_le_bytes([low, high])) % (size - 3) / 4 * 4;
                memory.poke(offset, u32::from_le_bytes([a, b, c, d]));
                steps = rest;
            }
        }
        assert!(front.free() <= front.slots() && back.unanswered() <= back.slots());
    }
});
