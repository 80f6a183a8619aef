//! Kernels packed for PCs: unpacked in steps of every size to what they were, and refused with the reason when anything is
//! wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use hyp_boot::bzimage::{Packed, Packing, Unpacker};

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
fn unpack(file: &[u8], budget: usize) -> Result<Vec<u8>, &'static str> {
    let packed = Packed::parse(file)?.expect("packed");
    let mut out = vec![0; (packed.size as usize).min(1 << 24)];
    let mut unpacker = Unpacker::new(&packed);
    for _ in 0..2 {
        // Twice, as for a restart.
        unpacker.start(&packed);
        let mut steps = 0;
        while !unpacker.step(&packed, file, &mut out, budget)? {
            steps += 1;
            assert!(steps <= file.len() / budget + out.len() / budget + 2, "a step without progress");
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
}

#[test]
fn what_is_not_packed_is_left_alone() {
    assert_eq!(Packed::parse(b"\x7fELF\x02\x01\x01"), Ok(None));
    assert_eq!(Packed::parse(&[]), Ok(None));
    assert_eq!(Packed::parse(&[0; 4096]), Ok(None));
}

#[test]
fn damage_is_refused_with_its_reason() {
    let bytes = sample(30_000);
    let (payload, size) = (lz4(&bytes, 8192), bytes.len());
    let whole = bzimage(&with_size(payload.clone(), size));
    let complaint = |file: &[u8]| unpack(file, 4096).unwrap_err();
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
}

#[test]
fn no_damage_does_more_than_be_refused_or_change_bytes() {
    let bytes = sample(3000);
    let whole = bzimage(&with_size(lz4(&bytes, 1024), bytes.len()));
    let start = whole.len() - 100;
    for at in (0x1f0..0x210).chain(0x240..0x250).chain(4 * 512..start) {
        for value in [0, 1, 0x7f, 0xf0, 0xff] {
            let mut file = whole.clone();
            file[at] = value;
            if matches!(Packed::parse(&file), Ok(Some(_))) {
                let _ = unpack(&file, 512);
            }
        }
    }
}
