//! Pages of other guests, mapped by their grants.
//!
//! They appear at guest addresses where nothing else is, from [`BASE`] on, which the identity map shows as memory. A
//! [`Mapping`] owns its pages: when the last holder lets go of it, they are unmapped, and the guest gets its grants back.

use alloc::vec::Vec;
use core::fmt;

use spin::mutex::SpinMutex;
use xen_abi::errno::Errno;
use xen_abi::grant_table::{GNTMAP_HOST_MAP, GNTMAP_READONLY, GNTST_OKAY};

use crate::cpu::Relax;
use crate::grants::{self, PAGE};
use crate::window::Window;

/// Where pages of others appear: behind any RAM that a guest with devices has.
const BASE: u64 = 0x8000_0000;
/// So many at most.
const PAGES: usize = 1024;

/// Which places are in use, a bit each.
static USED: SpinMutex<[u64; PAGES / 64], Relax> = SpinMutex::new([0; PAGES / 64]);

/// Why pages cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// There is no place for so many in a row.
    Full,
    /// The hypervisor does not know the operation, or us.
    Refused(Errno),
    /// It refuses this grant, with that status (`GNTST_*`).
    Grant(u32, i16),
}

impl fmt::Display for MapError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(out, "no place for more pages of others"),
            Self::Refused(error) => write!(out, "mapping a grant: {error:?}"),
            Self::Grant(reference, status) => write!(out, "grant {reference} cannot be mapped: status {status}"),
        }
    }
}

/// Pages of another guest, in a row.
#[derive(Debug)]
pub struct Mapping {
    first: usize,
    handles: Vec<u32>,
}

impl Mapping {
    /// Maps these grants of a guest in this order.
    ///
    /// # Errors
    /// One of them cannot be mapped; none is, then.
    pub fn new(domain: u16, references: &[u32], read_only: bool) -> Result<Self, MapError> {
        let first = reserve(references.len()).ok_or(MapError::Full)?;
        let mut mapping = Self { first, handles: Vec::with_capacity(references.len()) };
        let flags = if read_only { GNTMAP_HOST_MAP | GNTMAP_READONLY } else { GNTMAP_HOST_MAP };
        for (number, reference) in references.iter().enumerate() {
            let mapped = grants::map(domain, *reference, mapping.address(number), flags);
            let error = match mapped {
                Ok(answer) if answer.status == GNTST_OKAY => {
                    mapping.handles.push(answer.handle);
                    continue;
                }
                Ok(answer) => MapError::Grant(*reference, answer.status),
                Err(error) => MapError::Refused(error),
            };
            release(first + number, references.len() - number);
            return Err(error);
        }
        Ok(mapping)
    }

    fn address(&self, page: usize) -> u64 {
        BASE + ((self.first + page) * PAGE) as u64
    }

    /// The pages' memory. Not to be used after the mapping is gone, which whoever holds both sees to; then it leads to
    /// nothing, or to another mapping.
    pub fn window(&self) -> Window {
        Window::new(self.address(0) as usize, self.handles.len() * PAGE)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        for (number, handle) in self.handles.iter().enumerate() {
            // It was mapped there; an error would mean that it is not any more.
            let _ = grants::unmap(*handle, self.address(number));
        }
        release(self.first, self.handles.len());
    }
}

/// Places in a row.
fn reserve(count: usize) -> Option<usize> {
    let mut used = USED.lock();
    let is_free = |used: &[u64], at: usize| used.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 0);
    let mut first = 0;
    for at in 0..PAGES {
        if !is_free(&*used, at) {
            first = at + 1;
        } else if at + 1 - first == count {
            (first..=at).for_each(|at| used[at / 64] |= 1 << (at % 64));
            return Some(first);
        }
    }
    None
}

fn release(first: usize, count: usize) {
    let mut used = USED.lock();
    for at in first..first + count {
        if let Some(word) = used.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}
