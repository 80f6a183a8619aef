//! A console from both ends.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use hyp_pvio::console::{back, front};
use support::Memory;

#[test]
fn a_long_text_and_what_is_typed_pass_each_other() {
    let memory = Memory::new(4096);
    let (mut guest, mut host) = (front(&memory), back(&memory));
    let text: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
    let (mut sent, mut shown, mut typed, mut heard) = (0, Vec::new(), 0, Vec::new());
    while shown.len() < text.len() || heard.len() < text.len() {
        sent += guest.writer.write(&text[sent..]).unwrap();
        typed += host.writer.write(&text[typed..]).unwrap();
        let mut buffer = [0; 700];
        let length = host.reader.read(&mut buffer).unwrap();
        shown.extend_from_slice(&buffer[..length]);
        let length = guest.reader.read(&mut buffer).unwrap();
        heard.extend_from_slice(&buffer[..length]);
    }
    assert_eq!((&shown, &heard), (&text, &text));
}

#[test]
fn each_direction_has_the_room_that_the_header_says() {
    let memory = Memory::new(4096);
    let (mut guest, mut host) = (front(&memory), back(&memory));
    assert_eq!((guest.writer.write(&[1; 4096]), host.writer.write(&[2; 4096])), (Ok(2048), Ok(1024)));
    let mut buffer = [0; 4096];
    assert_eq!(guest.reader.read(&mut buffer), Ok(1024));
    assert!(buffer[..1024].iter().all(|byte| *byte == 2));
    assert_eq!(host.reader.read(&mut buffer), Ok(2048));
    assert!(buffer[..2048].iter().all(|byte| *byte == 1));
}
