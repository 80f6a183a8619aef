//! What the server answers.

use alloc::format;
use alloc::vec::Vec;

use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{Sockmsg, XENSTORE_PAYLOAD_MAX, XS_ERROR, XS_WATCH_EVENT, XSD_ERRORS};

use super::tree::Node;
use super::watch::Event;
use super::wire::Message;

/// The payload of a request that went well and has nothing to say.
pub(super) const OK: &[u8] = b"OK\0";

/// The reply to a request.
pub(super) fn message(request: &Sockmsg, answer: Result<Vec<u8>, Errno>) -> Message {
    let (kind, payload) = match answer {
        Ok(payload) if payload.len() > XENSTORE_PAYLOAD_MAX => (XS_ERROR, error(Errno::E2BIG)),
        Ok(payload) => (request.kind, payload),
        Err(errno) => (XS_ERROR, error(errno)),
    };
    Message { header: Sockmsg { kind, len: payload.len() as u32, ..*request }, payload }
}

/// An error by its name; one that the protocol does not name is a plain `EIO`.
fn error(errno: Errno) -> Vec<u8> {
    let errno = if XSD_ERRORS.contains(&errno) { errno } else { Errno::EIO };
    format!("{errno:?}\0").into_bytes()
}

/// An event.
pub(super) fn event(event: &Event) -> Message {
    let payload = [event.path.as_bytes(), &[0], &event.token, &[0]].concat();
    Message { header: Sockmsg { kind: XS_WATCH_EVENT, req_id: 0, tx_id: 0, len: payload.len() as u32 }, payload }
}

/// Names of children; `E2BIG` comes of it if they do not fit.
pub(super) fn directory(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    for name in &node.children {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
    }
    out
}

/// The node's generation and as many whole names as fit, from this byte of all names on; behind the last is an empty one.
///
/// # Errors
/// `EINVAL` if no name begins there.
pub(super) fn directory_part(node: &Node, offset: usize) -> Result<Vec<u8>, Errno> {
    let mut out = format!("{}\0", node.generation).into_bytes();
    let (mut at, mut begun) = (0, false);
    for name in &node.children {
        begun |= at == offset;
        if begun && out.len() + name.len() + 2 > XENSTORE_PAYLOAD_MAX {
            return Ok(out);
        }
        if begun {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
        at += name.len() + 1;
    }
    if !begun && offset != at {
        return Err(Errno::EINVAL);
    }
    out.push(0);
    Ok(out)
}

/// The answer to a question.
pub(super) fn yes_or_no(yes: bool) -> Vec<u8> {
    if yes { b"T\0".into() } else { b"F\0".into() }
}
