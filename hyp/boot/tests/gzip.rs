//! Packed kernels: unpacked in steps of every size to what they were, and refused with the reason when anything is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;

use flate2::{Compression, GzBuilder};
use hyp_boot::gzip::{Packed, Unpacker, is_packed};

/// Bytes that are neither all alike nor all different, as a kernel's.
fn sample(size: usize) -> Vec<u8> {
    let mut seed = 1u32;
    (0..size)
        .map(|at| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if at / 700 % 3 == 0 { (at / 7) as u8 } else { (seed >> 24) as u8 & 0x3f }
        })
        .collect()
}

fn pack(bytes: &[u8], level: u32) -> Vec<u8> {
    let builder = GzBuilder::new().filename("Image").comment("a kernel").extra(&b"mk\x02\x00hi"[..]);
    let mut encoder = builder.write(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Unpacks in steps of `budget` bytes. Returns the bytes and the number of steps.
fn unpack(file: &[u8], budget: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let packed = Packed::parse(file)?;
    let mut out = vec![0; (packed.size as usize).min(1 << 24)];
    let mut unpacker = Unpacker::new();
    unpacker.start(&packed);
    let mut expected = 0;
    for steps in 1.. {
        let (range, done) = unpacker.step(&packed, file, &mut out, budget)?;
        assert!(range.start == expected && range.len() <= budget, "{range:?}");
        expected = range.end;
        if done {
            assert_eq!(expected, out.len());
            return Ok((out, steps));
        }
        // Work that writes nothing uses a bit of the file at least, and a block's codes begin a step.
        assert!(steps <= (8 * file.len() + out.len()) / budget + file.len() / 1000 + 3, "a step without progress");
    }
    unreachable!()
}

#[test]
fn every_level_and_step_gives_the_bytes_back() {
    let bytes = sample(60_000);
    for level in [0, 1, 6, 9] {
        let file = pack(&bytes, level);
        assert!(is_packed(&file));
        for budget in [1, 100, 4096, 1 << 20] {
            let (out, _) = unpack(&file, budget).unwrap();
            assert!(out == bytes, "level {level}, steps of {budget}");
        }
    }
    for size in [0, 1, 64, 4096] {
        assert_eq!(unpack(&pack(&sample(size), 6), 64).unwrap().0, sample(size));
    }
}

#[test]
fn one_unpacker_serves_file_after_file_even_after_a_failure() {
    let (first, second) = (pack(&sample(9000), 6), pack(&sample(5000), 9));
    let mut unpacker = Unpacker::new();
    let packed = Packed::parse(&first).unwrap();
    let mut head = [0; 64];
    assert_eq!(unpacker.head(&packed, &first, &mut head), Ok(64));
    assert_eq!(head, sample(64)[..]);
    unpacker.start(&packed);
    let mut out = vec![0; 9000];
    unpacker.step(&packed, &first, &mut out, 1000).unwrap();
    let packed = Packed::parse(&second).unwrap();
    unpacker.start(&packed);
    let mut out = vec![0; 5000];
    // The step ends at the codes, which begin another.
    assert_eq!(unpacker.step(&packed, &second, &mut out, 1 << 20), Ok((0..0, false)));
    assert_eq!(unpacker.step(&packed, &second, &mut out, 1 << 20), Ok((0..5000, true)));
    assert!(out == sample(5000));
}

#[test]
fn a_step_is_bounded_for_a_bomb_and_for_its_opposite() {
    // Zeros: a thousand bytes of output for each of input.
    let (out, steps) = unpack(&pack(&vec![0; 1 << 20], 9), 4096).unwrap();
    assert!(out.iter().all(|byte| *byte == 0) && steps >= 256, "{steps}");
    // Empty stored blocks: input without any output.
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend([0, 0, 0, 0xff, 0xff].repeat(10_000));
    file.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (out, steps) = unpack(&file, 100).unwrap();
    assert!(out.is_empty() && steps >= 100, "{steps}");
}

#[test]
fn says_what_is_wrong() {
    let bytes = sample(20_000);
    let good = pack(&bytes, 6);
    let size = good.len();
    let changed = |at: usize, with: &[u8]| {
        let mut file = good.clone();
        file[at..at + with.len()].copy_from_slice(with);
        file
    };
    let with_tail = |tail: &[u8]| [good.as_slice(), tail].concat();
    let cut_off = "is a gzip file that is cut off: load all of it, and give its exact size in reg";
    let more =
        "is a gzip file that unpacks to more than its last bytes say: give its exact size in reg, or make it again";
    let fewer =
        "is a gzip file that unpacks to less than its last bytes say: give its exact size in reg, or make it again";
    let behind = "is a gzip file with other bytes behind it: give its exact size in reg";
    let cases = [
        (good[..size - 1000].to_vec(), cut_off),
        (good[..9].to_vec(), cut_off),
        (good[..20].to_vec(), cut_off),
        (changed(1, &[0]), "is no gzip file: make it again"),
        (changed(2, &[7]), "is packed in a way that gzip does not have: make it again with gzip"),
        (changed(3, &[0xff]), "is packed in a way that gzip does not have: make it again with gzip"),
        (changed(size - 8, &[1, 2]), "is a damaged gzip file (its checksum is wrong): make it again"),
        (changed(size - 4, &19_999u32.to_le_bytes()), more),
        (changed(size - 4, &20_001u32.to_le_bytes()), fewer),
        (changed(40, &[0xff; 8]), "is a damaged gzip file (its stream is broken): make it again"),
        // The last bytes are the junk's then, and so is the size.
        (with_tail(&[0; 7]), more),
        (with_tail(&20_000u64.to_be_bytes()), behind),
        (with_tail(&(20_000u64 << 32).to_le_bytes()), behind),
    ];
    for (index, (file, why)) in cases.iter().enumerate() {
        assert_eq!(unpack(file, 4096).map(|_| ()), Err(*why), "case {index}");
    }
    // A second file behind the first is junk too: a kernel is one file.
    assert_eq!(unpack(&with_tail(&good), 4096).map(|_| ()), Err(behind));
}

#[test]
fn no_cut_and_no_changed_byte_passes() {
    let good = pack(&sample(2000), 6);
    for length in 0..good.len() {
        unpack(&good[..length], 512).unwrap_err();
    }
    let header = 10 + 8 + "Image".len() + 1 + "a kernel".len() + 1;
    for at in header..good.len() {
        for bit in [0x01, 0x80] {
            let mut file = good.clone();
            file[at] ^= bit;
            unpack(&file, 512).unwrap_err();
        }
    }
}

/// More bytes than any stream of the test below unpacks to.
const LARGEST: usize = 1 << 16;

/// What the library makes of a deflate stream: an error where it is broken, `None` where it is cut off or ends too early.
fn by_library(stream: &[u8]) -> Result<Option<Vec<u8>>, flate2::DecompressError> {
    let mut inflate = flate2::Decompress::new(false);
    let mut out = Vec::with_capacity(LARGEST);
    let status = inflate.decompress_vec(stream, &mut out, flate2::FlushDecompress::Finish)?;
    let all = status == flate2::Status::StreamEnd && inflate.total_in() == stream.len() as u64;
    Ok(all.then_some(out))
}

/// A stream with the frame of a file around it that is true of `bytes`.
fn framed(stream: &[u8], bytes: &[u8]) -> Vec<u8> {
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    [&header[..], stream, &sum.to_le_bytes(), &(bytes.len() as u32).to_le_bytes()].concat()
}

#[test]
fn says_of_any_stream_what_the_library_says() {
    let mut seed = 7u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..3000 {
        // Few and many different bytes, short and long ones, near and far repetitions.
        let (kinds, far) = (1 + random(256), 1 + random(3000));
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < [10, 300, 5000][round % 3] {
            let start = bytes.len().saturating_sub(1 + random(far));
            match random(3) {
                0 => bytes.extend_from_within(start..(start + random(300)).min(bytes.len())),
                _ => bytes.push(random(kinds) as u8),
            }
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(random(10) as u32));
        encoder.write_all(&bytes).unwrap();
        let mut stream = encoder.finish().unwrap();
        // Most are broken somewhere, the head of a block first of all.
        for _ in 0..random(3) {
            let most = [1, 8, 90, 5000][random(4)].min(stream.len());
            let at = random(most);
            stream[at] ^= 1 << random(8);
        }
        let budget = 1 + random(400);
        match by_library(&stream) {
            Ok(Some(expected)) => {
                assert!(unpack(&framed(&stream, &expected), budget).unwrap().0 == expected, "round {round}");
                good += 1;
            }
            Ok(None) => assert!(unpack(&framed(&stream, &bytes), budget).is_err(), "round {round}"),
            Err(_) => {
                // With a frame that has no say before the stream's end.
                let wrong = unpack(&framed(&stream, &[0; LARGEST]), budget).unwrap_err();
                assert!(wrong.contains("stream is broken") || wrong.contains("cut off"), "round {round}: {wrong}");
                bad += 1;
            }
        }
    }
    assert!(good > 500 && bad > 500, "{good} good and {bad} bad ones");
}
