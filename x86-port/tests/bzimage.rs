//! Kernels packed for PCs: unpacked in steps of every size to what they were, and refused with the reason when anything is
//! wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use hyp_x86::bzimage::{Damage, Packed, Packing, Unpacker};
use lzma_rust2::{CheckType, FilterType, XzOptions, XzWriter};

/// Bytes of which some repeat at once, some later and some never.
fn sample(size: usize) -> Vec<u8> {
    let mut seed = 1u32;
    let mut bytes = Vec::new();
    while bytes.len() < size {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (kind, count) = (seed >> 30, (seed >> 16 & 0x1ff) as usize);
        match kind {
            0 => bytes.extend(std::iter::repeat_n((seed >> 8) as u8, count)),
            1 if bytes.len() > 700 => bytes.extend_from_within(bytes.len() - 700..bytes.len() - 700 + count),
            _ => bytes.extend(seed.to_le_bytes()),
        }
    }
    bytes.truncate(size);
    bytes
}

/// LZ4's old framing, in blocks of so many bytes.
fn lz4(bytes: &[u8], block: usize) -> Vec<u8> {
    let mut out = 0x184c_2102u32.to_le_bytes().to_vec();
    for piece in bytes.chunks(block) {
        let packed = lz4_flex::block::compress(piece);
        out.extend((packed.len() as u32).to_le_bytes());
        out.extend(packed);
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As Linux's script has xz pack: summed by CRC32, and filtered.
fn xz_as(bytes: &[u8], filtered: bool, change: impl FnOnce(&mut XzOptions)) -> Vec<u8> {
    let mut options = XzOptions::with_preset(6);
    options.set_check_sum_type(CheckType::Crc32);
    if filtered {
        options.prepend_pre_filter(FilterType::BcjX86, 0);
    }
    change(&mut options);
    let mut writer = XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    xz_as(bytes, true, |_| {})
}

/// A bzImage with this payload, and other things behind it.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 4 * 512 + 0x40];
    file[0x1f1] = 3;
    file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&0x40u32.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend(payload);
    file.extend([0xcc; 100]);
    file
}

fn with_size(mut payload: Vec<u8>, size: usize) -> Vec<u8> {
    payload.extend((size as u32).to_le_bytes());
    payload
}

/// Unpacks in steps of `budget` bytes.
fn unpack(file: &[u8], budget: usize) -> Result<Vec<u8>, Damage> {
    let packed = Packed::parse(file)?.expect("packed");
    let mut out = vec![0; (packed.size as usize).min(1 << 24)];
    // Nothing may depend on what was in it.
    let mut room = vec![0xa5a5; packed.room()];
    let mut unpacker = Unpacker::new(&packed, &mut room);
    for _ in 0..2 {
        // Twice, as for a restart.
        unpacker.start(&packed);
        let mut steps = 0;
        while !unpacker.step(&packed, file, &mut out, budget)? {
            steps += 1;
            // xz goes through what it unpacked once more, and steps at the beginnings of both and of chunks give nothing.
            assert!(steps <= file.len() / budget + 2 * out.len() / budget + 20, "a step without progress");
        }
    }
    Ok(out)
}

#[test]
fn every_packing_and_step_gives_the_bytes_back() {
    let bytes = sample(90_000);
    for block in [90_000, 8192, 1000] {
        let file = bzimage(&with_size(lz4(&bytes, block), bytes.len()));
        assert_eq!(Packed::parse(&file).unwrap().unwrap().packing, Packing::Lz4);
        for budget in [1, 7, 100, 4096, 1 << 20] {
            assert!(unpack(&file, budget).unwrap() == bytes, "blocks of {block}, steps of {budget}");
        }
    }
    for file in [bzimage(&gzip(&bytes)), gzip(&bytes)] {
        assert!(unpack(&file, 4096).unwrap() == bytes);
    }
    for size in [0, 1, 20, 64, 4096] {
        assert!(unpack(&bzimage(&with_size(lz4(&sample(size), 8192), size)), 64).unwrap() == sample(size), "{size}");
    }
    // Of nothing, xz makes no block, and a kernel of nothing is none.
    for size in [1, 20, 64, 4096] {
        assert!(unpack(&bzimage(&with_size(xz(&sample(size)), size)), 64).unwrap() == sample(size), "{size} by xz");
    }
}

#[test]
fn xz_gives_the_bytes_back_in_every_step_and_shape() {
    let bytes = sample(90_000);
    let file = bzimage(&with_size(xz(&bytes), bytes.len()));
    assert_eq!(Packed::parse(&file).unwrap().unwrap().packing, Packing::Xz);
    for budget in [1, 7, 100, 4096, 1 << 20] {
        assert!(unpack(&file, budget).unwrap() == bytes, "steps of {budget}");
    }
    // Bits of the last byte, of its place, and of all others' places that choose a chance.
    for (lc, lp, pb) in [(0, 0, 0), (3, 0, 2), (4, 0, 4), (0, 4, 3), (2, 2, 2), (1, 3, 1)] {
        let packed = xz_as(&bytes, false, |options| {
            (options.lzma_options.lc, options.lzma_options.lp, options.lzma_options.pb) = (lc, lp, pb);
        });
        assert!(unpack(&bzimage(&with_size(packed, bytes.len())), 512).unwrap() == bytes, "{lc} {lp} {pb}");
    }
    // Bytes that nothing makes smaller, over more than one chunk.
    let mut seed = 1u64;
    let noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    let noise: Vec<u8> = std::iter::repeat_with(noise).take(150_000).collect();
    assert!(unpack(&bzimage(&with_size(xz(&noise), noise.len())), 512).unwrap() == noise);
}

/// Call instructions, and much that looks like some: what the filter takes for targets depends on what is near.
#[test]
fn calls_are_unfiltered_wherever_a_step_ends() {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 40
    };
    let bytes: Vec<u8> = std::iter::repeat_with(|| match next() % 8 {
        0 | 1 => 0xe8,
        2 => 0xe9,
        3 | 4 => 0,
        5 => 0xff,
        _ => next() as u8,
    })
    .take(40_000)
    .collect();
    let file = bzimage(&with_size(xz(&bytes), bytes.len()));
    for budget in [1, 2, 3, 5, 1000, 1 << 20] {
        assert!(unpack(&file, budget).unwrap() == bytes, "steps of {budget}");
    }
}

