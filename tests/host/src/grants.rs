//! Grants and pages as guests of the scenarios use them.

use std::sync::atomic::Ordering;

use fake::ARGUMENTS;
use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::grant_table::{
    Copy, CopyPtr, GNTMAP_HOST_MAP, GNTMAP_READONLY, GNTTABOP_COPY, GNTTABOP_MAP_GRANT_REF, GNTTABOP_UNMAP_GRANT_REF,
    GTF_PERMIT_ACCESS, GTF_READONLY, MapGrantRef, UnmapGrantRef,
};
use xen_abi::hypercall::{GRANT_TABLE_OP, MEMORY_OP};
use xen_abi::memory::MemoryReservation;
use zerocopy::IntoBytes;

use crate::puppet::{Stage, outcome};

/// Bytes of a page.
pub const PAGE: u64 = fake::PAGE;
/// Where a guest keeps what structures point to.
const LISTS: u64 = ARGUMENTS + 0x100;

/// An entry as a guest writes it.
pub fn entry(flags: u16, domain: u16, frame: u64) -> u64 {
    frame << 32 | u64::from(domain) << 16 | u64::from(flags)
}

impl Stage<'_> {
    /// Writes a word of a guest's grant table.
    pub fn set_entry(&self, who: usize, reference: usize, word: u64) {
        self.domain(who).grants[reference / 512][reference % 512].store(word, Ordering::SeqCst);
    }

    /// A word of it.
    pub fn entry(&self, who: usize, reference: usize) -> u64 {
        self.domain(who).grants[reference / 512][reference % 512].load(Ordering::SeqCst)
    }

    /// Lets a guest use a frame of another one.
    pub fn grant(&self, who: usize, reference: usize, to: u16, frame: u64, read_only: bool) {
        let flags = if read_only { GTF_PERMIT_ACCESS | GTF_READONLY } else { GTF_PERMIT_ACCESS };
        self.set_entry(who, reference, entry(flags, to, frame));
    }

    /// Maps a page of another domain at a frame: the handle, or the status.
    ///
    /// # Errors
    /// The status.
    pub fn map(&mut self, who: usize, domain: u16, reference: u32, frame: u64, read_only: bool) -> Result<u32, i16> {
        let flags = if read_only { GNTMAP_HOST_MAP | GNTMAP_READONLY } else { GNTMAP_HOST_MAP };
        let mut op = MapGrantRef { host_addr: frame * PAGE, flags, reference, dom: domain, ..Default::default() };
        self.call(who, GRANT_TABLE_OP, [GNTTABOP_MAP_GRANT_REF.into(), 0, 1], 1, &mut op).unwrap();
        if op.status == 0 { Ok(op.handle) } else { Err(op.status) }
    }

    /// Unmaps it; the status.
    pub fn unmap(&mut self, who: usize, handle: u32, frame: u64) -> i16 {
        let mut op = UnmapGrantRef { host_addr: frame * PAGE, handle, ..Default::default() };
        self.call(who, GRANT_TABLE_OP, [GNTTABOP_UNMAP_GRANT_REF.into(), 0, 1], 1, &mut op).unwrap();
        op.status
    }

    /// Copies; the status.
    pub fn copy(&mut self, who: usize, source: CopyPtr, dest: CopyPtr, len: u16, flags: u16) -> i16 {
        let mut op = Copy { source, dest, len, flags, ..Default::default() };
        self.call(who, GRANT_TABLE_OP, [GNTTABOP_COPY.into(), 0, 1], 1, &mut op).unwrap();
        op.status
    }

    /// A call that gives or takes pages at these frames; how many extents it did.
    pub fn reserve(&mut self, who: usize, operation: u32, frames: &[u64], order: u32) -> u64 {
        self.domain(who).put(LISTS, frames.as_bytes());
        let mut op = MemoryReservation {
            extent_start: LISTS,
            nr_extents: frames.len() as u64,
            extent_order: order,
            domid: DOMID_SELF,
            ..Default::default()
        };
        self.call(who, MEMORY_OP, [operation.into(), 0, 0], 1, &mut op).unwrap()
    }

    /// A call of `memory_op` that only asks.
    ///
    /// # Errors
    /// Those of the call.
    pub fn ask(&mut self, who: usize, operation: u32, domain: u16) -> Result<u64, Errno> {
        self.domain(who).put(ARGUMENTS, domain.as_bytes());
        outcome(self.act(who, fake::Act::call(MEMORY_OP, [operation.into(), ARGUMENTS])))
    }

    /// Where a guest's frame leads, and whether it can write there.
    pub fn place(&self, who: usize, frame: u64) -> Option<(u64, bool)> {
        self.domain(who).space.lock().unwrap().place(frame)
    }

    /// Where a guest's own page is.
    pub fn home(&self, who: usize, frame: u64) -> u64 {
        self.domain(who).space.lock().unwrap().home_of(frame)
    }
}
