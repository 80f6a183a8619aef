//! Watches: who is told of which change.
//!
//! What was not delivered yet must not grow with what others write. The same event twice says no more than once, so it
//! is kept once; and where too many differ, all of a watch become one event that names the watched path, which tells a
//! guest to look there again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{XENSTORE_ABS_PATH_MAX, XENSTORE_PAYLOAD_MAX};

use super::path::{home, is_in, resolve};
use super::permissions::Caller;
use super::quota::Quota;
use super::transaction::{Change, Notice};

/// A domain was introduced.
pub(super) const INTRODUCE: &str = "@introduceDomain";
/// A domain is gone.
pub(super) const RELEASE: &str = "@releaseDomain";

/// Most bytes of a token: it has to fit into a message beside any path.
const TOKEN_MAX: usize = XENSTORE_PAYLOAD_MAX - XENSTORE_ABS_PATH_MAX - 2;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What changed, as the watch named it: from the root, or from the guest's own home.
    pub path: String,
    /// What the guest gave with the watch.
    pub token: Vec<u8>,
}

pub(super) struct Watch {
    pub(super) number: u64,
    /// From the root, or special.
    pub(super) path: String,
    /// Bytes that are cut off of an event's path, because the guest named the path from its home.
    pub(super) cut: usize,
    pub(super) token: Box<[u8]>,
}

/// A guest's watches, and the events that it has not got yet.
#[derive(Default)]
pub(super) struct Watches {
    pub(super) list: Vec<Watch>,
    bytes: usize,
    pub(super) next: u64,
    /// Numbers of watches, and what changed.
    pub(super) pending: VecDeque<(u64, String)>,
    pending_bytes: usize,
    /// The list is not as it was kept.
    pub(super) list_changed: bool,
    /// The events are not as they were kept.
    pub(super) pending_changed: bool,
}

impl Watches {
    /// None, which is not what was kept.
    pub(super) fn anew() -> Self {
        Self { list_changed: true, pending_changed: true, ..Self::default() }
    }

    /// These watches and events.
    pub(super) fn resume(list: Vec<Watch>, next: u64, pending: VecDeque<(u64, String)>) -> Self {
        let bytes = list.iter().map(|watch| watch.path.len() + watch.token.len()).sum();
        let mut watches = Self { list, bytes, next, pending, ..Self::default() };
        watches.count_pending();
        watches
    }

    /// Adds a watch, whose first event comes at once.
    ///
    /// # Errors
    /// `EINVAL` for no path or too long a token, `EACCES` for a special one that is not for plain guests, `EEXIST`,
    /// `E2BIG` beyond the quota.
    pub(super) fn add(&mut self, caller: Caller, path: &[u8], token: &[u8], quota: &Quota) -> Result<(), Errno> {
        let (path, cut) = watched(caller, path)?;
        if token.len() > TOKEN_MAX {
            return Err(Errno::EINVAL);
        }
        if self.find(&path, token).is_some() {
            return Err(Errno::EEXIST);
        }
        let bytes = self.bytes + path.len() + token.len();
        if !caller.privileged && (self.list.len() >= quota.watches || bytes > quota.watch_bytes) {
            return Err(Errno::E2BIG);
        }
        let number = self.next;
        (self.bytes, self.next, self.list_changed) = (bytes, self.next + 1, true);
        self.list.push(Watch { number, path: path.clone(), cut, token: token.into() });
        self.queue(caller, &[(number, path)], quota);
        Ok(())
    }

    /// Removes a watch, and its events.
    ///
    /// # Errors
    /// `ENOENT`, or as of [`add`](Self::add) for its path.
    pub(super) fn remove(&mut self, caller: Caller, path: &[u8], token: &[u8]) -> Result<(), Errno> {
        let at = self.find(&watched(caller, path)?.0, token).ok_or(Errno::ENOENT)?;
        let watch = self.list.remove(at);
        self.bytes -= watch.path.len() + watch.token.len();
        (self.list_changed, self.pending_changed) = (true, true);
        self.pending.retain(|(number, _)| *number != watch.number);
        self.count_pending();
        Ok(())
    }

    fn find(&self, path: &str, token: &[u8]) -> Option<usize> {
        self.list.iter().position(|watch| watch.path == path && *watch.token == *token)
    }

    /// Tells of a change those watches that it is for.
    pub(super) fn tell(&mut self, caller: Caller, change: &Change, quota: &Quota) {
        if !change.permissions.iter().flatten().any(|permissions| permissions.of(caller).read) {
            return;
        }
        let concerned = |watch: &&Watch| match change.notice {
            Notice::Nobody => false,
            Notice::Exact => *change.path == watch.path,
            Notice::Above => is_in(&change.path, &watch.path),
        };
        let events = self.list.iter().filter(concerned).map(|watch| (watch.number, change.path.clone().into()));
        let events: Vec<(u64, String)> = events.collect();
        self.queue(caller, &events, quota);
    }

    /// Tells of a special event.
    pub(super) fn tell_special(&mut self, caller: Caller, path: &str, quota: &Quota) {
        let events = self.list.iter().filter(|watch| watch.path == path).map(|watch| (watch.number, path.into()));
        let events: Vec<(u64, String)> = events.collect();
        self.queue(caller, &events, quota);
    }

    fn queue(&mut self, caller: Caller, events: &[(u64, String)], quota: &Quota) {
        for event in events {
            if !self.pending.contains(event) {
                self.pending_bytes += event.1.len();
                self.pending.push_back(event.clone());
                self.pending_changed = true;
            }
        }
        if !caller.privileged && (self.pending.len() > quota.events || self.pending_bytes > quota.event_bytes) {
            let Self { list, pending, .. } = self;
            let told = list.iter().filter(|watch| pending.iter().any(|(number, _)| *number == watch.number));
            *pending = told.map(|watch| (watch.number, watch.path.clone())).collect();
            self.count_pending();
        }
    }

    fn count_pending(&mut self) {
        self.pending_bytes = self.pending.iter().map(|(_, path)| path.len()).sum();
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Option<Event> {
        let (number, path) = self.pending.pop_front()?;
        self.pending_bytes -= path.len();
        self.pending_changed = true;
        let watch = self.list.iter().find(|watch| watch.number == number)?;
        Some(Event { path: path.get(watch.cut..)?.into(), token: watch.token.to_vec() })
    }
}

/// A watched path from the root, and how many bytes of it the guest did not write.
fn watched(caller: Caller, text: &[u8]) -> Result<(String, usize), Errno> {
    match text {
        [b'@', ..] => {
            let special = [INTRODUCE, RELEASE].into_iter().find(|special| special.as_bytes() == text);
            let special = special.ok_or(Errno::EINVAL)?;
            if caller.privileged { Ok((special.into(), 0)) } else { Err(Errno::EACCES) }
        }
        [b'/', ..] => Ok((resolve(text, caller.domain)?, 0)),
        _ => Ok((resolve(text, caller.domain)?, home(caller.domain).len() + 1)),
    }
}
