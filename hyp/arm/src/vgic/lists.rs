//! Between the controller's state and a vCPU's list registers.
//!
//! [`Vgic::flush`] moves what a vCPU could take, and what it has active, into list registers; [`Vgic::sync`] brings
//! back what became of it. Between the two the hardware owns these interrupts: their bits are `listed`, nothing else
//! presents them, and what other vCPUs do to them meanwhile is kept apart (`latch` against `loaded`, `forced`) and wins
//! when they come back.
//!
//! When there is more to present than list registers, the most urgent get them, at least one of them pending if any is,
//! and the rest is made to ask for itself: completing anything listed, completing what is not listed, and having
//! nothing pending left each raise a maintenance interrupt.

use super::bank::{Bank, ones};
use super::{PRIVATE, SPI_BANKS, VcpuMask, Vgic};

/// Most list registers a processor can have.
const MAX: usize = 16;

/// ICH_LR<n>_EL2 (Arm IHI 0069, 12.4.8): the virtual interrupt is pending.
const PENDING_BIT: u32 = 62;
/// The virtual interrupt is active.
const ACTIVE_BIT: u32 = 63;
/// Completing the virtual interrupt completes the physical one of bits 44:32.
const HARDWARE: u64 = 1 << 61;
const GROUP1_BIT: u32 = 60;
const PRIORITY_SHIFT: u32 = 48;
const PHYSICAL_SHIFT: u32 = 32;
/// With `HARDWARE` clear: completing the virtual interrupt raises a maintenance interrupt.
const EOI: u64 = 1 << 41;

/// ICH_HCR_EL2.LRENPIE: completing an interrupt that is in no list register raises a maintenance interrupt.
const UNLISTED_COMPLETED: u64 = 1 << 2;
/// ICH_HCR_EL2.NPIE: having no pending interrupt in the list registers does.
const NONE_PENDING: u64 = 1 << 3;

/// The list registers of one vCPU, as they are to be written or have been read.
#[derive(Clone, Debug)]
pub struct ListRegisters {
    registers: [u64; MAX],
    /// How many the processor has.
    count: u8,
    /// The first so many hold interrupts.
    used: u8,
    /// The first so many may be other than zero in hardware.
    dirty: u8,
    /// The first so many have to be written after a flush.
    write: u8,
    /// `ICH_HCR_EL2.EOIcount` as last read.
    eoi_count: u8,
    /// There may be more in them than private interrupts, more to show than they have room for, or a physical interrupt
    /// that belongs to one of them.
    watch: bool,
    control: u64,
    deactivate: u32,
}

impl ListRegisters {
    /// Empty ones. `count` is ICH_VTR_EL2.ListRegs + 1, 1 to 16.
    pub const fn new(count: u8) -> Self {
        let count = if count as usize > MAX { MAX as u8 } else { count };
        Self {
            registers: [0; MAX],
            count,
            used: 0,
            dirty: count,
            write: 0,
            eoi_count: 0,
            watch: true,
            control: 0,
            deactivate: 0,
        }
    }

    /// The first so many hold interrupts; their values are in the hardware while the vCPU is on a CPU.
    pub const fn used(&self) -> u8 {
        self.used
    }

    /// Those that hold interrupts.
    pub(super) fn used_mut(&mut self) -> &mut [u64] {
        self.registers.get_mut(..usize::from(self.used)).unwrap_or_default()
    }

    /// Take over what the hardware holds in list register `index`.
    pub fn set(&mut self, index: u8, value: u64) {
        if let Some(register) = self.registers.get_mut(usize::from(index)) {
            *register = value;
        }
    }

    /// Take over ICH_HCR_EL2.EOIcount (bits 31:27), which counts completions of interrupts that were not listed. Zero
    /// whenever [`ListRegisters::control`] is zero; the write of ICH_HCR_EL2 after the flush clears it.
    pub const fn set_eoi_count(&mut self, count: u8) {
        self.eoi_count = count;
    }

