//! The pages of others that a domain has mapped.

use super::pins::{Access, PinId};
use crate::domain::DomainId;
use crate::limits::MAX_MAPPINGS;

/// By what a domain names one of its mappings.
pub type Handle = u32;

/// A page of another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Who granted it.
    pub granter: DomainId,
    /// The entry, by its pin.
    pub pin: PinId,
    /// As what.
    pub access: Access,
    /// The guest frame at which it is mapped.
    pub frame: u32,
    /// The domain's own page is under it, and appears again when it goes.
    pub covers: bool,
    /// The granting domain is gone: the frame leads to the spare page, and there is no pin.
    pub revoked: bool,
}

const COVERS: u8 = 1;
const REVOKED: u8 = 2;
const WRITE: u8 = 4;

/// A mapping, or a place for one. All zeros is a place, so that a table of them costs nothing in the image.
#[derive(Clone, Copy)]
struct Slot {
    /// Of a mapping, its frame; of a free place, the next one, counted from 1.
    frame: u32,
    /// Number of who granted it; 0 is a free place.
    granter: u16,
    pin: PinId,
    flags: u8,
}

impl Slot {
    const FREE: Self = Self { frame: 0, granter: 0, pin: 0, flags: 0 };

    fn of(mapping: &Mapping) -> Self {
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(mapping.covers, COVERS)
            | flag(mapping.revoked, REVOKED)
            | flag(mapping.access == Access::Write, WRITE);
        Self { frame: mapping.frame, granter: mapping.granter.number(), pin: mapping.pin, flags }
    }

    fn mapping(&self) -> Option<Mapping> {
        let Self { frame, granter, pin, flags } = *self;
        let access = if flags & WRITE != 0 { Access::Write } else { Access::Read };
        let (covers, revoked) = (flags & COVERS != 0, flags & REVOKED != 0);
        Some(Mapping { granter: DomainId::from_number(granter)?, pin, access, frame, covers, revoked })
    }
}

/// A place for a mapping: its number, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Room(u16);

/// One domain's mappings.
pub struct Mappings {
    slots: [Slot; MAX_MAPPINGS],
    /// The first of those that were used and are free, counted from 1; 0 is none.
    free: u16,
    /// How many have ever been used.
    fresh: u16,
    used: u16,
}

impl Default for Mappings {
    fn default() -> Self {
        Self::new()
    }
}

impl Mappings {
    /// None.
    pub const fn new() -> Self {
        Self { slots: [Slot::FREE; MAX_MAPPINGS], free: 0, fresh: 0, used: 0 }
    }

    /// How many there are.
    pub fn used(&self) -> u16 {
        self.used
    }

    /// A place for one more; `None` where there is none.
    pub fn room(&self) -> Option<Room> {
        let number = if self.free != 0 { self.free } else { self.fresh.wrapping_add(1) };
        (usize::from(number) <= MAX_MAPPINGS).then_some(Room(number))
    }

    /// Notes a mapping in a place that was found just before.
    pub fn add(&mut self, Room(number): Room, mapping: &Mapping) -> Handle {
        let handle = number.wrapping_sub(1);
        if let Some(slot) = self.slots.get_mut(usize::from(handle)) {
            if self.free == number {
                self.free = slot.frame as u16;
            } else {
                self.fresh = number;
            }
            *slot = Slot::of(mapping);
            self.used = self.used.wrapping_add(1);
        }
        handle.into()
    }

    /// A mapping by its handle.
    pub fn get(&self, handle: Handle) -> Option<Mapping> {
        self.slots.get(handle as usize)?.mapping()
    }

    /// Forgets a mapping.
    pub fn remove(&mut self, handle: Handle) {
        if let Some(slot) = self.slots.get_mut(handle as usize).filter(|slot| slot.granter != 0) {
            *slot = Slot { frame: self.free.into(), ..Slot::FREE };
            self.free = (handle as u16).saturating_add(1);
            self.used = self.used.wrapping_sub(1);
        }
    }

    /// The granting domain is gone.
    pub fn revoke(&mut self, handle: Handle) {
        if let Some(slot) = self.slots.get_mut(handle as usize) {
            slot.flags |= REVOKED;
        }
    }

    /// The first mapping that is wanted.
    pub fn find(&self, wanted: impl Fn(&Mapping) -> bool) -> Option<(Handle, Mapping)> {
        if self.used == 0 {
            return None;
        }
        let mut slots = self.slots.iter().take(usize::from(self.fresh)).zip(0..);
        slots.find_map(|(slot, handle)| Some((handle, slot.mapping().filter(&wanted)?)))
    }
}
