//! Copies of several buffers and requests that one hypercall makes: those of all frames of a round, say.

use alloc::vec::Vec;
use core::ops::Range;

use hyp_pvio::network::Piece;
use rt::grants;
use rt::virtio::Buffer;
use xen_abi::grant_table::{Copy, GNTST_OKAY};

use super::{Page, Way, push};

/// The copies.
#[derive(Default)]
pub(crate) struct Batch(Vec<Copy>);

impl Batch {
    /// Adds those of pieces of a guest to or from a buffer, in which they lie one behind the other from byte `at` on. Which
    /// of the copies they are; nothing if the buffer has no room.
    pub(crate) fn add(
        &mut self,
        domain: u16,
        pieces: impl Iterator<Item = Piece>,
        buffer: &mut Buffer,
        at: usize,
        way: Way,
    ) -> Option<Range<usize>> {
        let first = self.0.len();
        let mut at = at;
        for Piece { grant, offset, length } in pieces {
            if !push(&mut self.0, domain, (Page::Grant(grant), offset, length), buffer, at, way) {
                self.0.truncate(first);
                return None;
            }
            at += usize::from(length);
        }
        Some(first..self.0.len())
    }

    /// Makes them.
    pub(crate) fn run(&mut self) {
        if !self.0.is_empty() && grants::copy(&mut self.0).is_err() {
            // None can be relied on.
            self.0.clear();
        }
    }

    /// Whether all of these were made: the hypervisor checks each grant.
    pub(crate) fn made(&self, copies: Range<usize>) -> bool {
        self.0.get(copies).is_some_and(|copies| copies.iter().all(|copy| copy.status == GNTST_OKAY))
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
