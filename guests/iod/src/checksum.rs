//! The checksums that a guest leaves to whoever sends its packets on (RFC 1071, RFC 9293, RFC 768).

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Makes the TCP or UDP checksum of a frame over IPv4 or IPv6. What is no such frame stays as it is.
pub(crate) fn fill(frame: &mut [u8]) {
    let Some((at, length, protocol, pseudo)) = transport(frame) else { return };
    let place = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let Some(segment) = frame.get_mut(at..at + length).filter(|segment| segment.len() >= place + 2) else { return };
    segment[place..place + 2].fill(0);
    let sum = !fold(pseudo + u32::from(protocol) + length as u32 + sum(segment));
    // UDP over IPv4 says "none" by 0.
    let sum = if sum == 0 && protocol == UDP { u16::MAX } else { sum };
    segment[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Where the segment begins, its length, its protocol, and the sum of the addresses.
fn transport(frame: &[u8]) -> Option<(usize, usize, u8, u32)> {
    let word = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let ip = frame.get(ETHERNET..)?;
    match word(12)? {
        0x0800 => {
            let header = usize::from(ip.first()? & 0xf) * 4;
            let length = usize::from(word(ETHERNET + 2)?).checked_sub(header)?;
            Some((ETHERNET + header, length, *ip.get(9)?, sum(ip.get(12..20)?)))
        }
        0x86dd => Some((ETHERNET + 40, usize::from(word(ETHERNET + 4)?), *ip.get(6)?, sum(ip.get(8..40)?))),
        _ => None,
    }
}

/// The sum of 16-bit words.
fn sum(bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(2);
    let whole: u64 = words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let last = words.remainder().first().map_or(0, |byte| u64::from(*byte) << 8);
    let total = whole + last;
    (total & 0xffff) as u32 + (total >> 16 & 0xffff) as u32
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
