//! Grants that stay mapped between requests (`feature-persistent`).
//!
//! Mapping and unmapping a page costs more than copying it, so a front end that uses the same pages again and again says
//! so, and the back end keeps them mapped. How many is the back end's choice; the one that was used longest ago and is
//! not in use goes first.

use alloc::collections::BTreeMap;

/// A page that is mapped.
struct Kept<H> {
    handle: H,
    uses: u32,
    last: u64,
}

/// The mappings of one front end, by its grants; `H` is what unmaps one.
pub struct Persistent<H> {
    kept: BTreeMap<u32, Kept<H>>,
    most: usize,
    clock: u64,
}

impl<H: Copy> Persistent<H> {
    /// None yet, and `most` at a time.
    pub const fn new(most: usize) -> Self {
        Self { kept: BTreeMap::new(), most, clock: 0 }
    }

    /// Uses the mapping of this grant, if there is one, until [`give_back`](Self::give_back).
    pub fn take(&mut self, grant: u32) -> Option<H> {
        self.clock += 1;
        let kept = self.kept.get_mut(&grant)?;
        kept.uses += 1;
        kept.last = self.clock;
        Some(kept.handle)
    }

    /// Keeps a mapping that was just made, and uses it. What is to be unmapped for it is in the answer.
    ///
    /// # Errors
    /// It cannot be kept, because all others are in use or the grant is mapped already: it is for this once.
    pub fn keep(&mut self, grant: u32, handle: H) -> Result<Option<H>, H> {
        if self.kept.contains_key(&grant) || self.most == 0 {
            return Err(handle);
        }
        let mut unmap = None;
        if self.kept.len() >= self.most {
            let idle = self.kept.iter().filter(|(_, kept)| kept.uses == 0);
            let oldest = idle.min_by_key(|(_, kept)| kept.last).map(|(grant, _)| *grant).ok_or(handle)?;
            unmap = self.kept.remove(&oldest).map(|kept| kept.handle);
        }
        self.clock += 1;
        self.kept.insert(grant, Kept { handle, uses: 1, last: self.clock });
        Ok(unmap)
    }

    /// A use is over. Nothing happens for a grant that is not in use.
    pub fn give_back(&mut self, grant: u32) {
        if let Some(kept) = self.kept.get_mut(&grant) {
            kept.uses = kept.uses.saturating_sub(1);
        }
    }

    /// All that is to be unmapped when the front end is disconnected; call it when no operation goes on.
    pub fn drain(&mut self) -> impl Iterator<Item = H> {
        core::mem::take(&mut self.kept).into_values().map(|kept| kept.handle)
    }
}
