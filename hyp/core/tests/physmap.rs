//! A guest's physical address space against a map of pages, on tables that remember.
//!
//! The pages here stand for the worst processor: what a guest could have translated stays in its TLB until it is told to
//! forget. After each operation nothing may be remembered that is no longer so, and every page must be where the model
//! says: at home, absent, or covered by a page that is not the guest's own.

#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use hyp_core::memory::physmap::{Home, Physmap, READ_ONLY, READ_WRITE};
use hyp_core::memory::pool::Pages;
use hyp_core::memory::radix::{Access, Attributes, ENTRIES, Entry, Error, Format, MemoryType, PAGE_SIZE, span};
use proptest::prelude::*;

/// ARM's three levels, with short bits.
struct Levels;

impl Format for Levels {
    const TOP: u8 = 2;
    const LARGEST_LEAF: u8 = 2;
    const ADDRESS_BITS: u32 = 39;
    const OUTPUT_BITS: u32 = 48;

    fn decode(raw: u64, _: u8) -> Entry {
        let pa = raw & !0xfff;
        let access = Access::from_bits_truncate((raw >> 2) as u8 & 7);
        match raw & 3 {
            1 => Entry::Table(pa),
            2 => Entry::Leaf { pa, attributes: Attributes { access, memory: MemoryType::Normal } },
            _ => Entry::Empty,
        }
    }

    fn encode_table(pa: u64) -> u64 {
        pa | 1
    }

    fn encode_leaf(pa: u64, _: u8, attributes: Attributes) -> u64 {
        pa | 2 | u64::from(attributes.access.bits()) << 2
    }
}

const START: u64 = 0x1000_0000;

/// Tables, and what a processor may remember: guest page to physical page.
struct Watched<'t> {
    words: Vec<[u64; ENTRIES]>,
    remembered: &'t RefCell<BTreeMap<u64, u64>>,
}

impl Pages for Watched<'_> {
    fn start(&self) -> u64 {
        START
    }

    fn read(&self, number: usize, index: usize) -> u64 {
        self.words[number][index]
    }

    fn write(&mut self, number: usize, index: usize, value: u64) {
        self.words[number][index] = value;
    }

    fn clear(&mut self, number: usize) {
        self.words[number] = [0; ENTRIES];
    }

    fn invalidate(&mut self, ipa: u64, len: u64) {
        self.remembered.borrow_mut().retain(|page, _| *page < ipa || *page >= ipa + len);
    }
}

/// The guest's RAM: a bank of three blocks, whose host memory is in two pieces; the second one is not aligned like a
/// block.
const RAM: u64 = 0x4000_0000;
const PIECES: [(u64, u64, u64); 2] =
    [(RAM, 0x8000_0000, 2 * span_of_block()), (RAM + 2 * span_of_block(), 0x9000_5000, span_of_block())];

const fn span_of_block() -> u64 {
    span(1)
}

fn home(ipa: u64) -> Option<Home> {
    PIECES.iter().find_map(|(guest, host, size)| {
        let offset = ipa.checked_sub(*guest).filter(|offset| offset < size)?;
        Some((host + offset, size - offset))
    })
}

/// What is at a guest page.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Home,
    Absent,
    /// Another page, and whether RAM is under it.
    Other(u64, Attributes, bool),
}

#[derive(Clone, Copy, Debug)]
enum Op {
    GiveUp(u64, u64),
    TakeBack(u64, u64),
    Put(u64, u64, bool),
    TakeAway(u64),
    Replace(u64),
}

struct Bench<'t> {
    map: Physmap<Levels, Watched<'t>>,
    remembered: &'t RefCell<BTreeMap<u64, u64>>,
    /// Pages that are not what they were at the start.
    model: BTreeMap<u64, Place>,
    tables: usize,
}

