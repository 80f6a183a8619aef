//! The encoding that this machine's processor has: AMD's or Intel's.

use hyp_core::memory::radix::{Attributes, Entry, Format};

use super::extended::ExtendedFormat as Intel;
use super::format::NestedFormat as Amd;
use crate::guest_cpu::is_intel;

/// Either.
#[derive(Clone, Copy, Debug)]
pub struct ChosenFormat;

impl Format for ChosenFormat {
    const TOP: u8 = Amd::TOP;
    const LARGEST_LEAF: u8 = Amd::LARGEST_LEAF;
    const ADDRESS_BITS: u32 = Amd::ADDRESS_BITS;
    const OUTPUT_BITS: u32 = Amd::OUTPUT_BITS;

    fn decode(raw: u64, height: u8) -> Entry {
        if is_intel() { Intel::decode(raw, height) } else { Amd::decode(raw, height) }
    }

    #[inline(always)]
    fn table(raw: u64, height: u8) -> Option<u64> {
        if is_intel() { Intel::table(raw, height) } else { Amd::table(raw, height) }
    }

    fn encode_table(pa: u64) -> u64 {
        if is_intel() { Intel::encode_table(pa) } else { Amd::encode_table(pa) }
    }

    fn encode_leaf(pa: u64, height: u8, attributes: Attributes) -> u64 {
        if is_intel() { Intel::encode_leaf(pa, height, attributes) } else { Amd::encode_leaf(pa, height, attributes) }
    }
}

const _: () = assert!(Amd::TOP == Intel::TOP && Amd::LARGEST_LEAF == Intel::LARGEST_LEAF);
const _: () = assert!(Amd::ADDRESS_BITS == Intel::ADDRESS_BITS && Amd::OUTPUT_BITS == Intel::OUTPUT_BITS);
