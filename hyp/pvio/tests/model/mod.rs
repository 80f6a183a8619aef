//! What xenstore promises, as plainly as it can be written: all nodes in one map, copied for every transaction.
#![allow(dead_code, missing_docs, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::collections::BTreeMap;

use hyp_pvio::xenstore::{Message, Server};
use xen_abi::io::xs_wire::{
    Sockmsg, XS_DIRECTORY, XS_ERROR, XS_GET_PERMS, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS, XS_WRITE,
};

pub(crate) type Answer = Result<Vec<u8>, String>;

/// Asks the server as a guest does.
pub(crate) fn ask(server: &mut Server, domain: u16, kind: u32, tx_id: u32, payload: &[u8]) -> Answer {
    let header = Sockmsg { kind, req_id: 77, tx_id, len: payload.len() as u32 };
    let reply = server.handle(domain, &Message { header, payload: payload.into() }).unwrap();
    assert_eq!((reply.header.req_id, reply.header.tx_id), (77, tx_id));
    assert!(reply.payload.len() <= 4096 && reply.payload.len() == reply.header.len as usize);
    if reply.header.kind == XS_ERROR {
        return Err(String::from_utf8(reply.payload).unwrap().trim_end_matches('\0').to_owned());
    }
    assert_eq!(reply.header.kind, kind);
    Ok(reply.payload)
}

/// A value, and entries like `n0`.
pub(crate) type Node = (Vec<u8>, Vec<(char, u16)>);
pub(crate) type Nodes = BTreeMap<String, Node>;

/// An operation on a node; the path is from the root.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Read(String),
    Directory(String),
    Permissions(String),
    Write(String, Vec<u8>),
    Make(String),
    Remove(String),
    Set(String, Vec<(char, u16)>),
}

impl Operation {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Read(path) | Self::Directory(path) | Self::Permissions(path) | Self::Make(path) => path,
            Self::Remove(path) | Self::Write(path, _) | Self::Set(path, _) => path,
        }
    }

    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Directory(_) | Self::Permissions(_))
    }

    /// As a message.
    pub(crate) fn message(&self) -> (u32, Vec<u8>) {
        let one = |kind, path: &String| (kind, format!("{path}\0").into_bytes());
        match self {
            Self::Read(path) => one(XS_READ, path),
            Self::Directory(path) => one(XS_DIRECTORY, path),
            Self::Permissions(path) => one(XS_GET_PERMS, path),
            Self::Make(path) => one(XS_MKDIR, path),
            Self::Remove(path) => one(XS_RM, path),
            Self::Write(path, value) => (XS_WRITE, [path.as_bytes(), &[0], value].concat()),
            Self::Set(path, entries) => (XS_SET_PERMS, [path.as_bytes(), &[0], &text(entries)].concat()),
        }
    }
}

fn text(entries: &[(char, u16)]) -> Vec<u8> {
    entries.iter().flat_map(|(letter, domain)| format!("{letter}{domain}\0").into_bytes()).collect()
}

/// Whether the guest may read (or write) a node of these permissions.
pub(crate) fn may(entries: &[(char, u16)], guest: u16, write: bool) -> bool {
    let (others, owner) = entries[0];
    let listed = entries[1..].iter().find(|(_, domain)| *domain == guest).map(|(letter, _)| *letter);
    guest == 0 || guest == owner || matches!((listed.unwrap_or(others), write), ('b', _) | ('r', false) | ('w', true))
}

fn parent(path: &str) -> &str {
    match path.rfind('/').unwrap() {
        0 => "/",
        end => &path[..end],
    }
}

pub(crate) fn below(path: &str, top: &str) -> bool {
    path == top || path.starts_with(&format!("{}/", top.trim_end_matches('/')))
}

/// Whether the guest may do it, and if not, what it is told.
fn check(nodes: &Nodes, path: &str, guest: u16, read: bool, write: bool) -> Result<(), String> {
    let mut nearest = path;
    while !nodes.contains_key(nearest) {
        nearest = parent(nearest);
    }
    let entries = &nodes[nearest].1;
    if (read && !may(entries, guest, false)) || (write && !may(entries, guest, true)) {
        return Err("EACCES".into());
    }
    if nearest == path { Ok(()) } else { Err("ENOENT".into()) }
}

/// Does it.
pub(crate) fn run(nodes: &mut Nodes, guest: u16, operation: &Operation) -> Answer {
    let ok = Ok(b"OK\0".to_vec());
    match operation {
        Operation::Read(path) => check(nodes, path, guest, true, false).map(|()| nodes[path].0.clone()),
        Operation::Permissions(path) => check(nodes, path, guest, true, false).map(|()| text(&nodes[path].1)),
        Operation::Directory(path) => check(nodes, path, guest, true, false).map(|()| {
            let children = nodes.keys().filter(|child| *child != "/" && child != &path && parent(child) == path);
            children.flat_map(|child| format!("{}\0", child.rsplit('/').next().unwrap()).into_bytes()).collect()
        }),
        Operation::Write(path, value) => {
            make(nodes, guest, path)?;
            nodes.get_mut(path).unwrap().0.clone_from(value);
            ok
        }
        Operation::Make(path) => make(nodes, guest, path).and(ok),
        Operation::Remove(path) if path == "/" => Err("EINVAL".into()),
        Operation::Remove(path) => match check(nodes, path, guest, false, true) {
            Err(error) if error == "ENOENT" && nodes.contains_key(parent(path)) => ok,
            other => {
                other?;
                nodes.retain(|other, _| !below(other, path));
                ok
            }
        },
        Operation::Set(path, entries) => {
            check(nodes, path, guest, true, true)?;
            let owner = nodes[path].1[0].1;
            if guest != 0 && guest != owner {
                return Err("EACCES".into());
            }
            if guest != 0 && entries[0].1 != owner {
                return Err("EPERM".into());
            }
            nodes.get_mut(path).unwrap().1.clone_from(entries);
            ok
        }
    }
}

fn make(nodes: &mut Nodes, guest: u16, path: &str) -> Result<(), String> {
    match check(nodes, path, guest, false, true) {
        Err(error) if error == "ENOENT" => {}
        other => return other,
    }
    let mut missing = vec![path];
    while !nodes.contains_key(parent(missing[missing.len() - 1])) {
        missing.push(parent(missing[missing.len() - 1]));
    }
    let mut entries = nodes[parent(missing[missing.len() - 1])].1.clone();
    if guest != 0 {
        entries[0].1 = guest;
    }
    nodes.extend(missing.into_iter().map(|path| (path.to_owned(), (Vec::new(), entries.clone()))));
    Ok(())
}

/// Everything that the server has, as its manager sees it.
pub(crate) fn dump(server: &mut Server) -> Nodes {
    let (mut nodes, mut rest) = (Nodes::new(), vec!["/".to_owned()]);
    while let Some(path) = rest.pop() {
        let mut get = |kind| ask(server, 0, kind, 0, format!("{path}\0").as_bytes()).unwrap();
        let (value, entries, children) = (get(XS_READ), get(XS_GET_PERMS), get(XS_DIRECTORY));
        let strings = |bytes: Vec<u8>| -> Vec<String> {
            let text = String::from_utf8(bytes).unwrap();
            text.split_terminator('\0').map(str::to_owned).collect()
        };
        let prefix = path.trim_end_matches('/');
        rest.extend(strings(children).into_iter().map(|name| format!("{prefix}/{name}")));
        let entry = |text: &String| (text.chars().next().unwrap(), text[1..].parse().unwrap());
        let entries = strings(entries).iter().map(entry).collect();
        nodes.insert(path, (value, entries));
    }
    nodes
}
