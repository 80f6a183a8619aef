//! Frames of TCP that came one behind the other, joined to a large packet: what a guest does with a packet costs it much the
//! same, whatever its size.
//!
//! Only what says the same is joined: data of one connection without a gap, by headers that differ in nothing else than in
//! their numbers, lengths and checksums, which are right. So the guest can take it as if it had come in small frames.

use core::ops::Range;

use super::headers::{self, ACKNOWLEDGE, Headers, PUSH};
use super::{Segmentation, checksum};

/// Most bytes of a packet: a length has 16 bits.
const MOST: usize = u16::MAX as usize;

/// Frames that are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    headers: Headers,
    /// Bytes of data of the first frame, which none of the others may exceed.
    size: usize,
    /// Bytes so far, with the first frame's headers.
    length: usize,
    /// The last frame says that nothing more is there at the moment.
    pushed: bool,
    /// It was shorter than the others.
    short: bool,
}

impl Join {
    /// Bytes from the first frame's start of which [`finish`](Self::finish) changes some.
    pub const HEAD: usize = headers::MOST;

    /// Begins with a frame; nothing if no other can follow it.
    pub fn begin(frame: &[u8]) -> Option<Self> {
        let headers = data(frame)?;
        let size = frame.len() - headers.data;
        Some(Self { headers, size, length: frame.len(), pushed: pushes(&headers, frame), short: false })
    }

    /// Adds a frame behind the others: which of its bytes. Nothing if it has to be left for another packet.
    pub fn add(&mut self, first: &[u8], frame: &[u8]) -> Option<Range<usize>> {
        if self.pushed || self.short || frame.len() < self.headers.data {
            return None;
        }
        let (size, so_far) = (frame.len() - self.headers.data, self.length - self.headers.data);
        let follows = self.headers.sequence(frame) == self.headers.sequence(first).wrapping_add(so_far as u32);
        if !follows || size > self.size || self.length + size > MOST || !self.says_the_same(first, frame) {
            return None;
        }
        if data(frame)? != self.headers {
            return None;
        }
        self.pushed = pushes(&self.headers, frame);
        self.short = size < self.size;
        self.length += size;
        Some(self.headers.data..frame.len())
    }

    /// Are they packets of IPv6?
    pub const fn is_ipv6(&self) -> bool {
        self.headers.ipv6
    }

    /// Bytes of all.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Makes the first frame's headers those of the packet, if it has more than that; how large the frames were. The checksum
    /// is left blank.
    pub fn finish(&self, first: &mut [u8]) -> Segmentation {
        self.headers.set_end(first, self.length, 0);
        if self.pushed {
            self.headers.change_flags(first, |flags| flags | PUSH);
        }
        checksum::blank(first);
        Segmentation { size: self.size as u16, ipv6: self.headers.ipv6 }
    }

    /// Are the headers the same but for IPv4's number and checksum, both lengths, and TCP's number, flag of haste and checksum?
    fn says_the_same(&self, first: &[u8], frame: &[u8]) -> bool {
        let Headers { ipv6, tcp, data } = self.headers;
        // Ethernet and IP to the length; from behind it to the end of IP; TCP's ports; acknowledgement; window; options.
        let parts: [(usize, usize); 7] = if ipv6 {
            [(0, 18), (20, tcp), (tcp, tcp + 4), (tcp + 8, tcp + 13), (tcp + 14, tcp + 16), (tcp + 18, data), (0, 0)]
        } else {
            [(0, 16), (20, 24), (26, tcp), (tcp, tcp + 4), (tcp + 8, tcp + 13), (tcp + 14, tcp + 16), (tcp + 18, data)]
        };
        parts.iter().all(|(from, to)| first.get(*from..*to) == frame.get(*from..*to))
    }
}

/// The headers of a frame that has data and says nothing else, whose checksums are right and that ends where it says.
fn data(frame: &[u8]) -> Option<Headers> {
    let headers = Headers::read(frame)?;
    let whole = frame.len() > headers.data && headers.end(frame)? == frame.len();
    let plain = headers.flags(frame) & !PUSH == ACKNOWLEDGE;
    let options = headers.ipv6 || headers.tcp == 34;
    let right = headers.ipv6 || headers.ipv4_sum(frame) == u16::MAX;
    (whole && plain && options && right && checksum::is_right(frame)).then_some(headers)
}

/// Whoever sent it has nothing more at the moment.
fn pushes(headers: &Headers, frame: &[u8]) -> bool {
    headers.flags(frame) & PUSH != 0
}