    /// What to write to list registers 0, 1, ... after a flush. Those beyond stay as they are.
    pub fn to_write(&self) -> &[u64] {
        self.registers.get(..usize::from(self.write)).unwrap_or(&[])
    }

    /// Bits to set in ICH_HCR_EL2 beside `En` and the port's own.
    pub const fn control(&self) -> u64 {
        self.control
    }

    /// Physical PPIs (bit n: INTID n) that the last flush found active without need: deactivate them.
    pub const fn deactivate(&self) -> u32 {
        self.deactivate
    }

    /// The vCPU has left its CPU, whose list registers are empty: the next flush has none of them written but those that
    /// it uses.
    pub const fn leave(&mut self) {
        self.dirty = 0;
    }

    /// [`Vgic::forget_listed`] will not do when the vCPU leaves its CPU.
    #[inline(always)]
    pub const fn must_sync(&self) -> bool {
        self.watch
    }

    /// Makes sure of that, because a physical interrupt was taken.
    pub const fn watch(&mut self) {
        self.watch = true;
    }

    /// Forget everything, as for a reset.
    pub const fn clear(&mut self) {
        *self = Self::new(self.count);
    }

    /// Which of them holds an interrupt.
    #[inline(always)]
    fn slot_of(&self, intid: u32) -> Option<u8> {
        let mut slot = 0;
        while slot < self.used {
            if self.registers.get(usize::from(slot)).is_some_and(|value| *value as u32 == intid) {
                return Some(slot);
            }
            slot = slot.wrapping_add(1);
        }
        None
    }

    /// Add one; `false` when there is no room.
    #[inline(always)]
    fn push(&mut self, value: u64) -> bool {
        let room = self.used < self.count;
        if let Some(register) = self.registers.get_mut(usize::from(self.used)).filter(|_| room) {
            *register = value;
            self.used += 1;
        }
        room
    }
}

/// What became of an interrupt that was to be shown alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is shown as pending already, or cannot be taken now.
    There,
    /// This list register is to be written.
    In(u8, u64),
    /// That cannot be done: [`Vgic::sync`] and [`Vgic::flush`].
    NoRoom,
}

/// What a vCPU could be shown, as words by bank.
#[derive(Clone, Copy, Default)]
struct Candidates {
    /// Pending and enabled, active or not.
    pending: [u32; 1 + SPI_BANKS],
    /// Active at this vCPU.
    active: [u32; 1 + SPI_BANKS],
}

impl Candidates {
    fn any(&self) -> [u32; 1 + SPI_BANKS] {
        let mut any = self.active;
        any.iter_mut().zip(&self.pending).for_each(|(any, pending)| *any |= pending);
        any
    }
}

impl Bank {
    /// Move interrupts into list registers, as far as there is room. `false`: not all of them.
    fn list_word(&mut self, lists: &mut ListRegisters, number: u32, pending: u32, active: u32) -> bool {
        let mut any = pending | active;
        while any != 0 {
            let index = any.trailing_zeros();
            let value = self.image(number, index, pending, active, false);
            if !lists.push(value) {
                return false;
            }
            self.list(index, pending, value);
            any &= any.wrapping_sub(1);
        }
        true
    }

    /// What to write into a list register for the interrupt at `index`. `watch`: its completion must cause an exit
    /// whatever it is.
    #[inline(always)]
    fn image(&self, number: u32, index: u32, pending: u32, active: u32, watch: bool) -> u64 {
        let flag = |word: u32, at: u32| u64::from(word >> index & 1) << at;
        let value = u64::from(number << 5 | index) | u64::from(self.priority(index)) << PRIORITY_SHIFT;
        let value = value | flag(self.group, GROUP1_BIT) | flag(pending, PENDING_BIT) | flag(active, ACTIVE_BIT);
        // A level has to be looked at again after its completion; so has an interrupt that became pending again
        // elsewhere.
        let again = self.by_line() | self.physical | active & !pending & self.pending();
        match again >> index & 1 != 0 || watch {
            true => value | self.on_completion(number << 5 | index, pending & active, watch),
            false => value,
        }
    }

