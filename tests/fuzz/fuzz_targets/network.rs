//! A network card's front end that writes what it likes into the ring on which it sends, and a back end that answers
//! what it likes where we receive.
//!
//! `cargo +nightly fuzz run --fuzz-dir . network` in `tests/fuzz`. A byte of the input is a step; a slot takes 12 bytes
//! more, an answer 8, an index 4.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::memory::SharedMemory;
use hyp_pvio::network::{Outcome, Packet, ReceiveFront, Received, TransmitBack};
use support::Memory;
use xen_abi::io::ring::{REQ_PROD, RSP_PROD, SLOTS};

fn check(packet: &Packet) {
    assert!(!packet.pieces.is_empty());
    for piece in &packet.pieces {
        assert!(piece.length > 0 && piece.offset + piece.length <= 4096);
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (sending, receiving) = (Memory::new(4096), Memory::new(4096));
    let Ok(mut back) = TransmitBack::attach(&sending) else { return };
    let Ok(mut front) = ReceiveFront::create(&receiving) else { return };
    let (mut going, mut made, mut answered) = (Vec::new(), 0_u32, 0_u32);
    let mut rest = input;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step % 8 {
            0 | 1 => {
                let Some((slot, after)) = rest.split_at_checked(12) else { return };
                sending.write(SLOTS + (made % 256) as usize * 12, slot);
                made = made.wrapping_add(1);
                rest = after;
            }
            2 => sending.poke(REQ_PROD, made),
            3 => {
                let Some((slot, after)) = rest.split_at_checked(8) else { return };
                receiving.write(SLOTS + (answered % 256) as usize * 8, slot);
                answered = answered.wrapping_add(1);
                receiving.poke(RSP_PROD, answered);
                rest = after;
            }
            4 => _ = front.give(u32::from(step)).map(|()| front.push()),
            5 => match front.take() {
                Ok(Some(Received::Packet(packet, _))) => check(&packet),
                other => drop(other),
            },
            6 if !going.is_empty() => {
                let tag = going.swap_remove(usize::from(step >> 3) % going.len());
                assert!(back.complete(tag, Outcome::Done).is_ok() && back.complete(tag, Outcome::Done).is_err());
                back.push();
            }
            6 => {
                let Some((index, after)) = rest.split_first_chunk() else { return };
                sending.poke(REQ_PROD, u32::from_le_bytes(*index));
                rest = after;
            }
            _ => {
                if let Ok(Some((tag, packet))) = back.take() {
                    check(&packet);
                    assert!(packet.pieces.len() <= 18 && packet.length() <= 65535);
                    going.push(tag);
                }
            }
        }
        assert_eq!(back.in_flight(), going.len());
    }
});
