//! The 2-level ABI: events as bits in pages.
//!
//! A pending bit for each port in the shared-info page, a selector bit for each word of those in the `vcpu_info` of the
//! vCPU that is notified, and there a byte that says whether anything is pending at all, which is the level of the
//! vCPU's event interrupt. The guest changes all of them at the same time, so each is one atomic operation. Layouts are
//! in [`xen_abi::shared_info`].

use core::sync::atomic::{AtomicU64, Ordering};

use xen_abi::shared_info::{EVTCHN_PENDING_SEL, VcpuTimeInfo};

use super::Port;
use crate::arch::{Arch, Page};
use crate::domain::Domain;
use crate::vcpu::Vcpu;

/// A vCPU whose `vcpu_info` is where the ABI puts it at first: in the shared-info page for the first ones, nowhere for
/// others.
pub const NOT_REGISTERED: u64 = u64::MAX;

const PAGE_BITS: u32 = 12;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;
const SELECTOR_WORD: usize = EVTCHN_PENDING_SEL / 8;
/// `evtchn_upcall_pending` is the first byte of the first word of a `vcpu_info`.
const UPCALL_BYTE: u64 = 0xff;

/// A vCPU's `vcpu_info`: the page, and the index of its first word.
#[derive(Clone, Copy)]
pub struct Info<'d> {
    page: &'d Page,
    word: usize,
}

fn fetch_set(page: &Page, word: usize, bit: u64) -> bool {
    page.get(word).is_none_or(|word| word.fetch_or(bit, Ordering::AcqRel) & bit != 0)
}

impl<'d> Info<'d> {
    /// Where a vCPU has its `vcpu_info`; `None` where it has none yet.
    #[inline(always)]
    pub fn of<A: Arch>(arch: &A, domain: &'d Domain<A>, vcpu: &Vcpu<A>) -> Option<Self> {
        match vcpu.info.load(Ordering::Acquire) {
            NOT_REGISTERED if usize::from(vcpu.index()) < A::SHARED_INFO.vcpus => {
                let word = usize::from(vcpu.index()).wrapping_mul(A::SHARED_INFO.vcpu_info / 8);
                Some(Self { page: arch.shared_info(domain.arch()), word })
            }
            NOT_REGISTERED => None,
            place => Self::at(arch, domain, place),
        }
    }

    #[inline(never)]
    fn at<A: Arch>(arch: &A, domain: &'d Domain<A>, place: u64) -> Option<Self> {
        let page = arch.guest_page(domain.arch(), place >> PAGE_BITS).ok()?;
        Some(Self { page, word: (place & PAGE_MASK) as usize / 8 })
    }

    /// Coded place of a `vcpu_info` at this offset of a guest frame; `None` where it would not fit or not be aligned.
    pub fn place<A: Arch>(frame: u64, offset: u32) -> Option<u64> {
        let end = u64::from(offset).checked_add(A::SHARED_INFO.vcpu_info as u64)?;
        let fits = end <= PAGE_MASK.wrapping_add(1) && offset.is_multiple_of(8) && frame >> (64 - PAGE_BITS) == 0;
        fits.then_some(frame << PAGE_BITS | u64::from(offset))
    }

    /// Level of the event interrupt: something is pending.
    #[inline(always)]
    pub fn is_pending(&self) -> bool {
        self.page.get(self.word).is_some_and(|word| word.load(Ordering::Acquire) & UPCALL_BYTE != 0)
    }

    /// Raises the event interrupt. Returns whether it was up already.
    pub fn mark(&self) -> bool {
        fetch_set(self.page, self.word, 1)
    }

    /// Selects a word of pending bits. Returns whether it was selected already.
    fn select(&self, word: usize) -> bool {
        fetch_set(self.page, self.word.saturating_add(SELECTOR_WORD), 1u64.checked_shl(word as u32).unwrap_or(0))
    }