    /// How completing an interrupt of this bank is to be noticed.
    #[inline]
    fn on_completion(&self, intid: u32, both: u32, watch: bool) -> u64 {
        // A list register tied to a physical interrupt must not be pending and active, and cannot raise a maintenance
        // interrupt; then the next flush completes the physical one.
        match self.physical & !both & 1 << (intid % 32) != 0 && !watch {
            true => HARDWARE | u64::from(intid) << PHYSICAL_SHIFT,
            false => EOI,
        }
    }

    /// The interrupt at `index` is in a list register now, with this value.
    #[inline(always)]
    const fn list(&mut self, index: u32, pending: u32, value: u64) {
        let moved = self.latch & pending & 1 << index;
        self.listed |= 1 << index;
        self.loaded |= moved;
        self.latch ^= moved;
        if value & HARDWARE != 0 {
            self.physical &= !(1 << index);
            self.tied |= 1 << index;
        }
    }

    /// Take the interrupt at `index` back from a list register that holds `value` now.
    #[inline(always)]
    const fn unlist(&mut self, index: u32, value: u64) {
        let index = index % 32;
        let bit = 1 << index;
        let pending = ((value >> PENDING_BIT) as u32 & 1) << index;
        let active = ((value >> ACTIVE_BIT) as u32) << index;
        if self.forced & bit == 0 {
            self.active = self.active & !bit | active;
        }
        self.latch |= self.loaded & pending;
        if value & HARDWARE != 0 {
            self.physical |= pending | active;
            self.tied &= !bit;
        }
        self.loaded &= !bit;
        self.listed &= !bit;
        self.forced &= !bit;
    }
}

impl Vgic {
    /// Fill the list registers of a vCPU that is about to run. They must be empty, as [`Vgic::sync`] leaves them; else
    /// nothing happens.
    pub fn flush(&mut self, vcpu: u8, lists: &mut ListRegisters) {
        if lists.used != 0 {
            return;
        }
        if !self.list_all(vcpu, lists) {
            self.list_urgent(vcpu, lists);
        }
        if let Some(cpu) = self.cpu_mut(vcpu) {
            let bank = &mut cpu.private;
            lists.deactivate = bank.physical & !bank.needs_physical();
            bank.physical &= !lists.deactivate;
        }
        lists.write = lists.dirty.max(lists.used);
        lists.dirty = lists.used;
        lists.watch = true;
    }

