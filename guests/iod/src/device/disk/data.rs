//! The data of a disk's requests, between the guest's pages and a buffer of ours.
//!
//! A front end that uses the same pages again and again has them mapped for good: then a page costs a copy of our own. Pages
//! that are not mapped are copied by the hypervisor, all of a request by one call.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hyp_pvio::block::Segment;
use rt::virtio::Buffer;

use crate::grants::{Copies, Page, Way};
use crate::shared::Granted;

/// Most pages that are kept mapped for a queue: enough for three requests of the largest size under way.
const MOST: usize = 96;

/// Pages of guests that may still be kept mapped: rings need some, and the hypervisor maps 256 for one guest.
pub(crate) struct Mappings(usize);

impl Default for Mappings {
    fn default() -> Self {
        Self(192)
    }
}

impl Mappings {
    /// Pages for a queue, none when all are given.
    pub(super) fn take(&mut self) -> usize {
        let most = self.0.min(MOST);
        self.0 -= most;
        most
    }

    /// A queue is gone that had so many.
    pub(super) const fn give_back(&mut self, most: usize) {
        self.0 += most;
    }
}

/// How a queue's data comes and goes.
pub(super) struct Data {
    domain: u16,
    /// Pages that stay mapped, by their grants, until the queue goes.
    kept: BTreeMap<u32, Granted>,
    most: usize,
}

impl Data {
    /// A guest's, of which so many pages may be kept mapped.
    pub(super) const fn new(domain: u16, most: usize) -> Self {
        Self { domain, kept: BTreeMap::new(), most }
    }

    /// How many pages may be kept mapped.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// Copies a request's pages to or from a buffer, in which they lie one behind the other. Returns whether all were.
    pub(super) fn copy(&mut self, segments: &[Segment], buffer: &mut Buffer, way: Way) -> bool {
        let mut rest = Vec::new();
        let mut at = 0;
        for Segment { grant, offset, length } in segments {
            let bytes = usize::from(*length);
            match self.kept.get(grant) {
                Some(page) => page.copy(usize::from(*offset), buffer, at, bytes, way),
                None => match self.map(*grant) {
                    Some(page) => page.copy(usize::from(*offset), buffer, at, bytes, way),
                    None => rest.push((*grant, *offset, *length, at)),
                },
            }
            at += bytes;
        }
        if rest.is_empty() {
            return at <= buffer.size();
        }
        let mut copies = Copies::new(self.domain, buffer, way);
        rest.into_iter().all(|(grant, offset, length, at)| copies.add(Page::Grant(grant), offset, length, at))
            && copies.perform()
    }

    /// Maps the page of a grant for good, if there is room and the guest allows it.
    fn map(&mut self, grant: u32) -> Option<&Granted> {
        if self.kept.len() >= self.most {
            return None;
        }
        let page = Granted::map(self.domain, &[grant]).ok()?;
        Some(self.kept.entry(grant).or_insert(page))
    }
}
