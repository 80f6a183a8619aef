//! The page-table walker against a naive model, on tables that watch every write.
//!
//! The watched tables stand for the worst processor allowed: it keeps every translation it ever could have seen until
//! it is told to forget it. A write that makes such a translation ambiguous is a failure, as is a table freed while
//! something may still lead to it, and a returned [`Invalidate`] that leaves anything behind.

#![allow(clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use hyp_core::memory::page::{Expected, NOWHERE};
use hyp_core::memory::radix::{
    Access, Attributes, ENTRIES, Entry, Error, Existing, Failure, Format, Invalidate, Mapping, MemoryType, PAGE_SIZE,
    Progress, Radix, Tables, Translation, span,
};
use proptest::prelude::*;

/// An encoding like ARM's stage 2 with three levels (`TOP` 2) or EPT with four (`TOP` 3).
struct Levels<const TOP: u8>;

impl<const TOP: u8> Format for Levels<TOP> {
    const TOP: u8 = TOP;
    const LARGEST_LEAF: u8 = 2;
    const ADDRESS_BITS: u32 = 21 + 9 * TOP as u32;
    const OUTPUT_BITS: u32 = 48;

    fn decode(raw: u64, height: u8) -> Entry {
        let pa = raw & !0xfff;
        match raw & 3 {
            1 => Entry::Table(pa),
            2 => {
                assert!(pa.is_multiple_of(span(height)), "leaf {raw:#x} is misaligned for height {height}");
                let memory = if raw & 0x20 == 0 { MemoryType::Normal } else { MemoryType::Device };
                let access = Access::from_bits_truncate((raw >> 2) as u8 & 7);
                Entry::Leaf { pa, attributes: Attributes { access, memory } }
            }
            _ => Entry::Empty,
        }
    }

    fn encode_table(pa: u64) -> u64 {
        pa | 1
    }

    fn encode_leaf(pa: u64, _height: u8, attributes: Attributes) -> u64 {
        let device = if attributes.memory == MemoryType::Device { 0x20 } else { 0 };
        pa | 2 | u64::from(attributes.access.bits()) << 2 | device
    }
}

const ROOT: u64 = 0x1000;

struct Watched<F> {
    tables: HashMap<u64, Vec<u64>>,
    /// Guest-physical base and entry height of each table that the root leads to.
    linked: HashMap<u64, (u64, u8)>,
    /// Ranges that a processor may still remember in an old form.
    stale: Vec<Range<u64>>,
    /// Where freed tables were, until they are freed.
    unlinked: HashMap<u64, Range<u64>>,
    next: u64,
    capacity: usize,
    writes: usize,
    /// The pool had to say no.
    refused: bool,
    format: std::marker::PhantomData<F>,
}

impl<F: Format> Watched<F> {
    fn new(capacity: usize) -> Self {
        Watched {
            tables: HashMap::from([(ROOT, vec![0; ENTRIES])]),
            linked: HashMap::from([(ROOT, (0, F::TOP))]),
            stale: Vec::new(),
            unlinked: HashMap::new(),
            next: ROOT + PAGE_SIZE,
            capacity,
            writes: 0,
            refused: false,
            format: std::marker::PhantomData,
        }
    }

    fn is_stale(&self, range: &Range<u64>) -> bool {
        self.stale.iter().any(|stale| stale.start < range.end && range.start < stale.end)
    }

    /// Every table is reachable, and none but the root is empty.
    fn check_accounts(&self) {
        assert_eq!(self.tables.len(), self.linked.len(), "a table is lost");
        for (table, entries) in &self.tables {
            assert!(*table == ROOT || entries.iter().any(|entry| *entry != 0), "table {table:#x} is kept empty");
        }
    }
}