    /// The same for a vCPU that comes onto a CPU, where it has to be shown one private interrupt at most, as mostly.
    /// `false`, and nothing is done: it is more.
    #[inline(always)]
    pub fn flush_one(&mut self, vcpu: u8, lists: &mut ListRegisters) -> bool {
        let shared = self.busy != 0;
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu)) else { return false };
        let bank = &mut cpu.private;
        let (pending, active) = (bank.ready(self.group0, self.group1), bank.active);
        let any = pending | active;
        if shared || any & any.wrapping_sub(1) | bank.physical != 0 || lists.used | lists.dirty != 0 {
            return false;
        }
        let used = u8::from(any != 0);
        if let (true, [register, ..]) = (any != 0, &mut lists.registers) {
            let index = any.trailing_zeros() % 32;
            *register = bank.image(0, index, pending, active, false);
            bank.list(index, pending, *register);
        }
        (lists.used, lists.dirty, lists.write, lists.deactivate) = (used, used, used, 0);
        lists.watch = false;
        true
    }

    /// Show a private interrupt that has just become pending to its vCPU, which is on a CPU and not stale, and touch
    /// nothing else. `read` reads one of its list registers.
    #[inline(always)]
    pub fn show(&mut self, vcpu: u8, lists: &mut ListRegisters, intid: u32, read: impl FnOnce(u8) -> u64) -> Shown {
        let (group0, group1) = (self.group0, self.group1);
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu)) else { return Shown::There };
        let (bank, bit) = (&mut cpu.private, 1u32.wrapping_shl(intid));
        let takes = bank.enabled & (bank.group & group1 | !bank.group & group0) & bit;
        if lists.control != 0 || bank.forced & bit != 0 {
            return Shown::NoRoom;
        }
        if takes == 0 {
            return Shown::There;
        }
        let slot = if bank.listed & bit == 0 {
            if bank.active & bit != 0 || lists.used >= lists.count {
                return Shown::NoRoom;
            }
            lists.used
        } else {
            let Some(slot) = lists.slot_of(intid) else { return Shown::NoRoom };
            let value = read(slot);
            match (value >> PENDING_BIT & 1, value >> ACTIVE_BIT) {
                // What comes a second time before it is taken comes once.
                (1, 0) if value & HARDWARE == 0 => {
                    bank.loaded |= bank.latch & bit;
                    bank.latch &= !bit;
                    return Shown::There;
                }
                (0, 0) => bank.unlist(intid, value),
                _ => return Shown::NoRoom,
            }
            slot
        };
        let value = bank.image(0, intid % 32, bit, 0, false);
        let Some(register) = lists.registers.get_mut(usize::from(slot)) else { return Shown::NoRoom };
        bank.list(intid % 32, bit, value);
        *register = value;
        lists.used = lists.used.max(slot.wrapping_add(1));
        lists.dirty = lists.dirty.max(lists.used);
        Shown::In(slot, value)
    }

    /// The same for one that was put into a list register because it was pending, and that the guest is done with; `None`
    /// for all others. What the register says of it is still right, and the guest still takes it, because every change of
    /// how an interrupt is handled has the list registers made anew; so only its state changes.
    #[inline(always)]
    pub fn show_again(
        &mut self,
        vcpu: u8,
        lists: &mut ListRegisters,
        intid: u32,
        read: impl FnOnce(u8) -> u64,
    ) -> Option<(u8, u64)> {
        let (bank, bit) = (&mut self.cpus.get_mut(usize::from(vcpu))?.private, 1u32.wrapping_shl(intid));
        if lists.control != 0 || bank.listed & !(bank.active | bank.forced | bank.physical) & bit == 0 {
            return None;
        }
        let slot = lists.slot_of(intid)?;
        let value = read(slot);
        if value & (1 << PENDING_BIT | 1 << ACTIVE_BIT | HARDWARE | EOI) != 0 {
            return None;
        }
        bank.loaded |= bank.latch & bit;
        bank.latch &= !bit;
        let value = value | 1 << PENDING_BIT;
        lists.set(slot, value);
        Some((slot, value))
    }

    /// Nothing but private interrupts without a physical one concerns this vCPU.
    #[inline(always)]
    pub fn has_private_only(&self, vcpu: u8) -> bool {
        self.busy == 0 && self.physical(vcpu) == 0
    }

    /// Private interrupts that have become pending since the last flush.
    #[inline(always)]
    pub fn news(&self, vcpu: u8) -> u32 {
        self.cpu(vcpu).map_or(0, |cpu| cpu.private.latch & cpu.private.enabled)
    }

    /// The list register in which a vCPU has been shown a private interrupt.
    #[inline(always)]
    pub fn slot_of(&self, vcpu: u8, lists: &ListRegisters, intid: u32) -> Option<u8> {
        let listed = self.cpu(vcpu).map_or(0, |cpu| cpu.private.listed);
        if listed & 1u32.wrapping_shl(intid) != 0 { lists.slot_of(intid) } else { None }
    }

    /// Bring back what became of the interrupts in a vCPU's list registers, and leave these empty. Costs nothing to
    /// speak of when they are. Returns the *other* vCPUs that may have to be shown an interrupt in consequence.
    pub fn sync(&mut self, vcpu: u8, lists: &mut ListRegisters) -> VcpuMask {
        for _ in 0..core::mem::take(&mut lists.eoi_count) {
            self.complete_unlisted(vcpu);
        }
        lists.control = 0;
        self.unlist_all(vcpu, lists)
    }

    /// The same for a vCPU that leaves its CPU, where nothing is left in the list registers (ICH_ELRSR_EL2), so that they
    /// need not be read; unless [`ListRegisters::must_sync`].
    #[inline(always)]
    pub fn forget_listed(&mut self, vcpu: u8, lists: &mut ListRegisters) {
        if let Some(cpu) = self.cpus.get_mut(usize::from(vcpu)) {
            let bank = &mut cpu.private;
            let listed = core::mem::take(&mut bank.listed);
            bank.active &= !listed | bank.forced;
            bank.loaded &= !listed;
            bank.forced &= !listed;
        }
        lists.used = 0;
        lists.leave();
    }

    /// List everything; `false` when there is not room enough, with as much listed as there is room.
    #[inline]
    fn list_all(&mut self, vcpu: u8, lists: &mut ListRegisters) -> bool {
        let (group0, group1) = (self.group0, self.group1);
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu)) else { return true };
        let bank = &mut cpu.private;
        let (pending, active) = (bank.ready(group0, group1), bank.active);
        if pending | active != 0 && !bank.list_word(lists, 0, pending, active) {
            return false;
        }
        self.busy == 0 || self.list_spis(vcpu, lists)
    }

    /// The shared ones' part of it, out of the way of SGIs and timers.
    #[inline(never)]
    fn list_spis(&mut self, vcpu: u8, lists: &mut ListRegisters) -> bool {
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu)) else { return true };
        let mut words = cpu.routed.iter().zip(&mut cpu.held);
        let mut next = 0;
        for spi in ones(self.busy) {
            let Some((routed, held)) = words.nth((spi - next) as usize) else { break };
            next = spi + 1;
            let Some(bank) = self.spis.get_mut(spi as usize) else { break };
            if bank.is_idle() {
                self.busy &= !(1 << spi);
                continue;
            }
            let active = bank.active & *held & !bank.listed;
            let pending = bank.ready(self.group0, self.group1) & routed & (!bank.active | *held);
            let all = bank.list_word(lists, spi + 1, pending, active);
            // What found no room may become active elsewhere, and must not look as if it were active here then.
            *held |= pending & bank.listed;
            if !all {
                return false;
            }
        }
        true
    }

    /// Take back everything. Returns the other vCPUs that may want something of it.
    fn unlist_all(&mut self, vcpu: u8, lists: &mut ListRegisters) -> VcpuMask {
        let mut others = 0;
        for register in lists.registers.iter_mut().take(usize::from(core::mem::take(&mut lists.used))) {
            let value = core::mem::take(register);
            match self.cpus.get_mut(usize::from(vcpu)) {
                Some(cpu) if (value as u32) < PRIVATE => cpu.private.unlist(value as u32, value),
                _ => others |= self.unlist_spi(vcpu, value),
            }
        }
        others & !(1 << (vcpu % 32))
    }

    fn candidates(&self, vcpu: u8) -> Candidates {
        let mut candidates = Candidates::default();
        let Some(cpu) = self.cpu(vcpu) else { return candidates };
        let (group0, group1) = (self.group0, self.group1);
        candidates.pending[0] = cpu.private.ready(group0, group1);
        candidates.active[0] = cpu.private.active & !cpu.private.listed;
        let spis = self.spis.iter().zip(&cpu.routed).zip(&cpu.held);
        let words = candidates.pending.iter_mut().skip(1).zip(candidates.active.iter_mut().skip(1));
        for (((bank, routed), held), (pending, active)) in spis.zip(words) {
            *active = bank.active & held & !bank.listed;
            *pending = bank.ready(group0, group1) & routed & (!bank.active | held);
        }
        candidates
    }

    /// Put one interrupt into the next free list register, such that its completion is seen.
    fn list(&mut self, vcpu: u8, lists: &mut ListRegisters, candidates: &Candidates, intid: u32) {
        let number = intid / 32;
        let pending = candidates.pending.get(number as usize).copied().unwrap_or(0);
        let active = candidates.active.get(number as usize).copied().unwrap_or(0);
        if let Some(spi) = (number as usize).checked_sub(1)
            && let Some(held) = self.cpu_mut(vcpu).and_then(|cpu| cpu.held.get_mut(spi))
        {
            *held |= 1 << (intid % 32);
        }
        if let Some(bank) = self.bank_mut(vcpu, number) {
            let value = bank.image(number, intid % 32, pending, active, true);
            if lists.push(value) {
                bank.list(intid % 32, pending, value);
            }
        }
    }

    /// Take back an SPI. Returns the vCPUs that it concerns now.
    #[inline(never)]
    fn unlist_spi(&mut self, vcpu: u8, value: u64) -> VcpuMask {
        let intid = value as u32;
        let (number, index) = (intid / 32, intid % 32);
        let Some(spi) = (number as usize).checked_sub(1) else { return 0 };
        let Some(held) = self.cpus.get_mut(usize::from(vcpu)).and_then(|cpu| cpu.held.get_mut(spi)) else { return 0 };
        let Some(bank) = self.spis.get_mut(spi) else { return 0 };
        bank.unlist(index, value);
        let bit = 1 << index;
        let (active, waiting) = (bank.active & bit, bank.pending() & bank.enabled & bit);
        *held = *held & !bit | active;
        self.affected(vcpu, number, waiting & !active)
    }

    /// The guest has completed an active interrupt that was in no list register: the most urgent one, as completions
    /// come in the reverse order of acknowledgements. (With `EOImode` 1 a guest may choose another order; this is not
    /// known.)
    #[cold]
    #[inline(never)]
    fn complete_unlisted(&mut self, vcpu: u8) {
        let active = self.candidates(vcpu).active;
        let urgent = (0..).zip(active).flat_map(|(number, word)| ones(word).map(move |index| number * 32 + index));
        let priority = |intid: &u32| self.bank(vcpu, intid / 32).map(|bank| bank.priority(intid % 32));
        let Some(intid) = urgent.min_by_key(priority) else { return };
        let bit = 1 << (intid % 32);
        if let Some(bank) = self.bank_mut(vcpu, intid / 32) {
            bank.active &= !bit;
        }
        if let Some(spi) = (intid as usize / 32).checked_sub(1)
            && let Some(held) = self.cpu_mut(vcpu).and_then(|cpu| cpu.held.get_mut(spi))
        {
            *held &= !bit;
        }
    }

    /// Fill the list registers when there are too few: see the module's text.
    #[cold]
    #[inline(never)]
    fn list_urgent(&mut self, vcpu: u8, lists: &mut ListRegisters) {
        // Rare enough to begin again.
        self.unlist_all(vcpu, lists);
        let candidates = self.candidates(vcpu);
        // Sorted, most urgent first: priority, then active before pending, then number.
        let mut chosen = [u32::MAX; MAX];
        let room = chosen.get_mut(..usize::from(lists.count)).unwrap_or_default();
        let mut first_pending = u32::MAX;
        for ((number, any), active) in (0..).zip(candidates.any()).zip(candidates.active) {
            let Some(bank) = self.bank(vcpu, number) else { continue };
            for index in ones(any) {
                let waits = active >> index & 1 ^ 1;
                let mut key = u32::from(bank.priority(index)) << 16 | waits << 15 | (number * 32 + index);
                if waits != 0 {
                    first_pending = first_pending.min(key);
                }
                // Most of many are no better than the last.
                if room.last().is_none_or(|last| key > *last) {
                    continue;
                }
                for slot in room.iter_mut() {
                    if key < *slot {
                        core::mem::swap(&mut key, slot);
                    }
                }
            }
        }
        if first_pending != u32::MAX
            && !room.contains(&first_pending)
            && let Some(last) = room.last_mut()
        {
            *last = first_pending;
        }
        lists.control = UNLISTED_COMPLETED | if first_pending == u32::MAX { 0 } else { NONE_PENDING };
        for key in chosen.into_iter().filter(|key| *key != u32::MAX) {
            self.list(vcpu, lists, &candidates, key & 0x7fff);
        }
    }
}
