//! A guest that writes what it likes into its page, between any two looks of xenstore's server at it.
//!
//! `cargo +nightly fuzz run --fuzz-dir . xenstore` in `tests/fuzz`. The input is cut into pieces by its own bytes; each
//! piece is appended to the guest's requests, or, now and then, written over the page's indices.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::memory::SharedMemory;
use hyp_pvio::xenstore::{Quota, Server, reset, server_page};
use support::Memory;
use xen_abi::io::xs_wire::{XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let quota = Quota { nodes: 20, watches: 5, events: 6, transactions: 3, ..Quota::default() };
    let mut server = Server::new(0, quota);
    server.introduce(1);
    let memory = Memory::new(4096);
    let mut page = server_page(&memory);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        let (piece, after) = after.split_at(usize::from(control >> 1).min(after.len()));
        rest = after;
        if control & 1 == 1 && piece.len() >= 4 {
            let offset = [XENSTORE_REQ_PROD, XENSTORE_REQ_CONS, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD][piece.len() % 4];
            memory.poke(offset, u32::from_le_bytes([piece[0], piece[1], piece[2], piece[3]]));
        } else {
            let at = memory.peek(XENSTORE_REQ_PROD);
            for (index, byte) in (0..).zip(piece) {
                memory.write((at.wrapping_add(index) % 1024) as usize, &[*byte]);
            }
            memory.poke(XENSTORE_REQ_PROD, at.wrapping_add(piece.len() as u32));
        }
        if server.serve(1, &mut page, 20).is_err() {
            reset(&memory);
            server.introduce(1);
            page = server_page(&memory);
        }
        if control & 2 == 0 {
            memory.poke(XENSTORE_RSP_CONS, memory.peek(XENSTORE_RSP_PROD));
        }
    }
});
