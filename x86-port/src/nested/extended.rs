//! The bits of an entry of Intel's extended page tables.
//!
//! Four levels (Intel SDM 3C, 28.3.2). Three of the bits that are left to software say what is allowed, because a page that
//! may be written but not read is an error of the tables, not of the guest.

use hyp_core::memory::radix::{Access, Attributes, Entry, Format, MemoryType};

pub(super) const READ: u64 = 1;
pub(super) const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;
const RIGHTS: u64 = READ | WRITE | EXECUTE;
/// Memory type: write-back; uncached is 0.
const WRITE_BACK: u64 = 6 << 3;
const BLOCK: u64 = 1 << 7;
/// Software's: this is a leaf, and what is allowed ([`Access`]).
pub(super) const LEAF: u64 = 1 << 52;
const ALLOWED_SHIFT: u32 = 53;
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Intel's encoding, as [`hyp_core::memory::radix::Radix`] wants it.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedFormat;

impl Format for ExtendedFormat {
    const TOP: u8 = 3;
    const LARGEST_LEAF: u8 = 1;
    const ADDRESS_BITS: u32 = 48;
    const OUTPUT_BITS: u32 = 52;

    fn decode(raw: u64, height: u8) -> Entry {
        if raw & LEAF != 0 {
            let access = Access::from_bits_truncate((raw >> ALLOWED_SHIFT) as u8);
            let memory = if raw & WRITE_BACK == WRITE_BACK { MemoryType::Normal } else { MemoryType::Device };
            return Entry::Leaf { pa: raw & ADDRESS, attributes: Attributes { access, memory } };
        }
        Self::table(raw, height).map_or(Entry::Empty, Entry::Table)
    }

    #[inline(always)]
    fn table(raw: u64, height: u8) -> Option<u64> {
        (raw & RIGHTS != 0 && raw & LEAF == 0 && height > 0).then_some(raw & ADDRESS)
    }

    fn encode_table(pa: u64) -> u64 {
        (pa & ADDRESS) | RIGHTS
    }

    fn encode_leaf(pa: u64, height: u8, attributes: Attributes) -> u64 {
        let access = attributes.access;
        let block = if height == 0 { 0 } else { BLOCK };
        let memory = if attributes.memory == MemoryType::Normal { WRITE_BACK } else { 0 };
        // What may not be read may not be touched.
        let rights = if access.contains(Access::READ) { u64::from(access.bits()) } else { 0 };
        (pa & ADDRESS) | rights | block | memory | u64::from(access.bits()) << ALLOWED_SHIFT | LEAF
    }
}

const _: () = assert!(Access::READ.bits() as u64 == READ && Access::WRITE.bits() as u64 == WRITE);
const _: () = assert!(Access::EXECUTE.bits() as u64 == EXECUTE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_has_the_bits_of_the_manual() {
        let raw = ExtendedFormat::encode_leaf(0x8020_0000, 1, Attributes::RAM);
        assert_eq!(raw & (1 << 52) - 1, 0x8020_0000 | 0xb7);
        let raw = ExtendedFormat::encode_leaf(0x8020_1000, 0, Attributes::RAM);
        assert_eq!(raw & (1 << 52) - 1, 0x8020_1000 | 0x37);
        assert_eq!(ExtendedFormat::encode_table(0x1234_5000), 0x1234_5007);
    }

    #[test]
    fn leaves_decode_to_what_they_were_made_of_and_are_never_wrong() {
        for height in 0..=1 {
            for bits in 0..8 {
                for memory in [MemoryType::Normal, MemoryType::Device] {
                    let attributes = Attributes { access: Access::from_bits_truncate(bits), memory };
                    let raw = ExtendedFormat::encode_leaf(0x40_0000_0000, height, attributes);
                    assert_eq!(ExtendedFormat::decode(raw, height), Entry::Leaf { pa: 0x40_0000_0000, attributes });
                    assert_eq!(ExtendedFormat::table(raw, height), None);
                    assert!(raw & 7 != 2 && raw & 7 != 6, "written but not read is a misconfiguration");
                }
            }
        }
    }

    #[test]
    fn tables_and_nothing() {
        let table = ExtendedFormat::encode_table(0x1234_5000);
        assert_eq!(ExtendedFormat::decode(table, 3), Entry::Table(0x1234_5000));
        assert_eq!(ExtendedFormat::table(table, 0), None, "a page is no table");
        assert_eq!(ExtendedFormat::decode(0, 2), Entry::Empty);
    }
}
