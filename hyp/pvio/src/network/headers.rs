//! Where the headers of a TCP packet in an Ethernet frame are (RFC 791, RFC 8200, RFC 9293). Frames with a VLAN's tag, pieces of
//! larger packets and such with more headers between those of IPv6 and TCP are none.

/// Most bytes that all headers can have.
pub(super) const MOST: usize = ETHERNET + 60 + 60;

/// Bytes of the headers of Ethernet and of IPv6, and IP's number of TCP.
pub(super) const ETHERNET: usize = 14;
pub(super) const IPV6: usize = 40;
pub(super) const TCP: u8 = 6;
/// IPv4: more pieces, or not the first one.
const PIECE: u16 = 0x3fff;

/// TCP's flags, in their byte.
pub(super) const FIN: u8 = 1;
pub(super) const PUSH: u8 = 1 << 3;
pub(super) const ACKNOWLEDGE: u8 = 1 << 4;
pub(super) const WINDOW_REDUCED: u8 = 1 << 7;

/// The places of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) ipv6: bool,
    /// Where TCP's begins.
    pub(super) tcp: usize,
    /// Where the data begins.
    pub(super) data: usize,
}

impl Headers {
    /// Reads those of a frame, of which not all has to be there, but all headers.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let (ipv6, tcp, protocol) = match word(frame, 12)? {
            0x0800 => {
                let first = *frame.get(ETHERNET)?;
                let length = usize::from(first & 0xf) * 4;
                let whole = word(frame, ETHERNET + 6)? & PIECE == 0;
                (first >> 4 == 4 && length >= 20 && whole).then_some(())?;
                (false, ETHERNET + length, *frame.get(ETHERNET + 9)?)
            }
            0x86dd => (true, ETHERNET + IPV6, *frame.get(ETHERNET + 6)?),
            _ => return None,
        };
        let length = usize::from(frame.get(tcp + 12)? >> 4) * 4;
        let data = tcp + length;
        (protocol == TCP && length >= 20 && frame.len() >= data).then_some(Self { ipv6, tcp, data })
    }

    /// Where the bytes end that the header of IP tells of.
    pub(super) fn end(&self, frame: &[u8]) -> Option<usize> {
        let (at, more) = if self.ipv6 { (ETHERNET + 4, ETHERNET + IPV6) } else { (ETHERNET + 2, ETHERNET) };
        Some(usize::from(word(frame, at)?) + more)
    }

    /// Says that the frame ends there, and adds to the number that IPv4 gives its packets.
    pub(super) fn set_end(&self, frame: &mut [u8], end: usize, number: u16) {
        if self.ipv6 {
            return set_word(frame, ETHERNET + 4, (end - ETHERNET - IPV6) as u16);
        }
        set_word(frame, ETHERNET + 2, (end - ETHERNET) as u16);
        let first = word(frame, ETHERNET + 4).unwrap_or(0);
        set_word(frame, ETHERNET + 4, first.wrapping_add(number));
        set_word(frame, ETHERNET + 10, 0);
        let sum = self.ipv4_sum(frame);
        set_word(frame, ETHERNET + 10, !sum);
    }

    /// The checksum of IPv4's header, which is all ones if it is right.
    pub(super) fn ipv4_sum(&self, frame: &[u8]) -> u16 {
        super::checksum::fold(super::checksum::sum(frame.get(ETHERNET..self.tcp).unwrap_or_default()))
    }

    /// TCP's number of the first byte.
    pub(super) fn sequence(&self, frame: &[u8]) -> u32 {
        let bytes = frame.get(self.tcp + 4..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn set_sequence(&self, frame: &mut [u8], sequence: u32) {
        if let Some(place) = frame.get_mut(self.tcp + 4..).and_then(|rest| rest.first_chunk_mut()) {
            *place = sequence.to_be_bytes();
        }
    }

    /// TCP's flags.
    pub(super) fn flags(&self, frame: &[u8]) -> u8 {
        frame.get(self.tcp + 13).copied().unwrap_or(0)
    }

    pub(super) fn change_flags(&self, frame: &mut [u8], change: impl FnOnce(u8) -> u8) {
        if let Some(flags) = frame.get_mut(self.tcp + 13) {
            *flags = change(*flags);
        }
    }
}

/// Two bytes, as networks order them.
pub(super) fn word(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn set_word(frame: &mut [u8], at: usize, word: u16) {
    if let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = word.to_be_bytes();
    }
}
