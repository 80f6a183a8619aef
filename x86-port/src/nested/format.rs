//! The bits of an entry of AMD's nested page tables.
//!
//! They are those of long mode (AMD APM volume 2, 5.3), four levels; a guest's accesses count as a user's (15.25.5). Three
//! of the bits that are left to software say what is allowed, so that a page without any access is told from nothing.

use hyp_core::memory::radix::{Access, Attributes, Entry, Format, MemoryType};

pub(super) const PRESENT: u64 = 1;
pub(super) const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Uncached, by both of the bits that choose from the page attribute table.
const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// Accessed and dirty, so that the processor need not set them.
const USED: u64 = 1 << 5 | 1 << 6;
/// A block instead of a table.
const BLOCK: u64 = 1 << 7;
/// Software's: what is allowed ([`Access`]), and that this is a leaf.
const ALLOWED_SHIFT: u32 = 9;
pub(super) const LEAF: u64 = 1 << 52;
const EXECUTE_NEVER: u64 = 1 << 63;
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// AMD's encoding, as [`hyp_core::memory::radix::Radix`] wants it.
#[derive(Clone, Copy, Debug)]
pub struct NestedFormat;

impl Format for NestedFormat {
    const TOP: u8 = 3;
    /// 2 MiB, which every processor with nested paging has.
    const LARGEST_LEAF: u8 = 1;
    const ADDRESS_BITS: u32 = 48;
    const OUTPUT_BITS: u32 = 52;

    fn decode(raw: u64, height: u8) -> Entry {
        if raw & LEAF != 0 {
            return Entry::Leaf { pa: raw & ADDRESS, attributes: attributes(raw) };
        }
        Self::table(raw, height).map_or(Entry::Empty, Entry::Table)
    }

    #[inline(always)]
    fn table(raw: u64, height: u8) -> Option<u64> {
        (raw & (PRESENT | LEAF) == PRESENT && height > 0).then_some(raw & ADDRESS)
    }

    fn encode_table(pa: u64) -> u64 {
        (pa & ADDRESS) | PRESENT | WRITABLE | USER | USED
    }

    fn encode_leaf(pa: u64, height: u8, attributes: Attributes) -> u64 {
        let has = |access: Access, bits: u64| if attributes.access.contains(access) { bits } else { 0 };
        let block = if height == 0 { 0 } else { BLOCK };
        let memory = if attributes.memory == MemoryType::Device { UNCACHED } else { 0 };
        let execute = EXECUTE_NEVER & !has(Access::EXECUTE, EXECUTE_NEVER);
        let allowed = u64::from(attributes.access.bits()) << ALLOWED_SHIFT;
        // No access is without reading here: what may only be written may not be touched.
        let rights = has(Access::READ, PRESENT) | has(Access::READ | Access::WRITE, WRITABLE);
        (pa & ADDRESS) | rights | USER | USED | block | memory | execute | allowed | LEAF
    }
}

/// What a leaf's bits say.
fn attributes(raw: u64) -> Attributes {
    let access = Access::from_bits_truncate((raw >> ALLOWED_SHIFT) as u8);
    let memory = if raw & UNCACHED == UNCACHED { MemoryType::Device } else { MemoryType::Normal };
    Attributes { access, memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_has_the_bits_of_the_manual() {
        let raw = NestedFormat::encode_leaf(0x8020_0000, 1, Attributes::RAM);
        assert_eq!(raw & !(LEAF | 7 << ALLOWED_SHIFT), 0x8020_0000 | 0xe7);
        let raw = NestedFormat::encode_leaf(0x8020_1000, 0, Attributes::RAM);
        assert_eq!(raw & !(LEAF | 7 << ALLOWED_SHIFT), 0x8020_1000 | 0x67);
        assert_eq!(NestedFormat::encode_leaf(0, 0, Attributes::DEVICE) >> 63, 1, "devices hold no code");
    }

    #[test]
    fn leaves_decode_to_what_they_were_made_of() {
        for height in 0..=1 {
            for bits in 0..8 {
                for memory in [MemoryType::Normal, MemoryType::Device] {
                    let attributes = Attributes { access: Access::from_bits_truncate(bits), memory };
                    let raw = NestedFormat::encode_leaf(0x40_0000_0000, height, attributes);
                    assert_eq!(NestedFormat::decode(raw, height), Entry::Leaf { pa: 0x40_0000_0000, attributes });
                    assert_eq!(NestedFormat::table(raw, height), None);
                    assert_eq!(raw & PRESENT != 0, bits & 1 != 0, "what may not be read is not there");
                    assert_eq!(raw & WRITABLE != 0, bits & 3 == 3);
                }
            }
        }
    }

    #[test]
    fn tables_and_nothing() {
        let table = NestedFormat::encode_table(0x1234_5000);
        assert_eq!(NestedFormat::decode(table, 3), Entry::Table(0x1234_5000));
        assert_eq!(NestedFormat::table(table, 0), None, "a page is no table");
        assert_eq!(NestedFormat::decode(0, 2), Entry::Empty);
    }
}
