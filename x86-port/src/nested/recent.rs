//! Which pages of its guest-physical memory a vCPU's hypercalls touched last, and where they were found.
//!
//! A hypercall's argument takes a walk of the guest's own tables, and each step of that asks where another guest-physical
//! page is. It is always the same few pages. So they are kept, as a processor keeps translations, and forgotten whenever
//! processors are told to forget theirs ([`crate::tlb`]). Of the guest's own tables nothing is kept: it changes them without
//! a word.

use core::cell::Cell;

/// How many pages are kept; a power of two.
const SLOTS: usize = 8;
/// No frame: page numbers have fewer bits.
const NONE: [u64; 2] = [u64::MAX, 0];

/// What one vCPU's CPU knows.
pub struct Recent {
    /// The generation of the domain's translations of which this is.
    generation: Cell<u64>,
    /// Guest frame, and what was noted of it.
    pages: [Cell<[u64; 2]>; SLOTS],
}

impl Recent {
    /// Nothing.
    pub const fn new() -> Self {
        Self { generation: Cell::new(0), pages: [const { Cell::new(NONE) }; SLOTS] }
    }

    /// Forgets what is of another generation than this.
    #[inline(always)]
    pub fn keep_up(&self, generation: u64) {
        if self.generation.get() != generation {
            self.forget(generation);
        }
    }

    #[cold]
    #[inline(never)]
    fn forget(&self, generation: u64) {
        self.generation.set(generation);
        self.pages.iter().for_each(|page| page.set(NONE));
    }

    /// What was noted of a guest frame.
    #[inline(always)]
    pub fn find(&self, frame: u64) -> Option<u64> {
        let [known, what] = self.slot(frame)?.get();
        (known == frame).then_some(what)
    }

    /// Notes it.
    pub fn note(&self, frame: u64, what: u64) {
        if let Some(slot) = self.slot(frame) {
            slot.set([frame, what]);
        }
    }

    #[inline(always)]
    fn slot(&self, frame: u64) -> Option<&Cell<[u64; 2]>> {
        self.pages.get(frame as usize % SLOTS)
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Recent, SLOTS};

    #[test]
    fn what_was_noted_is_found_until_another_takes_its_place() {
        let (recent, slots) = (Recent::new(), SLOTS as u64);
        recent.keep_up(1);
        assert_eq!(recent.find(0), None);
        (0..slots).for_each(|frame| recent.note(frame, frame + 100));
        assert!((0..slots).all(|frame| recent.find(frame) == Some(frame + 100)));
        assert_eq!(recent.find(slots), None, "it would be in the slot of page 0");
        recent.note(slots, 7);
        assert_eq!((recent.find(slots), recent.find(0), recent.find(1)), (Some(7), None, Some(101)));
    }

    #[test]
    fn another_generation_knows_nothing() {
        let recent = Recent::new();
        recent.keep_up(1);
        recent.note(5, 6);
        recent.keep_up(1);
        assert_eq!(recent.find(5), Some(6));
        recent.keep_up(2);
        assert_eq!(recent.find(5), None);
    }
}
