//! Large packets: what is cut is what was there, what is joined is what came, and nothing else is joined.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use hyp_pvio::network::{Cut, Join, Segmentation, checksum, flow};
use proptest::prelude::*;

/// The sum of RFC 1071, word by word.
fn plain_sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum over TCP and its pseudo header, which is all ones if the checksum is right.
fn tcp_sum(frame: &[u8], ipv6: bool) -> u16 {
    let (addresses, tcp) = if ipv6 { (22..54, 54) } else { (26..34, 34) };
    let length = (frame.len() - tcp) as u16;
    let mut all = frame[addresses].to_vec();
    all.extend([0, 6]);
    all.extend(length.to_be_bytes());
    all.extend(&frame[tcp..]);
    plain_sum(&all)
}

/// A packet with right checksums; `data` behind headers with `options` times 4 bytes of TCP's options.
fn packet(ipv6: bool, options: u8, flags: u8, sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    let length = 20 + 4 * usize::from(options) + data.len();
    if ipv6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((length as u16).to_be_bytes());
        frame.extend([6, 64]);
        frame.extend([7; 32]);
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + length as u16).to_be_bytes());
        frame.extend([0xff, 0xfe, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
        let sum = !plain_sum(&frame[14..]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame.extend([0x12, 0x34, 0x56, 0x78]);
    frame.extend(sequence.to_be_bytes());
    frame.extend([1, 2, 3, 4, (5 + options) << 4, flags, 9, 9, 0, 0, 0, 0]);
    frame.extend(std::iter::repeat_n(1, 4 * usize::from(options)));
    frame.extend(data);
    checksum::fill(&mut frame);
    assert_eq!(tcp_sum(&frame, ipv6), 0xffff);
    frame
}

fn cut(whole: &[u8], segmentation: Segmentation) -> Option<Vec<Vec<u8>>> {
    let head = &whole[..whole.len().min(Cut::HEAD)];
    let cut = Cut::new(head, whole.len(), segmentation)?;
    let frame = |data: std::ops::Range<usize>| {
        let mut frame = vec![0; cut.headers()];
        frame.extend(&whole[data.clone()]);
        cut.finish(head, &data, &mut frame);
        frame
    };
    Some(cut.frames().map(frame).collect())
}

/// The packet that frames become, if all of them are joined.
fn join(frames: &[Vec<u8>]) -> Option<(Vec<u8>, Segmentation)> {
    let mut whole = frames[0].clone();
    let mut join = Join::begin(&frames[0])?;
    for frame in &frames[1..] {
        let data = join.add(&frames[0], frame)?;
        whole.extend(&frame[data]);
    }
    assert_eq!(join.length(), whole.len());
    let segmentation = join.finish(&mut whole);
    Some((whole, segmentation))
}

const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;

proptest! {
    #[test]
    fn frames_are_the_packet_and_the_packet_is_its_frames(
        ipv6: bool, options in 0_u8..=10, push: bool, sequence: u32, size in 1_u16..1500,
        data in prop::collection::vec(any::<u8>(), 1..20_000),
    ) {
        let flags = if push { ACK | PUSH } else { ACK };
        let whole = packet(ipv6, options, flags, sequence, &data);
        let segmentation = Segmentation { size, ipv6 };
        let frames = cut(&whole, segmentation);
        prop_assert_eq!(frames.is_some(), data.len().div_ceil(size.into()) <= Cut::FRAMES);
        let Some(frames) = frames else { return Ok(()) };
        let headers = whole.len() - data.len();
        for (number, frame) in frames.iter().enumerate() {
            prop_assert!(checksum::is_right(frame));
            prop_assert_eq!(tcp_sum(frame, ipv6), 0xffff);
            prop_assert!(ipv6 || plain_sum(&frame[14..34]) == 0xffff);
            // But for the last one's flag each is what one would have sent in a frame of its own.
            let last = number + 1 == frames.len();
            let start = number * usize::from(size);
            let own = packet(ipv6, options, if last { flags } else { ACK }, sequence.wrapping_add(start as u32), &frame[headers..]);
            prop_assert!(ipv6 || frame[18..20] == 0xfffe_u16.wrapping_add(number as u16).to_be_bytes());
            prop_assert!(frame[headers - 20..] == own[headers - 20..]);
        }
        if frames.len() > 1 {
            let (again, how) = join(&frames).unwrap();
            prop_assert_eq!(how, segmentation);
            prop_assert!(cut(&again, how) == Some(frames));
            prop_assert!(again[headers..] == data[..]);
        }
    }

    #[test]
    fn a_checksum_is_right_wherever_the_frame_lies(before in 0_usize..17, data in prop::collection::vec(any::<u8>(), 0..3000)) {
        let frame = packet(false, 0, ACK, 1, &data);
        let mut place = vec![0; before];
        place.extend(&frame);
        prop_assert!(checksum::is_right(&place[before..]));
        let last = place.len() - 1;
        place[last] ^= 0x10;
        prop_assert!(!checksum::is_right(&place[before..]));
    }

    #[test]
    fn nothing_is_read_or_written_beside_a_frame(
        mut frame in prop::collection::vec(any::<u8>(), 0..200), length in 0_usize..70_000, size: u16, ipv6: bool,
    ) {
        for kind in [[8, 0], [0x86, 0xdd]] {
            if let Some(place) = frame.get_mut(12..14) {
                place.copy_from_slice(&kind);
            }
            if let Some(cut) = Cut::new(&frame, length, Segmentation { size, ipv6 }) {
                for data in cut.frames() {
                    cut.finish(&frame, &data, &mut vec![0; cut.headers() + data.len()]);
                }
            }
            prop_assert!(Join::begin(&frame).is_none(), "its checksum is wrong");
            checksum::fill(&mut frame);
        }
    }
}

#[test]
fn only_what_belongs_together_is_joined() {
    let (first, second) = ([1; 100], [2; 100]);
    let one = packet(false, 0, ACK, 1000, &first);
    let follows = |frame: Vec<u8>| join(&[one.clone(), frame]).is_some();
    assert!(follows(packet(false, 0, ACK, 1100, &second)));
    assert!(follows(packet(false, 0, ACK | PUSH, 1100, &second[..7])));
    assert!(!follows(packet(false, 0, ACK, 1101, &second)), "a gap");
    assert!(!follows(packet(false, 0, ACK, 1100, &[2; 101])), "larger than the first");
    assert!(!follows(packet(false, 0, ACK, 1100, &[])), "no data");
    assert!(!follows(packet(false, 1, ACK, 1100, &second)), "other options");
    assert!(!follows(packet(true, 0, ACK, 1100, &second)), "another protocol");
    for flag in [0x01, 0x02, 0x04, 0x20, 0x40, 0x80] {
        assert!(!follows(packet(false, 0, ACK | flag, 1100, &second)), "flag {flag:#x}");
    }
    let mut wrong = packet(false, 0, ACK, 1100, &second);
    wrong[60] ^= 1;
    assert!(!follows(wrong), "a wrong checksum");
    // Each byte of the addresses, ports and the acknowledgement, with a right checksum again; the time to live.
    for at in (0..12).chain(26..38).chain(42..46).chain([15, 22]) {
        let mut other = packet(false, 0, ACK, 1100, &second);
        other[at] ^= 1;
        other[24..26].fill(0);
        let sum = !plain_sum(&other[14..34]);
        other[24..26].copy_from_slice(&sum.to_be_bytes());
        checksum::fill(&mut other);
        assert!(!follows(other), "byte {at}");
    }
    let mut padded = packet(false, 0, ACK, 1100, &second);
    padded.push(0);
    assert!(!follows(padded), "bytes behind its end");
    assert!(join(&[packet(false, 0, ACK | PUSH, 1000, &first), packet(false, 0, ACK, 1100, &second)]).is_none());
    let short = [
        packet(false, 0, ACK, 1000, &first),
        packet(false, 0, ACK, 1100, &[3; 9]),
        packet(false, 0, ACK, 1109, &[4; 9]),
    ];
    assert!(join(&short).is_none(), "a short one ends it");
    let full: Vec<_> = (0..66).map(|number| packet(false, 0, ACK, 1000 * number, &[5; 1000])).collect();
    assert!(join(&full[..65]).is_some() && join(&full).is_none(), "64 KiB at most");
}

#[test]
fn frames_of_a_connection_have_one_flow_and_connections_are_spread() {
    for ipv6 in [false, true] {
        let tcp = if ipv6 { 54 } else { 34 };
        let of_port = |port: u16, sequence: u32, data: &[u8]| {
            let mut frame = packet(ipv6, 3, ACK, sequence, data);
            frame[tcp..tcp + 2].copy_from_slice(&port.to_be_bytes());
            flow(&frame)
        };
        let mut queues = [0; 4];
        for port in 40_000..40_400 {
            assert_eq!(of_port(port, 1, b"one"), of_port(port, 77_777, b"another"));
            queues[of_port(port, 1, b"one") as usize % 4] += 1;
        }
        assert!(queues.iter().all(|count| (60..140).contains(count)), "{queues:?}");
        let whole = packet(ipv6, 3, ACK, 1, b"");
        assert!(
            (0..whole.len()).all(|length| flow(&whole[..length]) == 0),
            "a part of the headers is of no connection"
        );
    }
}
