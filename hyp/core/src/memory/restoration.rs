//! Bringing a domain's RAM back to where it was at the start, for its next life.
//!
//! It can be long where the life that ended gave up and covered much, so it is done a bounded step at a time: first the RAM,
//! piece by piece, then the tables that nobody needs any more. What a life has not changed costs nothing.

use super::physmap::Physmap;
use super::pool::Pages;
use super::radix::Format;

/// Entries that one step writes.
const BUDGET: u32 = 64;

/// How far one domain's has come.
#[derive(Debug)]
pub struct Restoration {
    /// Bytes of RAM that are back.
    restored: u64,
    /// From which table on there may be some to give back.
    tidied: usize,
    /// How many steps it took so far; `None` where there was nothing to do.
    steps: Option<u32>,
}

impl Restoration {
    /// None is under way.
    pub const fn new() -> Self {
        Self { restored: 0, tidied: 1, steps: None }
    }

    /// Begins one, if something has changed in `map`, where nothing but RAM is mapped any more.
    pub fn begin<F: Format, P: Pages>(&mut self, map: &Physmap<F, P>) {
        *self = Self { steps: map.has_changed().then_some(0), ..Self::new() };
    }

    /// Takes a step of it. `ram` are the pieces of RAM: guest-physical address, physical address, bytes. Returns how many
    /// steps it took in all, `None` where there is more to do.
    pub fn step<F: Format, P: Pages>(
        &mut self,
        map: &mut Physmap<F, P>,
        ram: impl Iterator<Item = (u64, u64, u64)>,
    ) -> Option<u32> {
        let Some(steps) = self.steps.filter(|_| map.has_changed()) else { return Some(self.steps.unwrap_or(0)) };
        self.steps = Some(steps + 1);
        let mut skip = self.restored;
        for (guest, host, size) in ram {
            if skip < size {
                self.restored += map.restore(guest + skip, host + skip, size - skip, BUDGET);
                return None;
            }
            skip -= size;
        }
        self.tidied = map.tidy(self.tidied).unwrap_or(1);
        None
    }
}

impl Default for Restoration {
    fn default() -> Self {
        Self::new()
    }
}
