//! The pages that hold one domain's second-stage tables.
//!
//! A domain has a fixed number of them and no other domain pays for it. So that a table which is not needed any more can
//! be found without a walk, the pool keeps for each how many entries are in use, and which entry leads to it: an empty
//! table can be taken away, and a full one may be worth a look ([`super::radix::Radix::fold`]). A walk that looks for an
//! empty table asks for the count instead of reading 512 entries, which is what makes giving up a page cheap.

use core::marker::PhantomData;

use super::radix::{ENTRIES, Format, PAGE_SIZE, Tables, span};

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
    /// The same for a single page.
    #[inline(always)]
    fn invalidate_page(&mut self, ipa: u64) {
        self.invalidate(ipa, PAGE_SIZE);
    }
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
    /// Number of a table of single pages that was used last.
    noted: usize,
    format: PhantomData<F>,
}

impl<F: Format, P: Pages> Pool<F, P> {
    /// `count` pages, at least one, which hold anything; what exceeds [`MAX_TABLES`] stays unused.
    pub fn new(mut pages: P, count: usize) -> Self {
        pages.clear(0);
        let mut accounts = [UNUSED; MAX_TABLES];
        accounts[0] = Account { height: F::TOP, used: true, ..UNUSED };
        Self { pages, count: count.min(MAX_TABLES), accounts, noted: 0, format: PhantomData }
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

    /// The table that holds a page's entry, if it was noted last; `None` means only that it has to be looked for.
    #[inline(always)]
    pub fn noted(&self, ipa: u64) -> Option<u64> {
        // What the account says is so as long as an entry leads to the table, and while a new one is filled nobody asks.
        let Account { base, height, used, .. } = *self.accounts.get(self.noted)?;
        let spanned = ipa & !(span(1) - PAGE_SIZE) == u64::from(base).wrapping_mul(PAGE_SIZE);
        let here = used && height == 0 && spanned;
        here.then(|| self.pages.start().wrapping_add((self.noted as u64).wrapping_mul(PAGE_SIZE)))
    }

    /// Notes a table of single pages: a guest changes many pages of one after the other.
    pub fn note(&mut self, table: u64) {
        self.noted = self.number(table);
    }

    fn number(&self, table: u64) -> usize {
        (table.wrapping_sub(self.pages.start()) / PAGE_SIZE) as usize
    }

    /// Notes that an entry changed.
    #[inline(always)]
    fn count(&mut self, number: usize, old: u64, new: u64) {
        if let Some(account) = self.accounts.get_mut(number) {
            let (before, after) = (u16::from(old != F::EMPTY), u16::from(new != F::EMPTY));
            account.live = account.live.wrapping_add(after).wrapping_sub(before);
        }
    }

    /// Notes to which table an entry leads.
    fn link(&mut self, number: usize, index: usize, entry: u64) {
        let Some(Account { base, height, .. }) = self.accounts.get(number).copied() else { return };
        let Some(table) = F::table(entry, height) else { return };
        let offset = (index as u64).wrapping_mul(span(height)) / PAGE_SIZE;
        let child = self.number(table);
        if let Some(child) = self.accounts.get_mut(child) {
            *child = Account { base: base.wrapping_add(offset as u32), height: height.saturating_sub(1), ..*child };
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
        self.count(number, old, entry);
        self.link(number, index, entry);
        self.pages.write(number, index, entry);
    }

    #[inline(always)]
    fn write_page(&mut self, table: u64, index: usize, old: u64, entry: u64) {
        let number = self.number(table);
        self.count(number, old, entry);
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

    #[inline(always)]
    fn invalidate_page(&mut self, ipa: u64) {
        self.pages.invalidate_page(ipa);
    }

    fn is_empty(&self, table: u64) -> bool {
        self.accounts.get(self.number(table)).is_some_and(|account| account.live == 0)
    }
}
