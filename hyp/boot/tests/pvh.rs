//! x86 kernels: what is read of an ELF file, and what the guest is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use hyp_boot::Region;
use hyp_boot::pvh::{Kernel, Segment, StartInfo};

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const HEADERS: u64 = 64;
const DATA: u64 = 0x200;

/// A 64-bit ELF file with these program headers (type, offset, address, bytes in file, bytes in memory) and Xen's note
/// with this entry at [`DATA`].
fn elf(headers: &[(u32, u64, u64, u64, u64)], entry: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    let mut put = |at: u64, bytes: &[u8]| file[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0, 1]);
    put(32, &HEADERS.to_le_bytes());
    put(52, &[64, 0, 56, 0, headers.len() as u8]);
    for (number, (kind, offset, address, bytes, memory)) in (0..).zip(headers) {
        let at = HEADERS + number * 56;
        put(at, &kind.to_le_bytes());
        for (field, value) in [(8, offset), (16, address), (24, address), (32, bytes), (40, memory), (48, &4)] {
            put(at + field, &value.to_le_bytes());
        }
    }
    put(DATA, &[4, 0, 0, 0, entry.len() as u8, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0]);
    put(DATA + 16, entry);
    file
}

fn note(entry: &[u8]) -> (u32, u64, u64, u64, u64) {
    (NOTE, DATA, 0, 16 + entry.len() as u64, 0)
}

const ENTRY: [u8; 4] = 0x10_0040u32.to_le_bytes();

#[test]
fn reads_segments_and_entry() {
    for entry in [&ENTRY[..], &0x10_0040u64.to_le_bytes()] {
        let file = elf(&[(LOAD, 0x300, 0x10_0000, 0x80, 0x1000), note(entry), (LOAD, 0, 0x20_0000, 0, 0)], entry);
        let kernel = Kernel::parse(&file).unwrap();
        assert_eq!(kernel.entry, 0x10_0040);
        let place = Region::new(0x10_0000, 0x1000);
        assert_eq!(kernel.segments.as_slice(), [Segment { offset: 0x300, file: 0x80, place }], "an empty one is none");
    }
}

#[test]
fn refuses_what_is_no_pvh_kernel_and_says_why() {
    let good = (LOAD, 0x300, 0x10_0000, 0x80, 0x1000);
    let cases = [
        (vec![0; 100], "neither an ELF file nor a bzImage"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "damaged"),
        (elf(&[good], &ENTRY), "no PVH entry"),
        (elf(&[note(&ENTRY)], &ENTRY), "outside of its segments"),
        (elf(&[(LOAD, 0x300, 0x20_0000, 0x80, 0x80), note(&ENTRY)], &ENTRY), "outside of its segments"),
        (elf(&[(LOAD, 0x390, 0x10_0000, 0x80, 0x1000), note(&ENTRY)], &ENTRY), "damaged"),
        (elf(&[(LOAD, 0x300, 0x10_0000, 0x80, 0x7f), note(&ENTRY)], &ENTRY), "damaged"),
        (elf(&[(LOAD, 0x300, u64::MAX - 0x80, 0x80, 0x1000), note(&ENTRY)], &ENTRY), "damaged"),
        (elf(&[good, note(&ENTRY[..3])], &ENTRY[..3]), "damaged"),
        (elf(&[good, note(&u64::MAX.to_le_bytes())], &u64::MAX.to_le_bytes()), "no PVH entry"),
        (elf(&[good, good, good, good, good], &ENTRY), "no PVH entry"),
    ];
    for (file, why) in cases {
        let error = Kernel::parse(&file).unwrap_err();
        assert!(error.contains(why), "{error} instead of {why}");
    }
}

#[test]
fn damaged_files_are_refused_or_read_but_never_more() {
    let whole = elf(&[(LOAD, 0x300, 0x10_0000, 0x80, 0x1000), note(&ENTRY)], &ENTRY);
    for at in 0..0x240 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut file = whole.clone();
            file[at] = value;
            if let Ok(kernel) = Kernel::parse(&file) {
                for segment in &kernel.segments {
                    assert!(segment.offset + segment.file <= file.len() as u64 && segment.file <= segment.place.size);
                }
            }
        }
        let _ = Kernel::parse(&whole[..at]);
    }
}

#[test]
fn tells_the_guest_where_everything_is() {
    let banks = [Region::new(0, 64 << 20), Region::new(4 << 30, 8 << 20)];
    let ramdisk = Some(Region::new(0x300_0000, 0x1234));
    let info = StartInfo { banks: &banks, bootargs: "mode=play", ramdisk, shared: None };
    let mut room = [0xaa; 4096];
    let used = info.write(&mut room, 0x8000).unwrap();
    let word = |at: usize| u32::from_le_bytes(room[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(room[at..at + 8].try_into().unwrap());
    let place = |at: usize| (long(at) - 0x8000) as usize;
    assert_eq!((word(0), word(4), word(8), word(12)), (0x336e_c578, 1, 0, 1));
    assert_eq!((long(place(16)), long(place(16) + 8)), (0x300_0000, 0x1234), "the module");
    assert_eq!(&room[place(24)..place(24) + 10], b"mode=play\0");
    assert_eq!(long(32), 0xe_0000, "ACPI's tables");
    let memory = |number: usize| {
        let at = place(40) + 24 * number;
        (long(at), long(at + 8), word(at + 16))
    };
    assert_eq!(word(48), 4);
    assert_eq!(
        [0, 1, 2, 3].map(memory),
        [(0, 0xa_0000, 1), (0xe_0000, 0x2_0000, 3), (0x10_0000, 63 << 20, 1), (4 << 30, 8 << 20, 1)],
        "RAM, tables, RAM, RAM"
    );
    assert!(used <= 4096 && room[used] == 0xaa);
    assert_eq!(info.write(&mut room[..used - 1], 0x8000), None, "a byte too few");
    let shared = Some(Region::new(0xfef0_0000, 0x2000));
    StartInfo { shared, ..info }.write(&mut room, 0x8000).unwrap();
    let word = |at: usize| u32::from_le_bytes(room[at..at + 4].try_into().unwrap());
    let last = word(40) as usize - 0x8000 + 24 * 4;
    assert_eq!((word(48), word(last), word(last + 8), word(last + 16)), (5, 0xfef0_0000, 0x2000, 2), "reserved");
}
