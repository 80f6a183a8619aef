//! Data between guests' pages and our own, by grant copies: one hypercall moves all pieces of a request, and nothing has to
//! be unmapped after it.

mod batch;

use alloc::vec::Vec;

pub(crate) use batch::Batch;
use hyp_pvio::network::Piece;
use rt::grants;
pub(crate) use rt::grants::PAGE;
use rt::virtio::Buffer;
use xen_abi::domid::DOMID_SELF;
use xen_abi::grant_table::{Copy, CopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF, GNTST_OKAY};

/// Into our memory or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the guest.
    In,
    /// To the guest.
    Out,
}

/// How a guest's page is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// By a grant.
    Grant(u32),
    /// By its frame, as old protocols do; the hypervisor allows it where the guest has a frame buffer.
    Frame(u64),
}

/// Copies that are done together.
pub(crate) struct Copies<'b> {
    domain: u16,
    buffer: &'b mut Buffer,
    way: Way,
    copies: Vec<Copy>,
}

impl<'b> Copies<'b> {
    /// None yet, between this buffer and pages of a guest.
    pub(crate) fn new(domain: u16, buffer: &'b mut Buffer, way: Way) -> Self {
        Self { domain, buffer, way, copies: Vec::with_capacity(32) }
    }

    /// One more: of `length` bytes from `offset` of a page, to or from byte `at` of the buffer. Returns whether that is in
    /// the buffer.
    pub(crate) fn add(&mut self, page: Page, offset: u16, length: u16, at: usize) -> bool {
        push(&mut self.copies, self.domain, (page, offset, length), self.buffer, at, self.way)
    }

    /// Does them. Returns whether all were done: the hypervisor checks each.
    pub(crate) fn perform(mut self) -> bool {
        grants::copy(&mut self.copies).is_ok() && self.copies.iter().all(|copy| copy.status == GNTST_OKAY)
    }
}

/// Adds the copy of `length` bytes from `offset` of a guest's page, to or from byte `at` of a buffer. Returns whether that is
/// in the buffer.
fn push(
    copies: &mut Vec<Copy>,
    domain: u16,
    (page, offset, length): (Page, u16, u16),
    buffer: &Buffer,
    at: usize,
    way: Way,
) -> bool {
    // It may cross a page of ours: then it is two.
    let (mut at, mut offset, mut left) = (at, offset, usize::from(length));
    if at + left > buffer.size() {
        return false;
    }
    let (named, granted) = match page {
        Page::Grant(reference) => (u64::from(reference), true),
        Page::Frame(frame) => (frame, false),
    };
    while left > 0 {
        let length = left.min(PAGE - at % PAGE);
        let theirs = CopyPtr { u: named, domid: domain, offset, pad0: 0 };
        let ours = CopyPtr { u: buffer.frame(at), domid: DOMID_SELF, offset: (at % PAGE) as u16, pad0: 0 };
        let (source, dest, flags) = match way {
            Way::In => (theirs, ours, GNTCOPY_SOURCE_GREF),
            Way::Out => (ours, theirs, GNTCOPY_DEST_GREF),
        };
        let flags = if granted { flags } else { 0 };
        copies.push(Copy { source, dest, len: length as u16, flags, status: 0, pad0: 0 });
        (at, left, offset) = (at + length, left - length, offset + length as u16);
    }
    true
}

/// Copies pieces of a guest to or from a buffer, in which they lie one behind the other from byte `at` on. Returns
/// whether all were copied.
pub(crate) fn copy(domain: u16, pieces: impl Iterator<Item = Piece>, buffer: &mut Buffer, at: usize, way: Way) -> bool {
    let mut batch = Batch::default();
    let copies = batch.add(domain, pieces, buffer, at, way);
    batch.run();
    copies.is_some_and(|copies| batch.made(copies))
}

/// The first bytes of pages of a guest, as if they lay one behind the other, by way of a buffer that has room for them.
pub(crate) fn read<'b>(domain: u16, references: &[u32], bytes: usize, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
    let pieces = references.iter().enumerate().map(|(number, grant)| Piece {
        grant: *grant,
        offset: 0,
        length: bytes.saturating_sub(number * PAGE).min(PAGE) as u16,
    });
    let copied = copy(domain, pieces, buffer, 0, Way::In);
    if copied { buffer.bytes().get(..bytes) } else { None }
}
