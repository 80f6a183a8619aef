//! What a guest may have in the tree at a time. Numbers as Xen's server has them, and bounds on bytes beside them, so
//! that the memory which a guest can take is known: the sum of the bytes here, twice for the watches.

use xen_abi::io::xs_wire::{Sockmsg, XENSTORE_PAYLOAD_MAX};

/// The most that each guest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Nodes that it owns.
    pub nodes: usize,
    /// Bytes of these nodes: paths, values, permissions, and [`Quota::NODE`] for each.
    pub bytes: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Entries of one node's permissions, the owner's among them.
    pub permissions: usize,
    /// Watches.
    pub watches: usize,
    /// Bytes of their paths and tokens.
    pub watch_bytes: usize,
    /// Events not delivered; beyond them, all those of a watch become one that names the watched path.
    pub events: usize,
    /// Bytes of these events.
    pub event_bytes: usize,
    /// Transactions.
    pub transactions: usize,
    /// Nodes that one transaction looks at.
    pub transaction_nodes: usize,
    /// Bytes of these nodes.
    pub transaction_bytes: usize,
}

impl Quota {
    /// Bytes that a node costs beside its text.
    pub const NODE: usize = 128;

    /// The largest one whose tree a [`Keeper`](super::Keeper) can keep in so many bytes, with room to spare: what is kept is
    /// written whole when its half is full, and a guest that fills its quota is not to make that happen all the time. Where
    /// there is not even memory for the smallest one, it is that.
    pub fn fitting(memory: usize, guests: usize, manager: usize) -> Self {
        const PARTS: usize = 16;
        let all = Self::default();
        let part = |parts: usize| Self {
            bytes: all.bytes * parts / PARTS,
            watches: all.watches * parts / PARTS,
            watch_bytes: all.watch_bytes * parts / PARTS,
            events: all.events * parts / PARTS,
            event_bytes: all.event_bytes * parts / PARTS,
            ..all
        };
        let fits = |quota: &Self| 2 * quota.memory(guests, manager) <= memory;
        (1..=PARTS).rev().map(part).find(fits).unwrap_or_else(|| part(1))
    }

    /// Bytes of memory in which a [`Keeper`](super::Keeper) can keep a tree that so many guests fill, and `manager`
    /// bytes of nodes that are the manager's own, counted as a guest's.
    pub const fn memory(&self, guests: usize, manager: usize) -> usize {
        const NUMBERS: usize = 24;
        let lists = (self.watches + self.events + self.transactions) * NUMBERS;
        // A message each way may be half done.
        let messages = 2 * (XENSTORE_PAYLOAD_MAX + size_of::<Sockmsg>()) + 2 * NUMBERS;
        let guest = self.bytes + self.watch_bytes + self.event_bytes + lists + messages;
        2 * (guests * guest + manager + NUMBERS).next_multiple_of(4)
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            nodes: 1000,
            bytes: 256 << 10,
            value: 2048,
            permissions: 5,
            watches: 128,
            watch_bytes: 32 << 10,
            events: 256,
            event_bytes: 64 << 10,
            transactions: 10,
            transaction_nodes: 1024,
            transaction_bytes: 128 << 10,
        }
    }
}
