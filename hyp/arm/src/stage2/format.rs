//! The bits of a stage-2 descriptor.
//!
//! 4 KiB granule, walk from level 1, 39 bits of guest-physical address: VTCR_EL2 must say T0SZ = 25, SL0 = 1, TG0 = 0.
//! A guest has at most two banks of RAM, both inside 512 GiB, so that the fourth level would only cost a read at each
//! miss. Source: Arm ARM D8.3.1 (descriptor formats), D8.4 (permissions), D8.6.6 (stage-2 memory types).

use hyp_core::memory::radix::{Access, Attributes, Entry, Format, MemoryType, span};

/// Bits of a guest-physical address; T0SZ is 64 minus this.
pub const ADDRESS_BITS: u32 = 39;

/// Bit 0: the descriptor means something.
const VALID: u64 = 1;
/// Bit 1: a table at level 1 and 2, a page at level 3; clear for a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// MemAttr, bits 5:2.
const MEM_ATTR: u64 = 0b1111 << 2;
/// MemAttr: normal, inner and outer write-back.
const NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
/// MemAttr: device, no gathering, no reordering, early acknowledgement.
const DEVICE_NGNRE: u64 = 0b0001 << 2;
/// S2AP, bit 6: readable.
const READ: u64 = 1 << 6;
/// S2AP, bit 7: writable.
const WRITE: u64 = 1 << 7;
/// SH, bits 9:8: inner shareable.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// AF, bit 10: without it the first access faults.
const ACCESSED: u64 = 1 << 10;
/// XN, bits 54:53 = 0b10: never executed at EL1 or EL0.
const EXECUTE_NEVER: u64 = 1 << 54;
/// Output address, bits 47:12.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// ARM's stage 2, as [`hyp_core::memory::radix::Radix`] wants it.
#[derive(Clone, Copy, Debug)]
pub struct Stage2Format;

impl Format for Stage2Format {
    const TOP: u8 = 2;
    const LARGEST_LEAF: u8 = 2;
    const ADDRESS_BITS: u32 = ADDRESS_BITS;
    const OUTPUT_BITS: u32 = 48;

    fn decode(raw: u64, height: u8) -> Entry {
        let leaf = || Entry::Leaf { pa: raw & ADDRESS & !(span(height) - 1), attributes: attributes(raw) };
        match (raw & VALID != 0, raw & TABLE_OR_PAGE != 0, height) {
            (true, true, 0) => leaf(),
            (true, true, _) => Entry::Table(raw & ADDRESS),
            (true, false, 1..=Self::LARGEST_LEAF) => leaf(),
            _ => Entry::Empty,
        }
    }

    #[inline(always)]
    fn table(raw: u64, height: u8) -> Option<u64> {
        (raw & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE && height > 0).then_some(raw & ADDRESS)
    }

    #[inline(always)]
    fn leaf(raw: u64, height: u8) -> Option<u64> {
        let kind = if height == 0 { VALID | TABLE_OR_PAGE } else { VALID };
        (raw & (VALID | TABLE_OR_PAGE) == kind).then_some(raw & ADDRESS & !(span(height) - 1))
    }

    fn encode_table(pa: u64) -> u64 {
        (pa & ADDRESS) | TABLE_OR_PAGE | VALID
    }

    #[inline(always)]
    fn encode_leaf(pa: u64, height: u8, attributes: Attributes) -> u64 {
        let page = if height == 0 { TABLE_OR_PAGE } else { 0 };
        let memory = match attributes.memory {
            MemoryType::Normal => NORMAL_WRITE_BACK | INNER_SHAREABLE,
            MemoryType::Device => DEVICE_NGNRE,
        };
        let read = if attributes.access.contains(Access::READ) { READ } else { 0 };
        let write = if attributes.access.contains(Access::WRITE) { WRITE } else { 0 };
        let execute = if attributes.access.contains(Access::EXECUTE) { 0 } else { EXECUTE_NEVER };
        (pa & ADDRESS) | page | memory | read | write | execute | ACCESSED | VALID
    }
}

/// What a leaf's bits allow.
fn attributes(raw: u64) -> Attributes {
    let mut access = Access::empty();
    access.set(Access::READ, raw & READ != 0);
    access.set(Access::WRITE, raw & WRITE != 0);
    access.set(Access::EXECUTE, raw & EXECUTE_NEVER == 0);
    let memory = if raw & MEM_ATTR == NORMAL_WRITE_BACK { MemoryType::Normal } else { MemoryType::Device };
    Attributes { access, memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_block_has_the_bits_of_the_manual() {
        let raw = Stage2Format::encode_leaf(0x8000_0000, 2, Attributes::RAM);
        assert_eq!(raw, 0x8000_0000 | 0x7fd);
        assert_eq!(Stage2Format::encode_leaf(0x8000_1000, 0, Attributes::RAM), 0x8000_1000 | 0x7ff);
    }

    #[test]
    fn leaves_decode_to_what_they_were_made_of() {
        for height in 0..=2 {
            for bits in 0..8 {
                for memory in [MemoryType::Normal, MemoryType::Device] {
                    let attributes = Attributes { access: Access::from_bits_truncate(bits), memory };
                    let raw = Stage2Format::encode_leaf(0x40_0000_0000, height, attributes);
                    assert_eq!(Stage2Format::decode(raw, height), Entry::Leaf { pa: 0x40_0000_0000, attributes });
                }
            }
        }
    }

    #[test]
    fn tables_and_reserved_bits() {
        let table = Stage2Format::encode_table(0x1234_5000);
        assert_eq!(Stage2Format::decode(table, 1), Entry::Table(0x1234_5000));
        assert_eq!(Stage2Format::decode(0, 2), Entry::Empty);
        assert_eq!(Stage2Format::decode(VALID, 0), Entry::Empty, "a block at level 3 is reserved");
        for (raw, height) in (0..8).flat_map(|raw| (0..3).map(move |height| (raw, height))) {
            let entry = Stage2Format::decode(raw, height);
            assert_eq!(Stage2Format::table(raw, height).is_some(), matches!(entry, Entry::Table(_)), "{raw} {height}");
            assert_eq!(
                Stage2Format::leaf(raw, height).is_some(),
                matches!(entry, Entry::Leaf { .. }),
                "{raw} {height}"
            );
        }
    }
}