impl<F: Format> Tables for Watched<F> {
    fn read(&self, table: u64, index: usize) -> u64 {
        self.tables[&table][index]
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) {
        self.writes += 1;
        let slot = &mut self.tables.get_mut(&table).expect("a write to a page that is no table")[index];
        let old = std::mem::replace(slot, entry);
        let Some(&(base, height)) = self.linked.get(&table) else { return };
        let start = base + index as u64 * span(height);
        let range = start..start + span(height);
        match (F::decode(old, height), F::decode(entry, height)) {
            (Entry::Empty, Entry::Empty) => {}
            (Entry::Empty, new) => {
                assert!(!self.is_stale(&range), "{range:x?} made before what was there is forgotten");
                if let Entry::Table(child) = new {
                    self.linked.insert(child, (start, height - 1));
                }
            }
            (Entry::Table(child), Entry::Empty) => {
                self.linked.remove(&child);
                self.unlinked.insert(child, range.clone());
                self.stale.push(range);
            }
            (Entry::Leaf { .. }, Entry::Empty) => self.stale.push(range),
            (Entry::Leaf { pa: a, attributes: x }, Entry::Leaf { pa: b, attributes: y }) => {
                assert!(a == b && x.memory == y.memory, "leaf at {range:x?} replaced without a break");
                self.stale.push(range);
            }
            (old, new) => panic!("{old:x?} at {range:x?} replaced by {new:x?} without a break"),
        }
    }

    fn allocate(&mut self) -> Option<u64> {
        if self.tables.len() > self.capacity {
            self.refused = true;
            return None;
        }
        let table = self.next;
        self.next += PAGE_SIZE;
        self.tables.insert(table, vec![0; ENTRIES]);
        Some(table)
    }

    fn free(&mut self, table: u64) {
        assert!(self.tables.remove(&table).is_some(), "{table:#x} freed twice");
        let range = self.unlinked.remove(&table).expect("a table freed while an entry leads to it");
        assert!(!self.is_stale(&range), "{table:#x} freed while a processor may walk it");
    }

    fn invalidate(&mut self, ipa: u64, len: u64) {
        self.stale.retain(|stale| stale.start < ipa || stale.end > ipa + len);
    }
}

/// What is mapped, as runs: from each key to the next, a distance from guest-physical to physical and attributes.
struct Model(BTreeMap<u64, Option<(u64, Attributes)>>);

type Run = Option<(u64, Attributes)>;

impl Model {
    fn at(&self, ipa: u64) -> Run {
        self.0.range(..=ipa).next_back().and_then(|(_, run)| *run)
    }

    fn cut(&mut self, range: &Range<u64>) {
        for at in [range.start, range.end] {
            let run = self.at(at);
            self.0.insert(at, run);
        }
    }

    fn change(&mut self, range: Range<u64>, f: impl Fn(Run) -> Run) {
        self.cut(&range);
        self.0.range_mut(range).for_each(|(_, run)| *run = f(*run));
    }

    fn any_mapped(&mut self, range: Range<u64>) -> bool {
        self.cut(&range);
        self.0.range(range).any(|(_, run)| run.is_some())
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Map(Mapping),
    Unmap(Range<u64>),
    Protect(Range<u64>, Access),
    /// One page, whether what is expected there is what is there, and what is to be there.
    SetPage(u64, bool, Option<(u64, Attributes)>),
    Fold(u64, u8),
}

struct Bench<F: Format> {
    tables: Watched<F>,
    tree: Radix<F>,
    model: Model,
}

impl<F: Format> Bench<F> {
    fn new(capacity: usize) -> Self {
        Bench { tables: Watched::new(capacity), tree: Radix::new(ROOT), model: Model(BTreeMap::from([(0, None)])) }
    }

    /// Invalidates as a caller must, and checks that this is enough.
    fn settle(&mut self, invalidate: Invalidate) {
        if let Invalidate::Range { start, end } = invalidate {
            self.tables.invalidate(start, end - start);
        }
        assert!(self.tables.stale.is_empty(), "{:x?} was not reported", self.tables.stale);
    }

    /// Does an operation to its end or to its error, a budget at a time.
    fn finish(
        &mut self,
        len: u64,
        budget: u32,
        call: impl Fn(&Radix<F>, &mut Watched<F>, u64) -> Result<Progress, Failure>,
    ) -> (u64, Option<Error>) {
        let mut done = 0;
        while done < len {
            let before = self.tables.writes;
            let (progress, error) = match call(&self.tree, &mut self.tables, done) {
                Ok(progress) => (progress, None),
                Err(failure) => (failure.progress, Some(failure.error)),
            };
            let work = self.tables.writes - before;
            assert!(work <= budget as usize * 3 * (ENTRIES + 3), "{work} writes for a budget of {budget}");
            self.settle(progress.invalidate);
            done += progress.done;
            if error.is_some() {
                return (done, error);
            }
            assert!(progress.done > 0, "no progress");
        }
        (done, None)
    }

