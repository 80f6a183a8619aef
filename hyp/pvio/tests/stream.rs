//! Streams against a queue of bytes, and against a peer that writes what it likes.
#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::VecDeque;

use hyp_pvio::stream::{Place, Reader, StreamError, Writer};
use proptest::prelude::*;
use support::Memory;

const PLACE: Place = Place { data: 4, size: 32, consumer: 40, producer: 36 };

fn page(index: u32) -> Memory {
    let memory = Memory::new(44);
    memory.poke(PLACE.consumer, index);
    memory.poke(PLACE.producer, index);
    memory
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in(
        start in prop_oneof![Just(0), Just(u32::MAX - 40), any::<u32>()],
        steps in prop::collection::vec((any::<bool>(), 0_usize..50), 1..200),
    ) {
        let memory = page(start);
        let (mut reader, mut writer) = (Reader::attach(&memory, PLACE), Writer::attach(&memory, PLACE));
        let (mut model, mut next) = (VecDeque::new(), 0_u8);
        for (write, length) in steps {
            prop_assert_eq!(reader.available(), Ok(model.len()));
            prop_assert_eq!(writer.room(), Ok(32 - model.len()));
            if write {
                let bytes: Vec<u8> = (0..length).map(|at| next.wrapping_add(at as u8)).collect();
                let written = writer.write(&bytes).expect("the reader is honest");
                prop_assert_eq!(written, length.min(32 - model.len()));
                model.extend(&bytes[..written]);
                next = next.wrapping_add(written as u8);
            } else {
                let mut bytes = vec![0; length];
                memory.forget_reads();
                let read = reader.read(&mut bytes).expect("the writer is honest");
                prop_assert!(memory.most_reads() <= 1);
                let expected: Vec<u8> = model.drain(..length.min(model.len())).collect();
                prop_assert_eq!(&bytes[..read], &expected[..]);
            }
        }
    }

    #[test]
    fn an_index_that_cannot_be_true_ends_the_stream(pokes in prop::collection::vec(any::<(bool, u8, u32)>(), 1..40)) {
        let memory = page(7);
        let (mut reader, mut taken, mut broken) = (Reader::attach(&memory, PLACE), 7_u32, false);
        for (near, small, large) in pokes {
            let producer = if near { taken.wrapping_add(u32::from(small % 40)) } else { large };
            memory.poke(PLACE.producer, producer);
            memory.poke(PLACE.consumer, large);
            broken |= producer.wrapping_sub(taken) > 32;
            let read = reader.read(&mut [0; 16]);
            prop_assert_eq!(read.is_err(), broken);
            if let Ok(read) = read {
                prop_assert_eq!(read as u32, producer.wrapping_sub(taken).min(16));
                taken = taken.wrapping_add(read as u32);
            }
        }
    }
}

#[test]
fn a_reader_that_says_it_read_what_was_not_written_is_found() {
    let memory = page(0);
    let mut writer = Writer::attach(&memory, PLACE);
    memory.poke(PLACE.consumer, 1);
    let error = StreamError { producer: 0, consumer: 1, size: 32 };
    assert_eq!(writer.write(b"x"), Err(error));
    memory.poke(PLACE.consumer, 0);
    assert_eq!(writer.room(), Err(error), "it stays so");
    assert_eq!(error.to_string(), "stream of 32 bytes: producer index 0x0 does not fit consumer index 0x1");
}
