//! The state of 32 interrupts, one bit each.
//!
//! Words rather than one structure per interrupt: "what is pending, enabled and not active" is then a handful of
//! instructions for 32 interrupts, and a guest's register access is a load or a store.

use super::PRIORITY_MASK;

/// The bits of a word, lowest first.
pub(super) fn ones(mut word: u32) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let index = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (index < 32).then_some(index)
    })
}

/// 32 consecutive interrupts. Bit n of each word is the n-th of them.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    /// Forwarded to a CPU interface when pending.
    pub(super) enabled: u32,
    /// Pending whatever the line does: an edge, an SGI, or the guest's own `ISPENDR`.
    pub(super) latch: u32,
    /// The line's level.
    pub(super) line: u32,
    /// Active at some vCPU. For an interrupt in a list register: as of the flush that put it there.
    pub(super) active: u32,
    /// Edge-triggered by the guest's `ICFGR`; else level-sensitive.
    pub(super) edge: u32,
    /// Group 1; else group 0.
    pub(super) group: u32,
    /// Sits in a list register of some vCPU.
    pub(super) listed: u32,
    /// `latch` as it was moved into the list register. It comes back if it is found there unacknowledged.
    pub(super) loaded: u32,
    /// The guest set or cleared `active` while the interrupt was listed: that wins over what the list register says.
    pub(super) forced: u32,
    /// The line's changes latch, whatever `edge` says: see the table in the parent module.
    pub(super) quiet: u32,
    /// Tied to the physical interrupt of the same number: PPIs and SPIs; implies `quiet`.
    pub(super) hardware: u32,
    /// SPIs whose physical interrupt is enabled.
    pub(super) forwarded: u32,
    /// The physical interrupt of a hardware one is active, and no list register will complete it.
    pub(super) physical: u32,
    /// The same, and a list register will complete it.
    pub(super) tied: u32,
    /// Lower is more urgent.
    pub(super) priority: [u8; 32],
}

impl Bank {
    /// After reset, with these interrupts edge-triggered: disabled, priority 0, group 0.
    pub(super) const fn new(edge: u32) -> Self {
        Self {
            enabled: 0,
            latch: 0,
            line: 0,
            active: 0,
            edge,
            group: 0,
            listed: 0,
            loaded: 0,
            forced: 0,
            quiet: 0,
            hardware: 0,
            forwarded: 0,
            physical: 0,
            tied: 0,
            priority: [0; 32],
        }
    }

    /// Back to the state of [`Bank::new`], with this word of groups (which the architecture leaves unknown); quiet and hardware interrupts stay so.
    pub(super) const fn reset(&mut self, edge: u32, group: u32) {
        let Self { quiet, hardware, forwarded, .. } = *self;
        *self = Self { group, quiet, hardware, forwarded, ..Self::new(edge) };
    }

    /// The same for SPIs. What is active in the physical controller is let go as soon as that is looked at.
    pub(super) const fn reset_shared(&mut self, group: u32) {
        let physical = self.physical | self.tied;
        self.reset(0, group);
        self.physical = physical;
    }

    /// SPIs of which the guest wants nothing now although the physical interrupt is active: it is to be let go. A level
    /// that is still up comes again when the guest enables it; an edge that it has not seen stays.
    pub(super) const fn release(&mut self) -> u32 {
        let released = self.physical & !(self.active | self.listed | self.pending() & self.enabled);
        self.physical &= !released;
        self.latch &= !(released & !self.edge);
        released
    }

    /// Nothing is pending, active, up or in a list register.
    pub(super) const fn is_idle(&self) -> bool {
        self.latch | self.line | self.active | self.listed == 0
    }

    /// Pending only because of the line, and so no longer than it.
    pub(super) const fn by_line(&self) -> u32 {
        self.line & !(self.edge | self.quiet)
    }

    /// What `ISPENDR` shows.
    pub(super) const fn pending(&self) -> u32 {
        self.latch | self.loaded | self.by_line()
    }

    /// Pending, enabled, in an enabled group (masks of all ones or none), and not in a list register.
    pub(super) const fn ready(&self, group0: u32, group1: u32) -> u32 {
        let group = self.group & group1 | !self.group & group0;
        (self.latch | self.by_line()) & self.enabled & group & !self.listed
    }

    /// Interrupts that a guest has something to do with: a change of how they are handled matters to it.
    pub(super) const fn alive(&self) -> u32 {
        self.pending() | self.active | self.listed
    }

    /// Hardware interrupts whose physical one must stay active until the guest is done.
    pub(super) const fn needs_physical(&self) -> u32 {
        self.hardware & self.alive()
    }

    /// Set the line of the interrupt at `bit`.
    pub(super) const fn set_line(&mut self, bit: u32, level: bool) {
        let rising = level && (self.line & bit == 0 || self.hardware & bit != 0);
        if level {
            self.line |= bit;
            self.physical |= self.hardware & bit;
        } else {
            self.line &= !bit;
            self.latch &= !(self.quiet & bit);
            self.loaded &= !(self.quiet & bit);
        }
        if rising {
            self.latch |= bit & (self.edge | self.quiet);
        }
    }

    /// `ISPENDR`: what the guest makes pending stays so until acknowledged.
    pub(super) const fn set_pending(&mut self, bits: u32) {
        self.latch |= bits;
    }

    /// `ICPENDR`: a line that is high stays pending.
    pub(super) const fn clear_pending(&mut self, bits: u32) {
        self.latch &= !bits;
        self.loaded &= !bits;
    }

    /// `ISACTIVER`.
    pub(super) const fn set_active(&mut self, bits: u32) {
        self.active |= bits;
        self.forced |= bits & self.listed;
    }

    /// `ICACTIVER`.
    pub(super) const fn clear_active(&mut self, bits: u32) {
        self.active &= !bits;
        self.forced |= bits & self.listed;
    }

    /// Priority of the `index`-th interrupt, 0 to 31.
    pub(super) fn priority(&self, index: u32) -> u8 {
        self.priority.get(index as usize).copied().unwrap_or(0)
    }

    /// Set the priority of the `index`-th interrupt; bits that do not exist are dropped.
    pub(super) fn set_priority(&mut self, index: u32, priority: u8) {
        if let Some(entry) = self.priority.get_mut(index as usize) {
            *entry = priority & PRIORITY_MASK;
        }
    }
}