#[test]
fn what_is_not_packed_is_left_alone() {
    assert!(Packed::parse(b"\x7fELF\x02\x01\x01") == Ok(None));
    assert!(Packed::parse(&[]) == Ok(None));
    assert!(Packed::parse(&[0; 4096]) == Ok(None));
}

#[test]
fn damage_is_refused_with_its_reason_and_place() {
    let bytes = sample(30_000);
    let (payload, size) = (lz4(&bytes, 8192), bytes.len());
    let whole = bzimage(&with_size(payload.clone(), size));
    let complaint = |file: &[u8]| unpack(file, 4096).unwrap_err().what;
    assert!(complaint(&whole[..whole.len() - 200]).contains("bzImage that is cut off"));
    assert!(complaint(&whole[..0x240]).contains("bzImage that is cut off"));
    assert!(complaint(&bzimage(b"")).contains("neither"), "no payload");
    assert!(complaint(&bzimage(b"\x28\xb5\x2f\xfdpacked by zstd")).contains("give the vmlinux inside it"));
    assert!(complaint(&bzimage(&with_size(payload.clone(), size - 1))).contains("more than its last bytes say"));
    assert!(complaint(&bzimage(&with_size(payload.clone(), size + 1))).contains("less than its last bytes say"));
    assert!(complaint(&bzimage(&with_size(payload[..payload.len() - 9].to_vec(), size))).contains("cut off"));
    let mut old = whole.clone();
    old[0x206] = 7;
    assert!(complaint(&old).contains("before 2.6.26"));
    // A repetition of what is not there.
    let mut far = payload.clone();
    far.splice(4.., [[4, 0, 0, 0], [0x10, b'x', 2, 0]].concat());
    assert!(complaint(&bzimage(&with_size(far, size))).contains("damaged"));
    let cut = &whole[..whole.len() - 200];
    let text = Packed::parse(cut).unwrap_err().to_string();
    assert!(text.ends_with(&format!("(seen at byte {})", cut.len())), "{text}");
}