    /// Writes the clock in it, where guests tell the time by one.
    pub(crate) fn publish_clock<A: Arch>(&self, arch: &A, domain: &Domain<A>, vcpu: &A::Vcpu) {
        let first = self.word.saturating_add(A::SHARED_INFO.time / 8);
        if let Some(record) = self.page.get(first..first.saturating_add(size_of::<VcpuTimeInfo>() / 8)) {
            arch.publish_clock(domain.arch(), vcpu, record);
        }
    }

    /// Selects nothing: no port is pending.
    pub fn clear_selector(&self) {
        if let Some(word) = self.page.get(self.word.saturating_add(SELECTOR_WORD)) {
            word.store(0, Ordering::Release);
        }
    }

    /// Takes over what was pending at another place, and selects everything, so that nothing is lost on the way.
    pub fn take_over(&self) {
        if let Some(word) = self.page.get(self.word.saturating_add(SELECTOR_WORD)) {
            word.store(u64::MAX, Ordering::Release);
        }
        self.mark();
    }
}

/// A port's bit: index of its word, and the bit in it.
const fn bit(port: Port) -> (usize, u64) {
    ((port / 64) as usize, 1 << (port % 64))
}

fn word(page: &Page, base: usize, index: usize) -> Option<&AtomicU64> {
    page.get(base.wrapping_add(index))
}

/// Is the port pending, masked or not?
pub fn is_pending<A: Arch>(shared: &Page, port: Port) -> bool {
    let (index, bit) = bit(port);
    word(shared, A::SHARED_INFO.pending / 8, index).is_some_and(|word| word.load(Ordering::Acquire) & bit != 0)
}

/// Is the port masked?
#[inline(always)]
pub fn is_masked<A: Arch>(shared: &Page, port: Port) -> bool {
    let (index, bit) = bit(port);
    word(shared, A::SHARED_INFO.mask / 8, index).is_some_and(|word| word.load(Ordering::Acquire) & bit != 0)
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was pending already.
    Merged,
    /// It is pending now, and that is all: the port is masked, or the vCPU knows already.
    Noted,
    /// It is pending now, and its vCPU must be told.
    Raised,
}

/// Sets a port's pending bit. Returns whether it was clear.
#[inline(always)]
pub fn mark<A: Arch>(shared: &Page, port: Port) -> bool {
    let (index, bit) = bit(port);
    !fetch_set(shared, (A::SHARED_INFO.pending / 8).wrapping_add(index), bit)
}

/// Makes a port pending.
pub fn set_pending<'d, A: Arch>(shared: &Page, info: impl FnOnce() -> Option<Info<'d>>, port: Port) -> Delivery {
    if !mark::<A>(shared, port) {
        return Delivery::Merged;
    }
    if !is_masked::<A>(shared, port) && raise(info(), port) { Delivery::Raised } else { Delivery::Noted }
}

/// Tells the vCPU that a port is pending which is not masked. Returns whether its event interrupt was down.
#[inline(always)]
pub fn raise(info: Option<Info<'_>>, port: Port) -> bool {
    info.is_some_and(|info| !info.select(bit(port).0) && !info.mark())
}

/// Makes a port not pending, because it is closed.
pub fn clear_pending<A: Arch>(shared: &Page, port: Port) {
    let (index, bit) = bit(port);
    if let Some(word) = word(shared, A::SHARED_INFO.pending / 8, index) {
        word.fetch_and(!bit, Ordering::AcqRel);
    }
}

/// Unmasks a port; what was pending is delivered now.
pub fn unmask<'d, A: Arch>(shared: &Page, info: impl FnOnce() -> Option<Info<'d>>, port: Port) -> Delivery {
    let (index, bit) = bit(port);
    let was_masked = word(shared, A::SHARED_INFO.mask / 8, index)
        .is_some_and(|word| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0);
    let raised = was_masked && is_pending::<A>(shared, port) && raise(info(), port);
    if raised { Delivery::Raised } else { Delivery::Noted }
}

/// Fills the page with zeros, as a starting domain finds it.
pub fn clear(shared: &Page) {
    shared.iter().for_each(|word| word.store(0, Ordering::Relaxed));
}
