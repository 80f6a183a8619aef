//! Which of a card's queues a frame goes to: frames of one connection always to the same, so that they stay in their order.

use super::headers::{ETHERNET, Headers, IPV6};

/// A number that all frames of a TCP connection in one direction have alike, and other connections hardly. Those that are of
/// none have 0.
pub fn flow(frame: &[u8]) -> u32 {
    let Some(headers) = Headers::read(frame) else { return 0 };
    let addresses = if headers.ipv6 { ETHERNET + 8..ETHERNET + IPV6 } else { ETHERNET + 12..ETHERNET + 20 };
    let ports = headers.tcp..headers.tcp + 4;
    let parts =
        [addresses, ports].into_iter().filter_map(|part| frame.get(part)).flat_map(|part| part.as_chunks::<4>().0);
    // Multiplication by an odd number carries each bit to those above it (Knuth, "The Art of Computer Programming", 6.4).
    let mixed =
        parts.fold(0_u32, |hash, part| (hash ^ u32::from_be_bytes(*part)).wrapping_mul(0x9e37_79b1).rotate_left(15));
    mixed ^ mixed >> 16
}
