//! Names of nodes. A guest may name nodes from the root or from its own home; inside there are only whole, checked
//! paths.

use alloc::format;
use alloc::string::String;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX};

/// Most names in a path. A device's nodes have ten; each name is a node that is looked at, made and charged by itself, with a
/// path of its own, so that a long path of short names would be a thousand requests in one.
const DEPTH_MAX: usize = 32;

/// Where the nodes of a domain are.
pub(super) fn home(domain: DomId) -> String {
    format!("/local/domain/{domain}")
}

/// The whole path of what `domain` calls `text`.
///
/// # Errors
/// `EINVAL` for what is no path: a wrong character, an empty part, too long, too deep.
pub(super) fn resolve(text: &[u8], domain: DomId) -> Result<String, Errno> {
    let most = if text.first() == Some(&b'/') { XENSTORE_ABS_PATH_MAX } else { XENSTORE_REL_PATH_MAX };
    let text = core::str::from_utf8(text).ok().filter(|text| text.len() <= most).ok_or(Errno::EINVAL)?;
    let relative = text.strip_prefix('/');
    let parts = relative.unwrap_or(text);
    let is_path = text == "/" || parts.split('/').all(is_name) && parts.split('/').count() <= DEPTH_MAX;
    if !is_path || text.starts_with('@') {
        return Err(Errno::EINVAL);
    }
    Ok(if relative.is_some() { text.into() } else { format!("{}/{text}", home(domain)) })
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_@".contains(&byte))
}

/// The node above, and the name in it; nothing of the root.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// The path of a child.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// Whether `path` is `top` or below it.
pub(super) fn is_in(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| top == "/" || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{is_in, join, resolve, split};

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["", "//", "/a/", "a/", "/a//b", "a b", "/ä", "@introduceDomain", "/a.b"] {
            assert!(resolve(bad.as_bytes(), 1).is_err(), "{bad}");
        }
        assert!(resolve(b"/\xff", 1).is_err());
        assert_eq!(resolve(b"device/vbd", 7).unwrap(), "/local/domain/7/device/vbd");
        assert_eq!(resolve(b"/", 7).unwrap(), "/");
        assert!(resolve(&[b'a'; 2048], 1).is_ok() && resolve(&[b'a'; 2049], 1).is_err());
        let deep = |names: usize| [b"a".as_slice(), &b"/a".repeat(names - 1)].concat();
        assert!(resolve(&deep(32), 1).is_ok() && resolve(&deep(33), 1).is_err());
        let long = |length| [b"/".as_slice(), &[b'a'; 3071][..length]].concat();
        assert!(resolve(&long(3071), 1).is_ok() && resolve(&[&long(3071)[..], b"a"].concat(), 1).is_err());
    }

    #[test]
    fn paths_are_taken_apart_at_names() {
        assert_eq!((split("/"), split("/a"), split("/a/b")), (None, Some(("/", "a")), Some(("/a", "b"))));
        assert_eq!((join("/", "a").as_str(), join("/a", "b").as_str()), ("/a", "/a/b"));
        assert!(is_in("/a", "/") && is_in("/a/b", "/a") && is_in("/a", "/a") && !is_in("/ab", "/a"));
    }
}
