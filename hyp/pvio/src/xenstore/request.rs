//! What guests ask, taken out of their bytes. Whatever shape these have, it ends in one of the requests here or in an
//! error; nothing else of the server sees bytes of a guest but values and tokens.

use core::str::FromStr;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{
    XS_CONTROL, XS_DIRECTORY, XS_DIRECTORY_PART, XS_GET_DOMAIN_PATH, XS_GET_PERMS, XS_INTRODUCE,
    XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RELEASE, XS_RESET_WATCHES, XS_RESUME, XS_RM, XS_SET_PERMS,
    XS_SET_TARGET, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WRITE,
};

/// A request; paths are as the guest wrote them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// About one node.
    Node(&'a [u8], NodeRequest<'a>),
    Watch {
        path: &'a [u8],
        token: &'a [u8],
    },
    Unwatch {
        path: &'a [u8],
        token: &'a [u8],
    },
    ResetWatches,
    TransactionStart,
    TransactionEnd {
        commit: bool,
    },
    IsIntroduced(DomId),
    DomainPath(DomId),
}

/// What to do with a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NodeRequest<'a> {
    Directory,
    /// The same from this byte of the list on.
    DirectoryPart(usize),
    Read,
    Write(&'a [u8]),
    Make,
    Remove,
    GetPermissions,
    /// The entries, each with a NUL behind it but the last.
    SetPermissions(&'a [u8]),
}

impl<'a> Request<'a> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// `EINVAL` for a payload that is not as the protocol has it, `EACCES` for what only tools may ask, `ENOSYS` for
    /// what nobody knows.
    pub(super) fn parse(kind: u32, payload: &'a [u8]) -> Result<Self, Errno> {
        let node = |request| Ok(Self::Node(only(payload)?, request));
        match kind {
            XS_DIRECTORY => node(NodeRequest::Directory),
            XS_READ => node(NodeRequest::Read),
            XS_MKDIR => node(NodeRequest::Make),
            XS_RM => node(NodeRequest::Remove),
            XS_GET_PERMS => node(NodeRequest::GetPermissions),
            XS_DIRECTORY_PART => {
                let (path, rest) = first(payload)?;
                Ok(Self::Node(path, NodeRequest::DirectoryPart(number(only(rest)?)?)))
            }
            XS_WRITE => first(payload).map(|(path, value)| Self::Node(path, NodeRequest::Write(value))),
            XS_SET_PERMS => {
                let (path, rest) = first(payload)?;
                let entries = rest.strip_suffix(&[0]).ok_or(Errno::EINVAL)?;
                Ok(Self::Node(path, NodeRequest::SetPermissions(entries)))
            }
            XS_WATCH => watch(payload).map(|(path, token)| Self::Watch { path, token }),
            XS_UNWATCH => watch(payload).map(|(path, token)| Self::Unwatch { path, token }),
            XS_RESET_WATCHES => Ok(Self::ResetWatches),
            XS_TRANSACTION_START => Ok(Self::TransactionStart),
            XS_TRANSACTION_END => match only(payload)? {
                b"T" => Ok(Self::TransactionEnd { commit: true }),
                b"F" => Ok(Self::TransactionEnd { commit: false }),
                _ => Err(Errno::EINVAL),
            },
            XS_IS_DOMAIN_INTRODUCED => number(only(payload)?).map(Self::IsIntroduced),
            XS_GET_DOMAIN_PATH => number(only(payload)?).map(Self::DomainPath),
            XS_CONTROL | XS_INTRODUCE | XS_RELEASE | XS_RESUME | XS_SET_TARGET => Err(Errno::EACCES),
            _ => Err(Errno::ENOSYS),
        }
    }
}

/// The string before the first NUL, and what is behind it.
fn first(payload: &[u8]) -> Result<(&[u8], &[u8]), Errno> {
    let end = payload.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
    Ok((&payload[..end], &payload[end + 1..]))
}

/// A payload of one string.
fn only(payload: &[u8]) -> Result<&[u8], Errno> {
    let (text, rest) = first(payload)?;
    if rest.is_empty() { Ok(text) } else { Err(Errno::EINVAL) }
}

/// A path and a token; a third string is reserved.
fn watch(payload: &[u8]) -> Result<(&[u8], &[u8]), Errno> {
    let (path, rest) = first(payload)?;
    let (token, rest) = first(rest)?;
    if rest.contains(&0) && only(rest).is_err() {
        return Err(Errno::EINVAL);
    }
    Ok((path, token))
}

/// A number in decimal digits and nothing else.
///
/// # Errors
/// `EINVAL`.
pub(super) fn number<T: FromStr>(text: &[u8]) -> Result<T, Errno> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(text).ok().filter(|_| digits).ok_or(Errno::EINVAL)?;
    text.parse().map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_a_wrong_shape_are_refused() {
        for (kind, payload) in [
            (XS_READ, &b""[..]),
            (XS_READ, b"a"),
            (XS_READ, b"a\0b\0"),
            (XS_WRITE, b"a"),
            (XS_SET_PERMS, b"a\0"),
            (XS_SET_PERMS, b"a\0n0"),
            (XS_WATCH, b"a\0"),
            (XS_WATCH, b"a\0b"),
            (XS_WATCH, b"a\0b\0c\0d\0"),
            (XS_TRANSACTION_END, b""),
            (XS_TRANSACTION_END, b"TT\0"),
            (XS_DIRECTORY_PART, b"a\0"),
            (XS_DIRECTORY_PART, b"a\0-1\0"),
            (XS_GET_DOMAIN_PATH, b"+1\0"),
            (XS_GET_DOMAIN_PATH, b"65536\0"),
            (XS_IS_DOMAIN_INTRODUCED, b"\0"),
        ] {
            assert_eq!(Request::parse(kind, payload), Err(Errno::EINVAL), "{kind} {payload:?}");
        }
        assert_eq!(Request::parse(XS_INTRODUCE, b"1\0"), Err(Errno::EACCES));
        assert_eq!(Request::parse(20, b"1\0"), Err(Errno::ENOSYS));
        assert_eq!(Request::parse(15, b"1\0"), Err(Errno::ENOSYS));
    }

    #[test]
    fn values_may_hold_anything() {
        let write = Request::parse(XS_WRITE, b"a\0\0b\0").unwrap();
        assert_eq!(write, Request::Node(b"a", NodeRequest::Write(b"\0b\0")));
        let watch = Request::Watch { path: b"a", token: b"t" };
        assert_eq!(Request::parse(XS_WATCH, b"a\0t\0"), Ok(watch));
        assert!(Request::parse(XS_WATCH, b"a\0t\0\0").is_ok());
    }
}
