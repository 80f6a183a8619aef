//! Grants between the hypervisor's domains: the tables' rules with locks and the port's address spaces.
//!
//! A domain's pins and mappings are behind one lock, and no two of these locks are held together. In between, a page is
//! pinned and not yet mapped, or unmapped and still pinned, which is harmless in this order: a domain does not go before
//! its last pin has gone. The port's own lock on an address space is taken inside and is the last.

use core::sync::atomic::AtomicU64;

use xen_abi::grant_table::{
    GNTST_BAD_DOMAIN, GNTST_BAD_HANDLE, GNTST_BAD_PAGE, GNTST_BAD_VIRT_ADDR, GNTST_GENERAL_ERROR, GNTST_NO_SPACE,
};

use super::Grants;
use super::mappings::{Handle, Mapping};
use super::pins::{Access, ENTRIES, PinId};
use crate::arch::{Arch, Place};
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::policy::Decision;
use crate::sync::{Guard, Held};

/// Where one side of a copy is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// A guest frame of the caller.
    Frame(u64),
    /// An entry of a domain's table, whose use has begun.
    Pin(DomainId, PinId, u64),
}

impl<A: Arch> Hypervisor<A> {
    fn grants<'l>(&'l self, held: &'l Held, id: DomainId) -> Option<Guard<'l, Grants, A::Relax>> {
        Some(self.grants.get(id.index())?.lock(held, id.index()))
    }

    /// An entry of a domain's table.
    fn entry<'d>(&'d self, domain: &'d Domain<A>, reference: u32) -> Option<&'d AtomicU64> {
        let page = self.arch.grant_table(domain.arch(), (reference / ENTRIES) as usize)?;
        page.get((reference % ENTRIES) as usize)
    }

    /// Begins the use of an entry of `granter`'s table. Returns its pin and the guest frame there.
    pub(crate) fn pin(
        &self,
        held: &Held,
        _: Decision,
        granter: &Domain<A>,
        reference: u32,
        user: DomainId,
        access: Access,
    ) -> Result<(PinId, u64), i16> {
        let word = || self.entry(granter, reference);
        let is_page = |frame| self.arch.has_ram(granter.arch(), frame);
        self.grants(held, granter.id()).ok_or(GNTST_BAD_DOMAIN)?.pins.pin(word, reference, user, access, is_page)
    }

    /// Begins the use of a page of `owner` without an entry: what stands for its pin, and the guest frame.
    pub(crate) fn borrow(&self, held: &Held, _: Decision, owner: &Domain<A>, frame: u64) -> Result<(PinId, u64), i16> {
        if !self.arch.has_ram(owner.arch(), frame) {
            return Err(GNTST_BAD_PAGE);
        }
        Ok((self.grants(held, owner.id()).ok_or(GNTST_BAD_DOMAIN)?.pins.borrow()?, frame))
    }

    /// Ends it.
    pub(crate) fn unpin(&self, held: &Held, granter: DomainId, pin: PinId, access: Access) {
        let (Some(domain), Some(mut grants)) = (self.domain(granter), self.grants(held, granter)) else { return };
        let word = grants.pins.reference(pin).and_then(|reference| self.entry(domain, reference));
        grants.pins.unpin(word, pin, access);
    }

    /// Maps a granted page at a guest frame of `user`. Returns the handle.
    pub(crate) fn map_grant(
        &self,
        held: &Held,
        decision: Decision,
        user: &Domain<A>,
        (granter, reference): (&Domain<A>, u32),
        frame: u64,
        access: Access,
    ) -> Result<Handle, i16> {
        let (pin, owned) = self.pin(held, decision, granter, reference, user.id(), access)?;
        let mapped = self.map_pinned(held, user, granter, (pin, owned), frame, access);
        if mapped.is_err() {
            self.unpin(held, granter.id(), pin, access);
        }
        mapped
    }

    fn map_pinned(
        &self,
        held: &Held,
        user: &Domain<A>,
        granter: &Domain<A>,
        (pin, owned): (PinId, u64),
        frame: u64,
        access: Access,
    ) -> Result<Handle, i16> {
        let mut grants = self.grants(held, user.id()).ok_or(GNTST_BAD_DOMAIN)?;
        let number = u32::try_from(frame).map_err(|_| GNTST_GENERAL_ERROR)?;
        let mut mapping = Mapping { granter: granter.id(), pin, access, frame: number, covers: false, revoked: false };
        let room = grants.mappings.room().ok_or(GNTST_NO_SPACE)?;
        let owner = (granter.arch(), owned);
        let covers = self.arch.map_foreign(user.arch(), frame, owner, access == Access::Write);
        mapping.covers = covers.map_err(|_| GNTST_GENERAL_ERROR)?;
        Ok(grants.mappings.add(room, &mapping))
    }

    /// Unmaps one of `user`'s mappings, which has to be at this frame.
    pub(crate) fn unmap_grant(&self, held: &Held, user: &Domain<A>, handle: Handle, frame: u64) -> Result<(), i16> {
        let released = {
            let mut grants = self.grants(held, user.id()).ok_or(GNTST_BAD_HANDLE)?;
            let mapping = grants.mappings.get(handle).ok_or(GNTST_BAD_HANDLE)?;
            if u64::from(mapping.frame) != frame {
                return Err(GNTST_GENERAL_ERROR);
            }
            self.take_down(user, &mapping).ok_or(GNTST_BAD_VIRT_ADDR)?;
            grants.mappings.remove(handle);
            mapping
        };
        self.let_go(held, &released);
        Ok(())
    }

