//! The checksums that a guest leaves to whoever sends its packets on, and those of what comes from outside (RFC 1071, RFC 9293,
//! RFC 768).

use zerocopy::FromBytes;

use super::headers::{ETHERNET, IPV6, TCP, word};

const UDP: u8 = 17;

/// Makes the TCP or UDP checksum of a frame over IPv4 or IPv6. What is no such frame stays as it is.
pub fn fill(frame: &mut [u8]) {
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

/// Is the TCP or UDP checksum of a frame over IPv4 or IPv6 right? Not if it is no such frame.
pub fn is_right(frame: &[u8]) -> bool {
    let Some((at, length, protocol, pseudo)) = transport(frame) else { return false };
    let segment = frame.get(at..at + length).filter(|_| protocol == TCP || protocol == UDP);
    segment.is_some_and(|segment| fold(pseudo + u32::from(protocol) + length as u32 + sum(segment)) == u16::MAX)
}

/// Leaves the TCP checksum of a frame to whoever sends it on: what is there is the part that they do not make.
pub(super) fn blank(frame: &mut [u8]) {
    let Some((at, length, TCP, pseudo)) = transport(frame) else { return };
    let place = frame.get_mut(at + 16..at + 18).unwrap_or_default();
    let sum = fold(pseudo + u32::from(TCP) + length as u32);
    place.iter_mut().zip(sum.to_be_bytes()).for_each(|(to, from)| *to = from);
}

/// Where the segment begins, its length, its protocol, and the sum of the addresses.
fn transport(frame: &[u8]) -> Option<(usize, usize, u8, u32)> {
    let ip = frame.get(ETHERNET..)?;
    match word(frame, 12)? {
        0x0800 => {
            let header = usize::from(ip.first()? & 0xf) * 4;
            let length = usize::from(word(frame, ETHERNET + 2)?).checked_sub(header)?;
            Some((ETHERNET + header, length, *ip.get(9)?, sum(ip.get(12..20)?)))
        }
        0x86dd => Some((ETHERNET + IPV6, usize::from(word(frame, ETHERNET + 4)?), *ip.get(6)?, sum(ip.get(8..40)?))),
        _ => None,
    }
}

/// The sum of 16-bit words, with the carries added to it. As the order of bytes changes nothing but theirs in the sum, and
/// carries come back in below, eight bytes are added at a time as they lie in memory, where they are aligned.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let before = bytes.as_ptr().align_offset(size_of::<u64>());
    // Words of 16 bits must not be torn.
    let (head, body) = bytes.split_at_checked(before).filter(|_| before.is_multiple_of(2)).unwrap_or((bytes, &[]));
    let count = body.len() / size_of::<u64>();
    let (words, tail) = <[u64]>::ref_from_prefix_with_elems(body, count).unwrap_or((&[], body));
    let (blocks, words) = words.as_chunks::<8>();
    let (mut total, mut carries) = (0_u64, 0_u64);
    // One chain of additions with carry for each, which processors have an instruction for.
    let mut add = |words: &[u64]| {
        let mut carry = false;
        for word in words {
            (total, carry) = total.carrying_add(*word, carry);
        }
        carries += u64::from(carry);
    };
    blocks.iter().for_each(|block| add(block));
    add(words);
    for part in [head, tail] {
        for torn in part.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word[..torn.len()].copy_from_slice(torn);
            add(&[u64::from_ne_bytes(word)]);
        }
    }
    let parts = [total, total >> 16, total >> 32, total >> 48, carries].map(|word| word & 0xffff);
    let sum = parts.iter().sum::<u64>() as u32;
    u16::from_be(fold(sum)).into()
}

pub(super) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
