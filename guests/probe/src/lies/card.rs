//! Lies of a network card's back end: each is told in new rings, when the first frame is sent.

use rt::window::Window;
use xen_abi::io::netif::{NETIF_RSP_OKAY, NETRXF_EXTRA_INFO, NETRXF_MORE_DATA, RxResponse, TxResponse};
use xen_abi::io::ring::{RSP_PROD, SLOTS};
use zerocopy::IntoBytes;

use crate::devices::card::LENGTH;

/// Slots' bytes on both rings.
const SENT: usize = 12;
const RECEIVED: usize = 8;

fn sent(ring: Window, id: u16, produced: u32) {
    ring.write(SLOTS, TxResponse { id, status: NETIF_RSP_OKAY }.as_bytes());
    ring.write(SLOTS + SENT, TxResponse { id, status: NETIF_RSP_OKAY }.as_bytes());
    ring.store(RSP_PROD, produced);
}

fn received(sends: Window, receives: Window, answers: &[RxResponse]) {
    for (at, answer) in answers.iter().enumerate() {
        receives.write(SLOTS + at * RECEIVED, answer.as_bytes());
    }
    receives.store(RSP_PROD, answers.len() as u32);
    sent(sends, 0, 1);
}

const WHOLE: RxResponse = RxResponse { id: 0, offset: 0, flags: 0, status: LENGTH as i16 };

pub(super) fn nothing(sends: Window, _: Window) {
    sent(sends, 0, 1);
}

pub(super) fn sent_number(sends: Window, _: Window) {
    sent(sends, 999, 1);
}

pub(super) fn sent_twice(sends: Window, _: Window) {
    sent(sends, 0, 2);
}

pub(super) fn received_number(sends: Window, receives: Window) {
    received(sends, receives, &[RxResponse { id: 7, ..WHOLE }]);
}

pub(super) fn received_past_page(sends: Window, receives: Window) {
    received(sends, receives, &[RxResponse { offset: 4000, ..WHOLE }]);
}

pub(super) fn received_without_end(sends: Window, receives: Window) {
    received(sends, receives, &[RxResponse { flags: NETRXF_MORE_DATA, ..WHOLE }]);
}

pub(super) fn received_extra(sends: Window, receives: Window) {
    received(sends, receives, &[RxResponse { flags: NETRXF_EXTRA_INFO, ..WHOLE }, RxResponse { id: 1, ..WHOLE }]);
}

pub(super) fn received_ahead(sends: Window, receives: Window) {
    receives.store(RSP_PROD, 9);
    sent(sends, 0, 1);
}
