//! Large packets of TCP, cut into frames as small as a network takes them.

use core::ops::Range;

use super::headers::{FIN, Headers, MOST, PUSH, WINDOW_REDUCED};
use super::{Segmentation, checksum};

/// Most frames of a packet, so that nobody gets thousands out of one: enough for the largest packet by the smallest size that
/// every host takes (536 bytes, RFC 9293, 3.7.1).
const FRAMES: usize = 128;

/// How to cut a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    headers: Headers,
    /// Bytes of the packet.
    length: usize,
    /// Bytes of data of each frame.
    size: usize,
}

impl Cut {
    /// Bytes from the packet's start in which its headers are.
    pub const HEAD: usize = MOST;
    /// Most frames of a packet.
    pub const FRAMES: usize = FRAMES;

    /// Plans it, by the first [`HEAD`](Self::HEAD) bytes of a packet of `length`, or all if it has less. Nothing if it is no
    /// packet that can be cut so.
    pub fn new(head: &[u8], length: usize, segmentation: Segmentation) -> Option<Self> {
        let headers = Headers::read(head)?;
        let size = usize::from(segmentation.size);
        let data = length.checked_sub(headers.data)?;
        let right = headers.ipv6 == segmentation.ipv6 && data > 0 && size > 0 && data.div_ceil(size) <= FRAMES;
        right.then_some(Self { headers, length, size })
    }

    /// Bytes of all headers, which each frame has.
    pub const fn headers(&self) -> usize {
        self.headers.data
    }

    /// The data of each frame: which bytes of the packet.
    pub fn frames(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { headers, length, size } = *self;
        (headers.data..length).step_by(size).map(move |start| start..(start + size).min(length))
    }

    /// Writes the headers of the frame with this data, which is there, by those of the packet, and makes its checksums.
    pub fn finish(&self, head: &[u8], data: &Range<usize>, frame: &mut [u8]) {
        let Self { headers, length, size } = *self;
        if let (Some(to), Some(from)) = (frame.get_mut(..headers.data), head.get(..headers.data)) {
            to.copy_from_slice(from);
        }
        let before = data.start - headers.data;
        headers.set_end(frame, headers.data + data.len(), (before / size) as u16);
        headers.set_sequence(frame, headers.sequence(head).wrapping_add(before as u32));
        let first = if before > 0 { WINDOW_REDUCED } else { 0 };
        let last = if data.end < length { FIN | PUSH } else { 0 };
        headers.change_flags(frame, |flags| flags & !(first | last));
        checksum::fill(frame);
    }
}
