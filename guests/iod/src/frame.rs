//! A page of a guest that it names by its frame: a frame buffer's page of events and of lists, which nobody grants.
//!
//! It is not mapped but copied, a word or an event at a time; there are few of them.

use core::cell::RefCell;

use alloc::rc::Rc;

use hyp_pvio::memory::SharedMemory;
use rt::grants::PAGE;
use rt::virtio::Buffer;

use crate::grants::{Copies, Page, Way};

/// Looks at a word until two in a row see the same.
const LOOKS: usize = 4;

/// The page.
#[derive(Clone)]
pub(crate) struct Frame {
    domain: u16,
    number: u64,
    /// What goes through it is here for a moment.
    between: Rc<RefCell<Buffer>>,
}

impl Frame {
    /// A guest's page. Nothing if there is no memory.
    pub(crate) fn new(domain: u16, number: u64) -> Option<Self> {
        Some(Self { domain, number, between: Rc::new(RefCell::new(Buffer::new(PAGE)?)) })
    }

    /// Copies bytes of it. Returns whether the hypervisor did.
    pub(crate) fn copy_out(&self, offset: usize, into: &mut [u8]) -> bool {
        let mut between = self.between.borrow_mut();
        let copied = self.copy(&mut between, offset, into.len(), Way::In);
        if copied {
            into.copy_from_slice(between.bytes().get(..into.len()).unwrap_or_default());
        }
        copied
    }

    fn copy(&self, between: &mut Buffer, offset: usize, bytes: usize, way: Way) -> bool {
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= PAGE);
        let mut copies = Copies::new(self.domain, between, way);
        inside && copies.add(Page::Frame(self.number), offset as u16, bytes as u16, 0) && copies.perform()
    }

    fn word(&self, offset: usize) -> u32 {
        let mut word = [0; 4];
        self.copy_out(offset, &mut word);
        u32::from_le_bytes(word)
    }
}

impl SharedMemory for Frame {
    fn size(&self) -> usize {
        PAGE
    }

    fn load(&self, offset: usize) -> u32 {
        // Its bytes may be copied one by one while the guest writes it. One who does that all the time gets what it wants.
        let mut word = self.word(offset);
        for _ in 1..LOOKS {
            let before = core::mem::replace(&mut word, self.word(offset));
            if before == word {
                break;
            }
        }
        word
    }

    fn store(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        self.copy_out(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        let mut between = self.between.borrow_mut();
        if let Some(bytes) = between.bytes_mut().get_mut(..from.len()) {
            bytes.copy_from_slice(from);
            self.copy(&mut between, offset, from.len(), Way::Out);
        }
    }

    fn fence(&self) {
        // A hypercall is one.
    }
}