    fn apply(&mut self, operation: &Operation, budget: u32) {
        let error = match operation {
            Operation::Map(m) => self.apply_map(m, budget),
            Operation::Unmap(range) => {
                let len = range.end - range.start;
                let (done, error) = self.finish(len, budget, |tree, tables, done| {
                    tree.unmap(tables, range.start + done, len - done, budget)
                });
                self.model.change(range.start..range.start + done, |_| None);
                error
            }
            Operation::Protect(range, access) => {
                let len = range.end - range.start;
                let (done, error) = self.finish(len, budget, |tree, tables, done| {
                    tree.protect(tables, range.start + done, len - done, *access, budget)
                });
                self.model.change(range.start..range.start + done, |run| {
                    run.map(|(distance, attributes)| (distance, Attributes { access: *access, ..attributes }))
                });
                error
            }
            Operation::SetPage(ipa, right, to) => self.apply_set_page(*ipa, *right, *to),
            Operation::Fold(ipa, height) => {
                let before = self.tables.tables.len();
                let folded = self.tree.fold(&mut self.tables, *ipa, *height);
                assert_eq!(before - self.tables.tables.len(), usize::from(folded));
                assert!(self.tables.stale.is_empty(), "{:x?} is stale after a fold", self.tables.stale);
                None
            }
        };
        let refused = std::mem::take(&mut self.tables.refused);
        assert_eq!(error == Some(Error::OutOfTables), refused, "{error:?}");
        self.tables.check_accounts();
        self.compare();
    }

    fn apply_map(&mut self, m: &Mapping, budget: u32) -> Option<Error> {
        let (done, error) = self.finish(m.len, budget, |tree, tables, done| {
            tree.map(tables, &Mapping { ipa: m.ipa + done, pa: m.pa + done, len: m.len - done, ..*m }, budget)
        });
        if m.existing == Existing::Refuse {
            assert!(!self.model.any_mapped(m.ipa..m.ipa + done), "mapped over something");
        }
        if let Some(Error::Overlap(at)) = error {
            assert_eq!((m.existing, at), (Existing::Refuse, m.ipa + done));
            assert!(self.model.at(at).is_some(), "{at:#x} was refused although it was free");
        }
        self.model.change(m.ipa..m.ipa + done, |_| Some((m.pa.wrapping_sub(m.ipa), m.attributes)));
        error
    }

    fn apply_set_page(&mut self, ipa: u64, right: bool, to: Option<(u64, Attributes)>) -> Option<Error> {
        let now = self.model.at(ipa).map(|(distance, _)| ipa.wrapping_add(distance));
        let from = if right { now.unwrap_or(NOWHERE) } else { now.map_or(0, |pa| pa ^ PAGE_SIZE) };
        let expected = match (right, now) {
            (true, Some(_)) if ipa.is_multiple_of(2 * PAGE_SIZE) => Expected::Other(0x77_7000),
            (true, None) if ipa.is_multiple_of(2 * PAGE_SIZE) => Expected::NothingOr(0x77_7000),
            _ => Expected::Is(from),
        };
        let leaf = to.map_or(F::EMPTY, |(pa, attributes)| F::encode_leaf(pa, 0, attributes));
        let result = loop {
            match self.tree.page_table(&self.tables, ipa) {
                Ok(table) => break Radix::<F>::set_page(&mut self.tables, (table, ipa), expected, leaf),
                Err(error) => assert_eq!(error, Error::NeedsTable),
            }
            match self.tree.prepare_page(&mut self.tables, ipa, expected, leaf) {
                Ok(true) => {}
                Ok(false) => break Ok(NOWHERE),
                Err(error) => break Err(error),
            }
        };
        assert!(self.tables.stale.is_empty(), "{:x?} is stale after a page was set", self.tables.stale);
        assert_eq!(!right, result == Err(Error::Overlap(ipa)), "{result:?}");
        self.tree.free_empty(&mut self.tables, ipa);
        if let Ok(before) = result {
            assert_eq!(before, now.unwrap_or(NOWHERE));
            let run = to.map(|(pa, attributes)| (pa.wrapping_sub(ipa), attributes));
            self.model.change(ipa..ipa + PAGE_SIZE, |_| run);
        }
        result.err()
    }

