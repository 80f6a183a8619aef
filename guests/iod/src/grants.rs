//! Data between guests' pages and our own, by grant copies: one hypercall moves all pieces of a request, and nothing has to
//! be unmapped after it.

use alloc::vec::Vec;

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

/// Copies pieces of a guest to or from a buffer, in which they lie one behind the other from byte `at` on. Returns
/// whether all were copied: the hypervisor checks each grant.
pub(crate) fn copy(domain: u16, pieces: impl Iterator<Item = Piece>, buffer: &mut Buffer, at: usize, way: Way) -> bool {
    let mut copies = Vec::with_capacity(32);
    let mut at = at;
    for piece in pieces {
        // A piece may cross a page of ours: then it is two.
        let (mut offset, mut left) = (piece.offset, usize::from(piece.length));
        if at + left > buffer.size() {
            return false;
        }
        while left > 0 {
            let length = left.min(PAGE - at % PAGE);
            let theirs = CopyPtr { u: u64::from(piece.grant), domid: domain, offset, pad0: 0 };
            let ours = CopyPtr { u: buffer.frame(at), domid: DOMID_SELF, offset: (at % PAGE) as u16, pad0: 0 };
            let (source, dest, flags) = match way {
                Way::In => (theirs, ours, GNTCOPY_SOURCE_GREF),
                Way::Out => (ours, theirs, GNTCOPY_DEST_GREF),
            };
            copies.push(Copy { source, dest, len: length as u16, flags, status: 0, pad0: 0 });
            (at, left, offset) = (at + length, left - length, offset + length as u16);
        }
    }
    grants::copy(&mut copies).is_ok() && copies.iter().all(|copy| copy.status == GNTST_OKAY)
}

/// The first bytes of pages of a guest, as if they lay one behind the other.
pub(crate) fn read(domain: u16, references: &[u32], bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Buffer::new(bytes)?;
    let pieces = references.iter().enumerate().map(|(number, grant)| Piece {
        grant: *grant,
        offset: 0,
        length: bytes.saturating_sub(number * PAGE).min(PAGE) as u16,
    });
    copy(domain, pieces, &mut buffer, 0, Way::In).then(|| buffer.bytes().get(..bytes).unwrap_or_default().to_vec())
}