/// Where a bzImage's payload begins here.
const PAYLOAD: usize = 4 * 512 + 0x40;

#[test]
fn damage_of_xz_is_refused_with_its_reason_and_place() {
    let bytes = sample(30_000);
    let (payload, size) = (xz(&bytes), bytes.len());
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = payload.clone();
        change(&mut payload);
        bzimage(&with_size(payload, size))
    };
    let complaint = |file: &[u8]| unpack(file, 4096).unwrap_err();
    assert!(complaint(&bzimage(&with_size(payload.clone(), size - 1))).what.contains("more than its last bytes say"));
    assert!(complaint(&bzimage(&with_size(payload.clone(), size + 1))).what.contains("less than its last bytes say"));
    for left in [0, 3, 6, 11, 13, 20, 24, 30, payload.len() / 2] {
        let complaint = complaint(&with(&|payload| payload.truncate(left)));
        let wanted = if left < 6 { "neither by gzip" } else { "cut off" };
        assert!(complaint.what.contains(wanted), "{left} bytes: {complaint}");
    }
    // The stream's flags, the block's header, a bit near the end, the checksum of the kernel itself.
    for (at, wanted) in [(7, "damaged header"), (14, "damaged header"), (payload.len() - 60, "damaged")] {
        let complaint = complaint(&with(&|payload| payload[at] ^= 0x10));
        assert!(complaint.what.contains(wanted), "byte {at}: {complaint}");
    }
    let half = payload.len() / 2;
    let middle = complaint(&with(&|payload| payload[half..half + 20].fill(0xaa)));
    assert!(middle.what.contains("damaged"));
    assert!(middle.at > PAYLOAD + half && middle.at < PAYLOAD + payload.len(), "{middle}");
    let other = |payload: Vec<u8>| complaint(&bzimage(&with_size(payload, size))).what;
    let unknown = "in a way that kernels are not";
    assert!(other(xz_as(&bytes, false, |options| options.set_check_sum_type(CheckType::Crc64))).contains(unknown));
    assert!(other(xz_as(&bytes, false, |options| options.prepend_pre_filter(FilterType::Delta, 4))).contains(unknown));
    assert!(other(xz_as(&bytes, false, |options| options.prepend_pre_filter(FilterType::BcjArm, 0))).contains(unknown));
}

#[test]
fn a_wrong_bit_is_never_taken_for_a_kernel() {
    let bytes = sample(3000);
    let payload = xz(&bytes);
    // Behind the block's checksum comes what nobody reads: an index of one record, and the stream's end.
    let block = payload.len() - 12 - 12;
    for at in 0..block {
        for bit in 0..8 {
            let mut payload = payload.clone();
            payload[at] ^= 1 << bit;
            let result = unpack(&bzimage(&with_size(payload, bytes.len())), 512);
            // What the packer leaves in the last byte of a chunk may not matter.
            assert!(result.is_err() || result.is_ok_and(|out| out == bytes), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn no_damage_does_more_than_be_refused_or_change_bytes() {
    let bytes = sample(3000);
    for payload in [lz4(&bytes, 1024), xz(&bytes)] {
        let whole = bzimage(&with_size(payload, bytes.len()));
        let start = whole.len() - 100;
        for at in (0x1f0..0x210).chain(0x240..0x250).chain(PAYLOAD - 0x40..start) {
            for value in [0, 1, 0x7f, 0xf0, 0xff] {
                let mut file = whole.clone();
                file[at] = value;
                if matches!(Packed::parse(&file), Ok(Some(_))) {
                    let _ = unpack(&file, 512);
                }
            }
        }
    }
}
