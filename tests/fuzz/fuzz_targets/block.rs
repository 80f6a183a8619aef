//! A disk's front end that writes what it likes into its ring, between any two steps of the back end.
//!
//! `cargo +nightly fuzz run --fuzz-dir . block` in `tests/fuzz`. A byte of the input is a step; a slot takes 112 bytes
//! more, an index 4. Every operation that comes out is checked against the disk here once more.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::block::{Back, Disk, Kind, Operation, Outcome, Tag, Todo};
use hyp_pvio::memory::SharedMemory;
use support::Memory;
use xen_abi::io::ring::{REQ_PROD, RSP_EVENT, SLOTS};

const DISK: Disk = Disk { sectors: 5000, read_only: false, flush: true, barrier: true, discard: true, indirect: 1024 };

fn check(operation: &Operation) {
    let sectors = match operation.kind {
        Kind::Discard { sectors, .. } => sectors,
        _ => operation.segments.iter().map(|segment| u64::from(segment.length) / 512).sum(),
    };
    assert!(operation.sector + sectors <= DISK.sectors);
    for segment in &operation.segments {
        assert!(segment.length >= 512 && segment.length % 512 == 0 && segment.offset % 512 == 0);
        assert!(segment.offset + segment.length <= 4096);
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let memory = Memory::new(4096);
    let Ok(mut back) = Back::attach(&memory, DISK) else { return };
    let mut going: Vec<Tag> = Vec::new();
    let (mut rest, mut made) = (input, 0_u32);
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step % 8 {
            0 | 1 => {
                let Some((slot, after)) = rest.split_at_checked(112) else { return };
                memory.write(SLOTS + (made % 32) as usize * 112, slot);
                made = made.wrapping_add(1);
                memory.poke(REQ_PROD, made);
                rest = after;
            }
            2 => {
                let Some((index, after)) = rest.split_first_chunk() else { return };
                memory.poke(if step & 8 == 0 { REQ_PROD } else { RSP_EVENT }, u32::from_le_bytes(*index));
                rest = after;
            }
            3 if !going.is_empty() => {
                let tag = going.swap_remove(usize::from(step >> 3) % going.len());
                assert!(back.complete(tag, Outcome::Done).is_ok() && back.complete(tag, Outcome::Done).is_err());
            }
            4 => _ = back.push(),
            5 => _ = back.wait(),
            _ => match back.take() {
                Ok(Some(Todo::Operate(tag, operation))) => {
                    check(&operation);
                    going.push(tag);
                }
                Ok(Some(Todo::Look(tag, segments))) => {
                    assert!(segments.grants.len() <= 8 && segments.bytes <= segments.grants.len() * 4096);
                    let bytes: Vec<u8> =
                        rest.iter().copied().chain([0].into_iter().cycle()).take(segments.bytes).collect();
                    if let Ok(Some(operation)) = back.look(tag, &bytes) {
                        check(&operation);
                        going.push(tag);
                    }
                }
                _ => {}
            },
        }
        assert_eq!(back.in_flight(), going.len());
        assert!(going.len() <= 32);
    }
});
