//! A kept xenstore server whose life ends at any store, whose memory holds anything, and whose guest writes what it likes.
//!
//! `cargo +nightly fuzz run --fuzz-dir . keeper` in `tests/fuzz`. The first byte of the input says how many of those that
//! follow are in the memory at first. Then the first byte of a step says what it is and how many of the bytes behind it
//! belong to it: requests of the guest, a life that ends, a commit.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::memory::SharedMemory;
use hyp_pvio::xenstore::{Found, Keeper, Quota};
use support::{Life, Memory, Mortal};
use xen_abi::io::xs_wire::{XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD};

const QUOTA: Quota = Quota {
    nodes: 20,
    bytes: 4000,
    watches: 5,
    watch_bytes: 200,
    events: 6,
    event_bytes: 400,
    transactions: 3,
    value: 2048,
    permissions: 5,
    transaction_nodes: 100,
    transaction_bytes: 10_000,
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let (there, mut rest) = rest.split_at(usize::from(count).min(rest.len()));
    // Room for all that the guest may have.
    let (region, page) = (Memory::new(QUOTA.memory(1, 600)), Memory::new(4096));
    region.fill(there);
    let lives: Vec<Life> =
        rest.chunks(3).map(|bytes| Life::new(bytes.iter().map(|byte| u32::from(*byte)).sum())).collect();
    let last = Life::new(u32::MAX);
    let mut lives = lives.iter();
    let mut life = &last;
    let begin = |life| {
        let (mut keeper, found) = Keeper::open(Mortal { memory: &region, life }, 0, QUOTA);
        keeper.attach(1, Mortal { memory: &page, life });
        let _ = keeper.manager().write("/local/domain/1", b"");
        let _ = keeper.commit(&mut |_| ());
        (keeper, found)
    };
    let (mut keeper, first) = begin(life);
    while let Some((&control, after)) = rest.split_first() {
        let (piece, after) = after.split_at(usize::from(control >> 2).min(after.len()));
        rest = after;
        match control % 4 {
            0 if piece.len() >= 4 => {
                let offset =
                    [XENSTORE_REQ_PROD, XENSTORE_REQ_CONS, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD][piece.len() % 4];
                page.poke(offset, u32::from_le_bytes([piece[0], piece[1], piece[2], piece[3]]));
            }
            0 => life = lives.next().unwrap_or(&last),
            1 => {
                let kept = keeper.commit(&mut |_| ());
                // Only who found something of its own knows that it fits.
                assert!(kept.is_ok() || first != Found::Nothing || life.is_over());
                page.poke(XENSTORE_RSP_CONS, page.peek(XENSTORE_RSP_PROD));
            }
            _ => {
                let at = page.peek(XENSTORE_REQ_PROD);
                for (index, byte) in (0..).zip(piece) {
                    page.write((at.wrapping_add(index) % 1024) as usize, &[*byte]);
                }
                page.poke(XENSTORE_REQ_PROD, at.wrapping_add(piece.len() as u32));
                let _ = keeper.serve(1, 20);
            }
        }
        if life.is_over() || control % 4 == 0 && piece.len() < 4 {
            let found;
            (keeper, found) = begin(life);
            // What a life left is never rubbish.
            assert!(first != Found::Nothing || found != Found::Rubbish);
        }
    }
});
