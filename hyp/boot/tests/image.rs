//! Kernel headers, and where kernel, device tree and ramdisk end up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{PLAYER, parse, with_chosen};
use hyp_boot::Region;
use hyp_boot::image::{Header, Layout, TREE_BYTES};

const MIB: u64 = 1 << 20;
const BANK: u64 = 0x4000_0000;

fn head(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut head = vec![0; 64];
    for (at, value) in [(8, text_offset), (16, image_size), (24, flags)] {
        head[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    head[56..60].copy_from_slice(b"ARMd");
    head
}

/// Places the player (a kernel file of 1 MiB), with or without a ramdisk of this size, in a bank of this size.
fn layout(head: &[u8], ramdisk: u64, bank: u64) -> Result<Layout, String> {
    let more = if ramdisk == 0 {
        String::new()
    } else {
        format!("player {{ rd {{ compatible = \"multiboot,ramdisk\"; reg = <0 0x50000000 0 {ramdisk}>; }}; }};")
    };
    let blob = with_chosen(&format!("{PLAYER} {more}"));
    let (_, manifest) = parse(&blob)?;
    Layout::make(&manifest.domains[0], head, MIB, Region::new(BANK, bank)).map_err(|error| error.to_string())
}

#[test]
fn reads_a_header() {
    let header = Header::parse(&head(0x8_0000, 0x123_0000, 0b1010)).unwrap();
    assert_eq!((header.text_offset, header.image_size, header.flags), (0x8_0000, 0x123_0000, 0b1010));
    assert_eq!(Header::parse(&head(0, 0, 0)).unwrap().text_offset, 0x8_0000, "before 3.17");
}

#[test]
fn places_a_kernel_alone() {
    let layout = layout(&head(0, 3 * MIB, 2), 0, 32 * MIB).unwrap();
    assert_eq!((layout.entry, layout.kernel), (BANK, Region::new(BANK, 3 * MIB)));
    assert_eq!(layout.tree, Region::new(BANK + 32 * MIB - TREE_BYTES, TREE_BYTES));
    assert_eq!(layout.ramdisk, None);
}

#[test]
fn places_a_ramdisk_2_mib_above_the_tree() {
    let layout = layout(&head(0x8_0000, 0, 0), 5 * MIB + 1, 64 * MIB).unwrap();
    assert_eq!(layout.entry, BANK + 0x8_0000);
    let ramdisk = layout.ramdisk.unwrap();
    assert_eq!(ramdisk, Region::new(BANK + 58 * MIB, 5 * MIB + 1));
    assert_eq!(layout.tree.start, ramdisk.start - 2 * MIB);
}

#[test]
fn stays_within_reach_of_old_kernels() {
    let layout = layout(&head(0, 3 * MIB, 2), 0, 3072 * MIB).unwrap();
    assert_eq!(layout.tree.end(), BANK + 512 * MIB);
}

#[test]
fn the_smallest_guests_fit() {
    layout(&head(0, MIB, 2), 0, 2 * MIB).unwrap();
    layout(&head(0, 2 * MIB, 2), 4096, 6 * MIB).unwrap();
}

#[test]
fn refuses_what_is_no_kernel() {
    let module = "/chosen/player/module@49000000";
    let cases = [
        (vec![0; 64], "is no arm64 Image (no magic number at byte 56): give an Image, as it is or packed by gzip"),
        (vec![0x1f; 20], "is shorter than the header of an arm64 Image: load all of it, and give its size in reg"),
        (head(0, MIB, 1), "is a big-endian arm64 Image: give a little-endian one"),
        (head(2 * MIB, MIB, 0), "is a damaged arm64 Image (text_offset is 2 MiB or more): make it again"),
    ];
    for (head, what) in cases {
        assert_eq!(layout(&head, 0, 32 * MIB).unwrap_err(), format!("{module} {what}"));
    }
}

#[test]
fn refuses_what_does_not_fit() {
    assert_eq!(
        layout(&head(0, 64 * MIB, 2), 0, 32 * MIB).unwrap_err(),
        "/chosen/player: a kernel of 64 MiB, a ramdisk of 0 MiB and the device tree do not fit into memory of 32 MiB: \
         give it more"
    );
    assert_eq!(
        layout(&head(0, MIB, 2), 31 * MIB, 32 * MIB).unwrap_err(),
        "/chosen/player: a kernel of 1 MiB, a ramdisk of 31 MiB and the device tree do not fit into memory of 32 MiB: \
         give it more"
    );
    // Numbers that would overflow.
    layout(&head(0, u64::MAX, 2), 0, 32 * MIB).unwrap_err();
}
