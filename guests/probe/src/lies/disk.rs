//! Lies of a disk's back end: each is told in a new ring, to its first request.

use rt::window::Window;
use xen_abi::io::blkif::{BLKIF_OP_WRITE, Request, Response};
use xen_abi::io::ring::{RSP_PROD, SLOTS};
use zerocopy::{FromZeros, IntoBytes};

/// The answer that would be true.
fn true_answer(ring: Window) -> Response {
    let mut request = Request::new_zeroed();
    ring.read(SLOTS, request.as_mut_bytes());
    Response { id: request.id, operation: request.operation, ..Response::default() }
}

fn answer(ring: Window, response: Response, produced: u32) {
    ring.write(SLOTS, response.as_bytes());
    ring.store(RSP_PROD, produced);
}

pub(super) fn truth(ring: Window) {
    answer(ring, true_answer(ring), 1);
}

pub(super) fn number(ring: Window) {
    answer(ring, Response { id: 99, ..true_answer(ring) }, 1);
}

pub(super) fn operation(ring: Window) {
    answer(ring, Response { operation: BLKIF_OP_WRITE, ..true_answer(ring) }, 1);
}

pub(super) fn twice(ring: Window) {
    answer(ring, true_answer(ring), 2);
}

pub(super) fn ahead(ring: Window) {
    answer(ring, true_answer(ring), 0x8000_0000);
}

pub(super) fn back(ring: Window) {
    answer(ring, true_answer(ring), u32::MAX);
}

pub(super) fn status(ring: Window) {
    answer(ring, Response { status: 77, ..true_answer(ring) }, 1);
}
