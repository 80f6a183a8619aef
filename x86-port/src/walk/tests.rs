use std::collections::HashMap;

use super::*;

/// Guest-physical memory of which only what was put there can be read.
#[derive(Default)]
struct Memory(HashMap<u64, u64>);

impl Memory {
    fn put(&mut self, entries: &[(u64, u64)]) {
        self.0.extend(entries.iter().copied());
    }

    fn translate(&self, paging: &Paging, address: u64, write: bool) -> Option<u64> {
        paging.translate(address, write, |at, _| self.0.get(&at).copied().ok_or(BadAddress)).ok()
    }
}

const RW: u64 = PRESENT | WRITABLE;
const RWU: u64 = RW | USER;

fn long() -> Paging {
    Paging { cr0: CR0_PG | CR0_WP, cr3: 0x1000, cr4: CR4_PAE, efer: EFER_LMA, user: false }
}

/// Page 0xffff_8000_0000_5000 leads to 0x9000, 2 MiB from 0x4000_0000 to 0x60_0000, 1 GiB from 0x8000_0000 to 0xc000_0000.
fn tables() -> Memory {
    let mut memory = Memory::default();
    memory.put(&[(0x1000 + 256 * 8, 0x2000 | RWU), (0x1000, 0x2000 | RWU)]);
    memory.put(&[(0x2000, 0x3000 | RWU), (0x2000 + 8, 0x3000 | RWU), (0x2000 + 16, 0xc000_0000 | BLOCK | RW)]);
    memory.put(&[(0x3000, 0x4000 | RWU | 1 << 63), (0x3000 + 8, 0)]);
    memory.put(&[
        (0x4000 + 5 * 8, 0x9000 | RWU | 1 << 63),
        (0x4000 + 6 * 8, 0xa000 | PRESENT),
        (0x4000 + 7 * 8, RWU & !1),
    ]);
    memory
}

#[test]
fn without_paging_addresses_are_physical() {
    let memory = Memory::default();
    assert_eq!(memory.translate(&Paging::default(), 0x1234, true), Some(0x1234));
    assert_eq!(memory.translate(&Paging::default(), 1 << 32, true), None);
}

#[test]
fn long_mode_pages_and_blocks() {
    let mut memory = tables();
    memory.put(&[(0x3000, 0x4000 | RWU | 1 << 63)]);
    assert_eq!(memory.translate(&long(), 0xffff_8000_0000_5123, true), Some(0x9123));
    assert_eq!(memory.translate(&long(), 0x8012_3456, true), Some(0xc012_3456));
    memory.put(&[(0x3000, 0x60_0000 | BLOCK | RWU)]);
    assert_eq!(memory.translate(&long(), 0x4012_3456, true), Some(0x72_3456));
}

#[test]
fn long_mode_refuses_what_the_processor_refuses() {
    let memory = tables();
    assert_eq!(memory.translate(&long(), 0x8000_0000_5000, false), None, "not canonical");
    assert_eq!(memory.translate(&long(), 0x7000, false), None, "not present");
    assert_eq!(memory.translate(&long(), 0x20_0000, false), None, "no table");
    assert_eq!(memory.translate(&long(), 0x1_0000_0000, false), None, "a table that is not in memory");
    let mut memory = tables();
    memory.put(&[(0x1000, 0x2000 | RWU | BLOCK)]);
    assert_eq!(memory.translate(&long(), 0x5000, false), None, "no block is as large");
}

#[test]
fn rights_are_those_of_all_levels_and_of_who_asks() {
    let mut memory = tables();
    let user = Paging { user: true, ..long() };
    assert_eq!(memory.translate(&long(), 0x6000, false), Some(0xa000));
    assert_eq!(memory.translate(&long(), 0x6000, true), None, "read-only");
    assert_eq!(memory.translate(&Paging { cr0: CR0_PG, ..long() }, 0x6000, true), Some(0xa000), "without protection");
    assert_eq!(memory.translate(&user, 0x5000, true), Some(0x9000));
    assert_eq!(memory.translate(&user, 0x6000, false), None, "not a user's");
    memory.put(&[(0x2000, 0x3000 | PRESENT | USER)]);
    assert_eq!(memory.translate(&long(), 0x5000, true), None, "read-only above");
    memory.put(&[(0x2000, 0x3000 | RW)]);
    assert_eq!(memory.translate(&user, 0x5000, false), None, "not a user's above");
}

#[test]
fn five_levels() {
    let mut memory = tables();
    memory.put(&[(0xb000, 0x1000 | RWU)]);
    let paging = Paging { cr3: 0xb000, cr4: CR4_PAE | CR4_LA57, ..long() };
    assert_eq!(memory.translate(&paging, 0x5000, true), Some(0x9000));
    assert_eq!(memory.translate(&paging, 0x8000_0000_5000, false), Some(0x9000), "canonical here");
}

#[test]
fn pae_roots_are_short_and_have_no_rights() {
    let mut memory = tables();
    memory.put(&[(0x1020, 0x3000 | PRESENT), (0x1028, 0x3000)]);
    let paging = Paging { cr3: 0x1020, efer: 0, ..long() };
    assert_eq!(memory.translate(&paging, 0x5008, true), Some(0x9008));
    assert_eq!(memory.translate(&paging, 0x4000_5008, true), None);
    assert_eq!(memory.translate(&paging, 1 << 32, false), None);
}

#[test]
fn two_levels_of_32_bits() {
    let mut memory = Memory::default();
    memory.put(&[(0x1000, 0x2000 | RW), (0x1004, 0x40_0000 | 3 << 13 | BLOCK | RW), (0x2000 + 5 * 4, 0x9000 | RW)]);
    let paging = Paging { cr0: CR0_PG, cr3: 0x1000, cr4: CR4_PSE, efer: 0, user: false };
    assert_eq!(memory.translate(&paging, 0x5004, true), Some(0x9004));
    assert_eq!(memory.translate(&paging, 0x40_0000 + 0x12_3456, true), Some(0x3_0052_3456));
}
