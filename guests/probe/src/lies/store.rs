//! Lies of xenstore's server: each is told in an empty page, to its first request.

use rt::window::Window;
use xen_abi::io::xs_wire::{
    Sockmsg, XENSTORE_REQ_CONS, XENSTORE_RSP, XENSTORE_RSP_PROD, XS_ERROR, XS_WATCH_EVENT, XS_WRITE,
};
use zerocopy::IntoBytes;

/// Answers with these bytes behind that header.
fn answer(page: Window, header: Sockmsg, payload: &[u8]) {
    page.write(XENSTORE_RSP, header.as_bytes());
    page.write(XENSTORE_RSP + size_of::<Sockmsg>(), payload);
    page.store(XENSTORE_RSP_PROD, (size_of::<Sockmsg>() + payload.len()) as u32);
}

pub(super) fn truth(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 1, ..asked }, b"1");
}

pub(super) fn number(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 1, req_id: 77, ..asked }, b"1");
}

pub(super) fn kind(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 1, kind: XS_WRITE, ..asked }, b"1");
}

pub(super) fn length(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 4097, ..asked }, b"1");
}

pub(super) fn error(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 9, kind: XS_ERROR, ..asked }, b"ENOTHING\0");
}

pub(super) fn event(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 4, kind: XS_WATCH_EVENT, ..asked }, b"path");
}

pub(super) fn answers_ahead(page: Window, _: Sockmsg) {
    page.store(XENSTORE_RSP_PROD, 1025);
}

/// Who has nothing more to send does not look at this index: that is no answer, and nothing else.
pub(super) fn requests_ahead(page: Window, asked: Sockmsg) {
    page.store(XENSTORE_REQ_CONS, u32::MAX / 2);
    answer(page, Sockmsg { len: 4, req_id: 0, kind: XS_WATCH_EVENT, ..asked }, b"a\0b\0");
}

pub(super) fn half(page: Window, asked: Sockmsg) {
    answer(page, Sockmsg { len: 100, ..asked }, b"1");
}