/// What may be touched: RAM's borders and middle, and a region without RAM.
fn addresses() -> impl Strategy<Value = u64> {
    let page = prop_oneof![0..4u64, 510..514u64, 1020..1030u64, 1534..1536u64];
    prop_oneof![
        6 => page.prop_map(|page| RAM + page * PAGE_SIZE),
        1 => (0..3u64).prop_map(|page| 0x3800_0000 + page * span_of_block()),
        1 => (0..3u64).prop_map(|page| 0x10_0000_0000 + page * PAGE_SIZE),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let len = prop_oneof![3 => Just(PAGE_SIZE), 1 => Just(span_of_block())];
    let other = (0..4u64).prop_map(|page| 0x5000_0000 + page * PAGE_SIZE);
    prop_oneof![
        3 => (addresses(), len.clone()).prop_map(|(ipa, len)| Op::GiveUp(ipa, len)),
        3 => (addresses(), len).prop_map(|(ipa, len)| Op::TakeBack(ipa, len)),
        2 => (addresses(), other, any::<bool>()).prop_map(|(ipa, pa, write)| Op::Put(ipa, pa, write)),
        2 => addresses().prop_map(Op::TakeAway),
        1 => addresses().prop_map(Op::Replace),
    ]
}

impl<'t> Bench<'t> {
    fn new(tables: usize, remembered: &'t RefCell<BTreeMap<u64, u64>>) -> Self {
        let mut map = Physmap::new(Watched { words: vec![[0; ENTRIES]; tables], remembered }, tables);
        for (guest, host, size) in PIECES {
            map.settle(guest, host, size, Attributes::RAM).expect("there are tables for the start");
        }
        let tables = map.tables();
        Self { map, remembered, model: BTreeMap::new(), tables }
    }

    fn at(&self, ipa: u64) -> Place {
        let start = if home(ipa).is_some() { Place::Home } else { Place::Absent };
        self.model.get(&ipa).copied().unwrap_or(start)
    }

    fn set(&mut self, ipa: u64, len: u64, place: Place) {
        (ipa..ipa + len).step_by(PAGE_SIZE as usize).for_each(|page| _ = self.model.insert(page, place));
    }

    /// Does it, and says whether a table was missing.
    fn perform(&mut self, op: Op) -> bool {
        let before = |bench: &Self, ipa| bench.at(ipa);
        match op {
            Op::GiveUp(ipa, len) => {
                let Some(at_home) = home(ipa) else { return false };
                let place = before(self, ipa);
                match self.map.give_up(ipa, at_home, len) {
                    Ok(done) => {
                        assert!(done == PAGE_SIZE || done == len, "{done:#x}");
                        for page in (ipa..ipa + done).step_by(PAGE_SIZE as usize) {
                            assert_eq!(self.at(page), Place::Home);
                        }
                        self.set(ipa, done, Place::Absent);
                    }
                    Err(Error::OutOfTables) => return true,
                    Err(error) => assert_eq!((error, place == Place::Home), (Error::Overlap(ipa), false)),
                }
            }
            Op::TakeBack(ipa, len) => {
                let Some(at_home) = home(ipa) else { return false };
                let place = before(self, ipa);
                match self.map.take_back(ipa, at_home, len) {
                    Ok(done) => {
                        assert!(done == PAGE_SIZE || done == len, "{done:#x}");
                        for page in (ipa..ipa + done).step_by(PAGE_SIZE as usize) {
                            assert_eq!(self.at(page), Place::Absent);
                        }
                        self.set(ipa, done, Place::Home);
                    }
                    Err(Error::OutOfTables) => return true,
                    Err(error) => assert_eq!((error, place == Place::Absent), (Error::Overlap(ipa), false)),
                }
            }
            Op::Put(ipa, pa, write) => {
                let attributes = if write { READ_WRITE } else { READ_ONLY };
                let place = before(self, ipa);
                match self.map.put(ipa, home(ipa), pa, attributes) {
                    Ok(covers) => {
                        assert_eq!(place, if covers { Place::Home } else { Place::Absent });
                        self.set(ipa, PAGE_SIZE, Place::Other(pa, attributes, covers));
                    }
                    Err(Error::OutOfTables) => return true,
                    Err(error) => {
                        assert!(matches!((error, place), (Error::Overlap(_), Place::Other(..))), "{error:?} {place:?}");
                    }
                }
            }
            Op::TakeAway(ipa) => {
                let Place::Other(pa, _, covers) = self.at(ipa) else {
                    assert!(self.map.take_away(ipa, Some(0x77_7000), home(ipa), true).is_err());
                    assert!(self.map.take_away(ipa, None, home(ipa), true).is_err());
                    return false;
                };
                assert!(self.map.take_away(ipa, Some(pa ^ PAGE_SIZE), home(ipa), covers).is_err(), "another page");
                let pa = Some(pa).filter(|pa| pa.is_multiple_of(2 * PAGE_SIZE));
                assert_eq!(self.map.take_away(ipa, pa, home(ipa), covers), Ok(()), "its table is there");
                self.set(ipa, PAGE_SIZE, if covers { Place::Home } else { Place::Absent });
            }
            Op::Replace(ipa) => {
                let Place::Other(_, _, covers) = self.at(ipa) else {
                    assert!(self.map.replace(ipa, home(ipa), 0x6000_0000).is_err());
                    return false;
                };
                assert_eq!(self.map.replace(ipa, home(ipa), 0x6000_0000), Ok(()), "its table is there");
                self.set(ipa, PAGE_SIZE, Place::Other(0x6000_0000, READ_WRITE, covers));
            }
        }
        false
    }

    /// Every page that was ever touched, and its neighbours; then the guest touches all of them.
    fn compare(&self) {
        let mut remembered = self.remembered.borrow_mut();
        let touched: Vec<u64> = self.model.keys().flat_map(|ipa| [ipa - PAGE_SIZE, *ipa, ipa + PAGE_SIZE]).collect();
        for ipa in touched {
            let found = self.map.translate(ipa).map(|now| (now.pa, now.attributes));
            let expected = match self.at(ipa) {
                Place::Home => home(ipa).map(|home| (home.0, Attributes::RAM)),
                Place::Absent => None,
                Place::Other(pa, attributes, _) => Some((pa, attributes)),
            };
            assert_eq!(found, expected, "at {ipa:#x}");
            let now = found.map(|(pa, _)| pa);
            let before = remembered.get(&ipa).copied();
            assert!(before.is_none() || before == now, "a processor still knows {ipa:#x} as {before:x?}, not {now:x?}");
            now.map(|pa| remembered.insert(ipa, pa));
        }
        let given_up = |place: &Place| matches!(place, Place::Absent | Place::Other(.., false));
        let absent = self.model.iter().filter(|(ipa, place)| home(**ipa).is_some() && given_up(place));
        assert_eq!(self.map.absent(), absent.count() as u64);
    }

    /// What a restart of the domain does.
    fn restart(&mut self) {
        let others: Vec<u64> = self.model.keys().copied().collect();
        others.into_iter().for_each(|ipa| _ = self.perform(Op::TakeAway(ipa)));
        for (guest, host, size) in PIECES {
            let mut done = 0;
            while done < size {
                done += self.map.restore(guest + done, host + done, size - done, 100);
            }
        }
        let mut from = 1;
        while let Some(next) = self.map.tidy(from) {
            from = next;
        }
        self.model.clear();
        assert_eq!((self.map.absent(), self.map.has_changed(), self.map.tables()), (0, false, self.tables));
        for (guest, host, size) in PIECES {
            for offset in [0, PAGE_SIZE, size / 2, size - PAGE_SIZE] {
                let found = self.map.translate(guest + offset).map(|now| (now.pa, now.attributes));
                assert_eq!(found, Some((host + offset, Attributes::RAM)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_map_follows_the_model(ops in prop::collection::vec(ops(), 1..60), tables in 4..9usize) {
        let remembered = RefCell::default();
        let mut bench = Bench::new(tables, &remembered);
        for op in ops {
            // Four spare tables are enough for all that is touched here; fewer may have to say no.
            let missing = bench.perform(op);
            assert!(!missing || tables < 10, "{op:?}");
            bench.compare();
        }
        bench.restart();
    }
}

#[test]
fn a_guest_that_gives_up_all_page_by_page_and_takes_it_back_needs_one_table() {
    let remembered = RefCell::default();
    // Root, level 2, the unaligned block, and one to spare.
    let mut bench = Bench::new(4, &remembered);
    for page in 0..2 * ENTRIES as u64 {
        assert!(!bench.perform(Op::GiveUp(RAM + page * PAGE_SIZE, PAGE_SIZE)), "page {page}");
    }
    bench.compare();
    for page in 0..2 * ENTRIES as u64 {
        assert!(!bench.perform(Op::TakeBack(RAM + page * PAGE_SIZE, PAGE_SIZE)), "page {page}");
    }
    bench.compare();
    assert_eq!(bench.map.absent(), 0);
}

#[test]
fn an_empty_pool_says_so_and_changes_nothing() {
    let remembered = RefCell::default();
    let mut bench = Bench::new(4, &remembered);
    assert!(!bench.perform(Op::GiveUp(RAM, PAGE_SIZE)));
    assert!(bench.perform(Op::GiveUp(RAM + span_of_block(), PAGE_SIZE)), "no second table to split a second block");
    let behind = RAM + 3 * span_of_block();
    assert!(bench.perform(Op::Put(behind, 0x5000_0000, true)));
    bench.compare();
    assert!(!bench.perform(Op::GiveUp(RAM + span_of_block(), span_of_block())), "a whole block needs none");
    assert!(!bench.perform(Op::TakeBack(RAM, PAGE_SIZE)));
    assert!(!bench.perform(Op::Put(behind, 0x5000_0000, true)), "the first block is whole again: its table is back");
    bench.compare();
}