    /// Takes a mapping out of its domain's address space.
    fn take_down(&self, user: &Domain<A>, mapping: &Mapping) -> Option<()> {
        self.arch.unmap_foreign(user.arch(), mapping.frame.into(), mapping.covers).ok()
    }

    fn let_go(&self, held: &Held, mapping: &Mapping) {
        if !mapping.revoked {
            self.unpin(held, mapping.granter, mapping.pin, mapping.access);
        }
    }

    /// Copies between two ends that the caller, `me`, may use.
    pub(crate) fn copy_grant(&self, me: &Domain<A>, from: (End, u16), to: (End, u16), length: u16) -> Result<(), i16> {
        let place = |(end, offset): (End, u16)| {
            let (domain, frame) = match end {
                End::Frame(frame) if self.arch.has_ram(me.arch(), frame) => (me, frame),
                End::Frame(_) => return Err(GNTST_BAD_PAGE),
                End::Pin(granter, _, frame) => (self.domain(granter).ok_or(GNTST_BAD_DOMAIN)?, frame),
            };
            Ok(Place { domain: domain.arch(), frame, offset })
        };
        self.arch.copy(&place(from)?, &place(to)?, length);
        Ok(())
    }

    /// Cleans a range of a page that `me` sees at a guest frame: its own, or one that it has mapped. `None` where it is
    /// neither.
    pub(crate) fn clean_cache(
        &self,
        held: &Held,
        me: &Domain<A>,
        (frame, offset): (u64, u16),
        length: u16,
        discard: bool,
    ) -> Option<()> {
        let place = if self.arch.has_ram(me.arch(), frame) {
            Place { domain: me.arch(), frame, offset }
        } else {
            let (_, mapping) = self.grants(held, me.id())?.mappings.find(|m| u64::from(m.frame) == frame)?;
            if mapping.revoked {
                return Some(());
            }
            // Should it go in this moment, the caches of who granted it are cleaned, which changes nothing.
            let owned = self.grants(held, mapping.granter)?.pins.frame(mapping.pin)?;
            Place { domain: self.domain(mapping.granter)?.arch(), frame: owned, offset }
        };
        self.arch.clean_cache(&place, length, discard);
        Some(())
    }

    /// A step of the end of a domain: takes up to `budget` of its mappings down; if its memory is needed again, revokes
    /// others' mappings of it, too. Returns whether that is all.
    pub(crate) fn close_grants(&self, held: &Held, domain: &Domain<A>, again: bool, budget: u32) -> bool {
        let id = domain.id();
        if let Some(mut grants) = self.grants(held, id) {
            grants.pins.close();
        }
        for _ in 0..budget {
            let Some(mapping) = self.take_one_down(held, domain) else {
                return !again || self.revoke_some(held, id, budget);
            };
            self.let_go(held, &mapping);
        }
        false
    }

    fn take_one_down(&self, held: &Held, domain: &Domain<A>) -> Option<Mapping> {
        let mut grants = self.grants(held, domain.id())?;
        let (handle, mapping) = grants.mappings.find(|_| true)?;
        // It was mapped, so it can be unmapped.
        let _ = self.take_down(domain, &mapping);
        grants.mappings.remove(handle);
        Some(mapping)
    }

    /// Revokes up to `budget` of others' mappings of this domain's pages. Returns whether nobody uses any of them; a copy
    /// or a mapping that another CPU is just making counts until it is done.
    fn revoke_some(&self, held: &Held, id: DomainId, budget: u32) -> bool {
        let mut left = budget;
        for other in self.domains() {
            while left > 0 && self.grants(held, id).is_some_and(|grants| grants.pins.used() != 0) {
                let Some(mapping) = self.revoke_one(held, other, id) else { break };
                self.unpin(held, id, mapping.pin, mapping.access);
                left = left.saturating_sub(1);
            }
        }
        self.grants(held, id).is_none_or(|grants| grants.pins.used() == 0)
    }

    fn revoke_one(&self, held: &Held, user: &Domain<A>, id: DomainId) -> Option<Mapping> {
        let mut grants = self.grants(held, user.id())?;
        let (handle, mapping) = grants.mappings.find(|mapping| mapping.granter == id && !mapping.revoked)?;
        // It is mapped, so its table is there.
        let _ = self.arch.revoke_foreign(user.arch(), mapping.frame.into());
        grants.mappings.revoke(handle);
        Some(mapping)
    }

    /// A domain starts again: others may use its new table.
    pub(crate) fn reopen_grants(&self, held: &Held, id: DomainId) {
        if let Some(mut grants) = self.grants(held, id) {
            grants.pins.reopen();
        }
    }

    /// Lets the domain's own table have so many pages at least. Returns whether it may.
    pub(crate) fn grow_grants(&self, held: &Held, _: Decision, id: DomainId, frames: u64) -> bool {
        self.grants(held, id).is_some_and(|mut grants| grants.pins.grow(frames))
    }

    /// How many pages it has.
    pub(crate) fn grant_frames(&self, held: &Held, id: DomainId) -> u8 {
        self.grants(held, id).map_or(0, |grants| grants.pins.frames())
    }

    /// Exchanges two entries of the domain's own table.
    pub(crate) fn swap_grants(&self, held: &Held, _: Decision, me: &Domain<A>, a: u32, b: u32) -> Result<(), i16> {
        let grants = self.grants(held, me.id()).ok_or(GNTST_BAD_DOMAIN)?;
        grants.pins.swap((a, self.entry(me, a)), (b, self.entry(me, b)))
    }
}
