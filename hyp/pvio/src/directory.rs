//! Buffers of many pages, named by pages full of grants that form a list.
//!
//! The front end gives the grant of the first page of grants; each says where the next is. How many grants there are
//! follows from the buffer's size, so a list has an end whatever is in it. Source: `public/io/sndif.h` (`displif.h` has
//! the same).

use alloc::vec::Vec;
use core::fmt;
use core::iter;

use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, IntoBytes};

/// Grants in a page of them.
const PER_PAGE: usize = XEN_PAGE_SIZE / size_of::<u32>() - 1;

/// A page of grants.
pub type Page = [u8; XEN_PAGE_SIZE];

/// The list ends before all grants were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// How many are missing.
    pub missing: usize,
}

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a list of grants that ends {} grants too early", self.missing)
    }
}

/// Bytes of a page of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The guest's grant of the page.
    pub grant: u32,
    /// First byte.
    pub offset: usize,
    /// Bytes, at least 1.
    pub length: usize,
}

/// A buffer, as far as its grants are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    grants: Vec<u32>,
    size: usize,
    next: u32,
}

impl Buffer {
    /// A buffer of this many bytes whose list begins in the page with this grant.
    pub const fn new(size: u32, first: u32) -> Self {
        Self { grants: Vec::new(), size: size as usize, next: first }
    }

    /// Bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    fn missing(&self) -> usize {
        self.size.div_ceil(XEN_PAGE_SIZE) - self.grants.len()
    }

    /// The grant of the page of grants that is to be copied out next, for [`list`](Self::list); nothing when all are
    /// known.
    pub fn wanted(&self) -> Option<u32> {
        (self.missing() > 0).then_some(self.next)
    }

    /// Takes the grants out of a page.
    ///
    /// # Errors
    /// It is the last one, and others should follow.
    pub fn list(&mut self, page: &Page) -> Result<(), Short> {
        let mut words = page.chunks_exact(4).map(|word| u32::read_from_bytes(word).unwrap_or_default());
        self.next = words.next().unwrap_or_default();
        self.grants.extend(words.take(self.missing()));
        match self.missing() {
            0 => Ok(()),
            // It is a valid number, but no front end's: the console has it.
            missing if self.next == 0 => Err(Short { missing }),
            _ => Ok(()),
        }
    }

    /// The pages, when all are known.
    pub fn grants(&self) -> &[u32] {
        &self.grants
    }

    /// Where bytes of the buffer are: nothing if they are not all in it, or its pages are not known.
    pub fn pieces(&self, offset: usize, length: usize) -> Option<impl Iterator<Item = Piece>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size)?;
        let known = self.missing() == 0;
        let mut at = offset;
        known.then_some(iter::from_fn(move || {
            let (page, offset) = (at / XEN_PAGE_SIZE, at % XEN_PAGE_SIZE);
            let length = (end - at).min(XEN_PAGE_SIZE - offset);
            at += length;
            let grant = *self.grants.get(page).filter(|_| length > 0)?;
            Some(Piece { grant, offset, length })
        }))
    }
}

/// The pages of grants that a front end makes for the pages of its buffer; `own` are grants of these pages themselves,
/// one for each 1023 of the buffer's.
pub fn pages(grants: &[u32], own: &[u32]) -> Vec<Page> {
    let mut next = own.iter().skip(1);
    let page = |grants: &[u32]| {
        let mut page = [0; XEN_PAGE_SIZE];
        let words = iter::once(next.next().unwrap_or(&0)).chain(grants);
        page.chunks_exact_mut(4).zip(words).for_each(|(to, word)| to.copy_from_slice(word.as_bytes()));
        page
    };
    grants.chunks(PER_PAGE).map(page).collect()
}
