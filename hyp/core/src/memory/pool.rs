//! The pages that hold one domain's second-stage tables.
//!
//! A domain has a fixed number of them and no other domain pays for it. So that a table which is not needed any more can
//! be found without a walk, the pool keeps for each how many entries are in use, and which entry leads to it: an empty
//! table can be taken away, and a full one may be worth a look ([`super::radix::Radix::fold`]). A walk that looks for an
//! empty table asks for the count instead of reading 512 entries, which is what makes giving up a page cheap.

use core::marker::PhantomData;

use super::radix::{ENTRIES, Entry, Format, PAGE_SIZE, Tables, span};

/// Most pages of a pool.
pub const MAX_TABLES: usize = 48;

/// Where the pages are. They lie in a row; what is given as number is below [`MAX_TABLES`] and the count that the pool
/// was made with.
pub trait Pages {
    /// Physical address of the first.
    fn start(&self) -> u64;
    /// Reads a word of a page.
    fn read(&self, number: usize, index: usize) -> u64;
    /// Writes a word, so that the processor's table walk sees it after all earlier writes.
    fn write(&mut self, number: usize, index: usize, value: u64);
    /// Zeroes a page to which no entry leads.
    fn clear(&mut self, number: usize);
    /// Makes every CPU forget what it knows about this guest-physical range. Done when it returns.
    fn invalidate(&mut self, ipa: u64, len: u64);
}

/// What is known of one page.
#[derive(Clone, Copy)]
struct Account {
    /// Guest-physical address of the first byte that it spans, in pages.
    base: u32,
    /// Entries in use.
    live: u16,
    /// Height of its entries.
    height: u8,
    /// It holds a table.
    used: bool,
}

const UNUSED: Account = Account { base: 0, live: 0, height: 0, used: false };

/// A table that may be given back, as [`Pool::spare`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spare {
    /// Its number.
    pub number: usize,
    /// A guest-physical address that it spans.
    pub ipa: u64,
    /// Height of its entries.
    pub height: u8,
    /// All its entries are in use; else none is.
    pub full: bool,
}

/// One domain's pages; number 0 is the root.
pub struct Pool<F, P> {
    pages: P,
    count: usize,
    accounts: [Account; MAX_TABLES],
    format: PhantomData<F>,
}

impl<F: Format, P: Pages> Pool<F, P> {
    /// `count` pages, at least one, which hold anything; what exceeds [`MAX_TABLES`] stays unused.
    pub fn new(mut pages: P, count: usize) -> Self {
        pages.clear(0);
        let mut accounts = [UNUSED; MAX_TABLES];
        accounts[0] = Account { height: F::TOP, used: true, ..UNUSED };
        Self { pages, count: count.min(MAX_TABLES), accounts, format: PhantomData }
    }

    /// Physical address of the root.
    pub fn root(&self) -> u64 {
        self.pages.start()
    }

    /// How many tables there are, the root included.
    pub fn used(&self) -> usize {
        self.accounts.iter().filter(|account| account.used).count()
    }

    /// The first table from `from` on, the root not counted, that is empty or full.
    pub fn spare(&self, from: usize) -> Option<Spare> {
        let mut rest = self.accounts.iter().enumerate().skip(from.max(1));
        rest.find_map(|(number, account)| {
            let full = usize::from(account.live) == ENTRIES;
            let ipa = u64::from(account.base).wrapping_mul(PAGE_SIZE);
            (account.used && (full || account.live == 0)).then_some(Spare { number, ipa, height: account.height, full })
        })
    }

    fn number(&self, table: u64) -> usize {
        (table.wrapping_sub(self.pages.start()) / PAGE_SIZE) as usize
    }

    /// Notes that an entry changed, and whom it leads to now.
    fn account(&mut self, number: usize, index: usize, old: u64, new: u64) {
        let Some(account) = self.accounts.get_mut(number) else { return };
        match (old == F::EMPTY, new == F::EMPTY) {
            (true, false) => account.live = account.live.saturating_add(1),
            (false, true) => account.live = account.live.saturating_sub(1),
            _ => {}
        }
        let Account { base, height, .. } = *account;
        if height > 0
            && let Entry::Table(table) = F::decode(new, height)
        {
            let offset = (index as u64).wrapping_mul(span(height)) / PAGE_SIZE;
            let child = self.number(table);
            if let Some(child) = self.accounts.get_mut(child) {
                *child = Account { base: base.wrapping_add(offset as u32), height: height.saturating_sub(1), ..*child };
            }
        }
    }
}

impl<F: Format, P: Pages> Tables for Pool<F, P> {
    fn read(&self, table: u64, index: usize) -> u64 {
        self.pages.read(self.number(table), index)
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) {
        let number = self.number(table);
        let old = self.pages.read(number, index);
        self.account(number, index, old, entry);
        self.pages.write(number, index, entry);
    }

    fn allocate(&mut self) -> Option<u64> {
        let mut free = self.accounts.iter_mut().take(self.count).enumerate();
        let (number, account) = free.find(|(_, account)| !account.used)?;
        *account = Account { used: true, ..UNUSED };
        self.pages.clear(number);
        Some(self.pages.start().wrapping_add(number as u64 * PAGE_SIZE))
    }

    fn free(&mut self, table: u64) {
        let number = self.number(table);
        if let Some(account) = self.accounts.get_mut(number) {
            *account = UNUSED;
        }
    }

    fn invalidate(&mut self, ipa: u64, len: u64) {
        self.pages.invalidate(ipa, len);
    }

    fn is_empty(&self, table: u64) -> bool {
        self.accounts.get(self.number(table)).is_some_and(|account| account.live == 0)
    }
}