    /// Both sides of every border.
    fn compare(&self) {
        for border in self.model.0.keys() {
            for ipa in [border.saturating_sub(1), *border, border + 0x123] {
                let expected =
                    self.model.at(ipa).map(|(distance, attributes)| (ipa.wrapping_add(distance), attributes));
                let found = self.tree.translate(&self.tables, ipa).map(|t| (t.pa, t.attributes));
                assert_eq!(found, expected, "at {ipa:#x}");
            }
        }
    }
}

/// Starts and lengths that meet and miss block borders, within 4 GiB.
fn ranges() -> impl Strategy<Value = Range<u64>> {
    let start = (0..4u64, 0..4u64, prop_oneof![Just(0), Just(511), 0..512u64]);
    let len = (
        prop_oneof![4 => Just(0u64), 1 => Just(1)],
        prop_oneof![3 => Just(0u64), 2 => 1..4u64],
        prop_oneof![Just(0u64), Just(1), 1..600u64],
    );
    (start, len).prop_map(|((g, m, p), (lg, lm, lp))| {
        let start = g * span(2) + m * span(1) + p * span(0);
        start..start + (lg * span(2) + lm * span(1) + lp * span(0)).max(PAGE_SIZE)
    })
}

fn accesses() -> impl Strategy<Value = Access> {
    (0..8u8).prop_map(Access::from_bits_truncate)
}

fn operations() -> impl Strategy<Value = Operation> {
    let attributes = (accesses(), any::<bool>()).prop_map(|(access, device)| Attributes {
        access,
        memory: if device { MemoryType::Device } else { MemoryType::Normal },
    });
    let distance = prop_oneof![Just(0x40_0000_0000_u64), Just(0x40_0020_0000), Just(0x40_0000_3000)];
    let map = (ranges(), distance, attributes, any::<bool>()).prop_map(|(mut range, distance, attributes, replace)| {
        if !distance.is_multiple_of(span(1)) {
            // Single pages only: a whole GiB of them would take the test's time and show nothing more.
            range.end = range.end.min(range.start + span(1));
        }
        Operation::Map(Mapping {
            ipa: range.start,
            pa: range.start + distance,
            len: range.end - range.start,
            attributes,
            existing: if replace { Existing::Replace } else { Existing::Refuse },
        })
    });
    prop_oneof![
        3 => map,
        2 => ranges().prop_map(Operation::Unmap),
        1 => (ranges(), accesses()).prop_map(|(range, access)| Operation::Protect(range, access)),
        2 => (ranges(), prop::bool::weighted(0.8), prop::option::of(0..1024u64)).prop_map(|(range, right, to)| {
            Operation::SetPage(range.start, right, to.map(|page| (page * PAGE_SIZE, Attributes::RAM)))
        }),
        1 => (ranges(), 0..3u8).prop_map(|(range, height)| Operation::Fold(range.start, height)),
    ]
}

/// All operations, then everything unmapped: the pool must be whole again.
fn run<F: Format>(operations: &[(Operation, u32)], capacity: usize) {
    let mut bench = Bench::<F>::new(capacity);
    for (operation, budget) in operations {
        bench.apply(operation, *budget);
    }
    bench.apply(&Operation::Unmap(0..1 << F::ADDRESS_BITS), 100);
    assert_eq!(bench.tables.tables.len(), 1, "tables are left although nothing is mapped");
}

fn budgets() -> impl Strategy<Value = u32> {
    prop_oneof![1 => 1..8u32, 3 => Just(1000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_levels_follow_the_model(operations in prop::collection::vec((operations(), budgets()), 1..20)) {
        run::<Levels<2>>(&operations, usize::MAX);
    }

    #[test]
    fn four_levels_follow_the_model(operations in prop::collection::vec((operations(), budgets()), 1..20)) {
        run::<Levels<3>>(&operations, usize::MAX);
    }

    #[test]
    fn an_empty_pool_leaves_nothing_half_done(
        operations in prop::collection::vec((operations(), budgets()), 1..20),
        capacity in 1..8usize,
    ) {
        run::<Levels<3>>(&operations, capacity);
    }
}

fn ram(ipa: u64, pa: u64, len: u64) -> Mapping {
    Mapping { ipa, pa, len, attributes: Attributes::RAM, existing: Existing::Refuse }
}

#[test]
fn blocks_are_as_large_as_alignment_allows() {
    let mut bench = Bench::<Levels<2>>::new(usize::MAX);
    let start = span(2) - span(1) - PAGE_SIZE;
    bench.apply(&Operation::Map(ram(start, start, 2 * span(2))), u32::MAX);
    let height = |ipa| bench.tree.translate(&bench.tables, ipa).map(|t| t.height);
    assert_eq!(height(start), Some(0));
    assert_eq!(height(start + PAGE_SIZE), Some(1));
    assert_eq!(height(span(2)), Some(2));
    assert_eq!(height(2 * span(2)), Some(1));
    assert_eq!(height(start + 2 * span(2)), None);
}

#[test]
fn a_page_put_into_a_block_splits_it_and_nothing_else() {
    let mut bench = Bench::<Levels<2>>::new(usize::MAX);
    bench.apply(&Operation::Map(ram(0, 0, span(2))), u32::MAX);
    let shared = Mapping { existing: Existing::Replace, ..ram(5 * PAGE_SIZE, 0x77_7000, PAGE_SIZE) };
    bench.apply(&Operation::Map(shared), u32::MAX);
    assert_eq!(bench.tables.tables.len(), 3, "one table for each height below the block");
    let translate = |ipa| bench.tree.translate(&bench.tables, ipa);
    let page = Translation { pa: 0x77_7008, attributes: Attributes::RAM, height: 0 };
    assert_eq!(translate(5 * PAGE_SIZE + 8), Some(page));
    assert_eq!(translate(span(1)), Some(Translation { pa: span(1), attributes: Attributes::RAM, height: 1 }));
}

#[test]
fn a_page_that_goes_and_comes_back_leaves_a_block_again() {
    let mut bench = Bench::<Levels<2>>::new(usize::MAX);
    bench.apply(&Operation::Map(ram(0, span(2), span(1))), u32::MAX);
    bench.apply(&Operation::SetPage(7 * PAGE_SIZE, true, None), 0);
    assert_eq!(bench.tables.tables.len(), 3);
    bench.apply(&Operation::Fold(0, 0), 0);
    assert_eq!(bench.tables.tables.len(), 3, "a hole keeps the table");
    bench.apply(&Operation::SetPage(7 * PAGE_SIZE, true, Some((span(2) + 7 * PAGE_SIZE, Attributes::RAM))), 0);
    bench.apply(&Operation::Fold(0, 0), 0);
    assert_eq!(bench.tables.tables.len(), 2);
    assert_eq!(bench.tree.translate(&bench.tables, 0).map(|t| t.height), Some(1));
}

#[test]
fn bad_ranges_are_refused_untouched() {
    let mut bench = Bench::<Levels<2>>::new(usize::MAX);
    let mut refused = |mapping: Mapping, error| {
        let result = bench.tree.map(&mut bench.tables, &mapping, 1);
        assert_eq!(result, Err(Failure { error, progress: Progress::default() }));
    };
    refused(ram(1, 0, PAGE_SIZE), Error::Misaligned);
    refused(ram(0, 0x800, PAGE_SIZE), Error::Misaligned);
    refused(ram(0, 0, PAGE_SIZE - 1), Error::Misaligned);
    refused(ram(1 << 39, 0, PAGE_SIZE), Error::BeyondAddressWidth);
    refused(ram((1 << 39) - PAGE_SIZE, 0, 2 * PAGE_SIZE), Error::BeyondAddressWidth);
    refused(ram(0, 1 << 48, PAGE_SIZE), Error::BeyondAddressWidth);
    refused(ram(!0xfff, 0, PAGE_SIZE), Error::BeyondAddressWidth);
    assert_eq!(bench.tables.writes, 0);
    assert_eq!(bench.tree.translate(&bench.tables, u64::MAX), None);
}
