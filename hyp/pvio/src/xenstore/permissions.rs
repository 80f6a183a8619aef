//! Who may do what with a node: the owner everything, some domains what is listed, all others the rest.
//!
//! On the wire each entry is a letter and a domain's number; the first names the owner and what all others may.

use alloc::vec::Vec;
use core::fmt::Write;

use xen_abi::domid::DomId;
use xen_abi::errno::Errno;

use super::request::number;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its number.
    pub(super) domain: DomId,
    /// It may do everything, and its quotas do not count.
    pub(super) privileged: bool,
}

/// What may be done with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Access {
    /// Nothing.
    pub const NONE: Self = Self { read: false, write: false };
    /// Its value, its permissions and its children's names can be read.
    pub const READ: Self = Self { read: true, write: false };
    /// It can be changed and removed, and nodes can be made below it.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Both.
    pub const BOTH: Self = Self { read: true, write: true };

    /// As a number.
    pub(super) const fn bits(self) -> u8 {
        self.read as u8 | (self.write as u8) << 1
    }

    /// From a number.
    pub(super) const fn from_bits(bits: u8) -> Self {
        Self { read: bits & 1 != 0, write: bits & 2 != 0 }
    }

    /// Whether this is enough for `need`.
    pub(super) const fn covers(self, need: Self) -> bool {
        (self.read || !need.read) && (self.write || !need.write)
    }

    const fn letter(self) -> char {
        match (self.read, self.write) {
            (false, false) => 'n',
            (true, false) => 'r',
            (false, true) => 'w',
            (true, true) => 'b',
        }
    }

    const fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'n' => Self::NONE,
            b'r' => Self::READ,
            b'w' => Self::WRITE,
            b'b' => Self::BOTH,
            _ => return None,
        })
    }
}

/// A node's permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    /// Whose node it is, and who pays for it.
    pub(super) owner: DomId,
    /// What domains may that are not listed.
    pub(super) others: Access,
    /// What these may; the first entry of a domain counts.
    pub(super) listed: Vec<(DomId, Access)>,
}

impl Permissions {
    /// A node that only its owner sees.
    pub(super) const fn private(owner: DomId) -> Self {
        Self { owner, others: Access::NONE, listed: Vec::new() }
    }

    /// What `caller` may.
    pub(super) fn of(&self, caller: Caller) -> Access {
        if caller.privileged || caller.domain == self.owner {
            return Access::BOTH;
        }
        let listed = self.listed.iter().find(|(domain, _)| *domain == caller.domain);
        listed.map_or(self.others, |(_, access)| *access)
    }

    /// Reads entries like `b3`, of which there are at most `most`.
    ///
    /// # Errors
    /// `EINVAL` for what is no such entry or none at all, `ENOSPC` for too many.
    pub(super) fn parse<'a>(mut entries: impl Iterator<Item = &'a [u8]>, most: usize) -> Result<Self, Errno> {
        let (owner, others) = entries.next().and_then(entry).ok_or(Errno::EINVAL)?;
        let mut listed = Vec::new();
        for text in entries {
            if listed.len() + 2 > most {
                return Err(Errno::ENOSPC);
            }
            listed.push(entry(text).ok_or(Errno::EINVAL)?);
        }
        Ok(Self { owner, others, listed })
    }

    /// Writes the entries, each with a NUL behind it.
    pub(super) fn write(&self, out: &mut alloc::string::String) {
        for (domain, access) in core::iter::once(&(self.owner, self.others)).chain(&self.listed) {
            // Writing to a string does not fail.
            let _ = write!(out, "{}{domain}\0", access.letter());
        }
    }
}

fn entry(text: &[u8]) -> Option<(DomId, Access)> {
    let (letter, domain) = text.split_first()?;
    Some((number(domain).ok()?, Access::from_letter(*letter)?))
}
