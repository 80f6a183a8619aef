//! The interrupt controller for devices that a guest sees: 24 lines, each with an entry that says to whom its interrupts go.
//!
//! It has the registers of an 82093AA, two of which are in memory and lead to the others. Interrupts go to local APICs as
//! fixed ones; the other kinds, which make NMIs and resets of an interrupt, are kept and never sent.
//!
//! Pure state, tested on the host. Source: Intel 82093AA data sheet, chapter 3.

use crate::vlapic::Effect;

/// Registers in memory, offsets in bytes: which register, and its value.
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
/// Registers: identifier, version, arbitration, and the entries, of two registers each.
const ID: u8 = 0;
const VERSION: u8 = 1;
const ARBITRATION: u8 = 2;
const FIRST_ENTRY: u8 = 0x10;
/// Lines.
const LINES: usize = 24;
/// Version 0x11, and the number of the last line.
const VERSION_VALUE: u32 = (LINES as u32 - 1) << 16 | 0x11;
/// Bits of an entry: where the destination stands, masked, level-triggered, sent and not ended, by logical number, kind.
const DESTINATION: u32 = 56;
const MASKED: u64 = 1 << 16;
const LEVEL: u64 = 1 << 15;
const SENT: u64 = 1 << 14;
const LOGICAL: u64 = 1 << 11;
const KIND: u64 = 7 << 8;
const LOWEST_PRIORITY: u64 = 1 << 8;
/// What a guest can set in the two halves.
const WRITABLE: [u64; 2] = [0x1_afff, 0xff << 24];
/// Vectors below are not for interrupts.
const FIRST_VECTOR: u8 = 16;

/// One guest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoApic {
    select: u8,
    id: u8,
    /// How many vCPUs there are.
    vcpus: u8,
    entries: [u64; LINES],
    /// Lines that are up.
    up: u32,
    /// Lines that went up, and nobody has been told.
    pending: u32,
    /// Lines of the machine's devices that the guest has, and which of them were open when [`IoApic::changes`] was asked last.
    given: u32,
    open: u32,
}

impl IoApic {
    /// As after a reset. The `given` lines (bit n is line n) are those of the machine's devices that the guest has.
    pub const fn new(vcpus: u8, given: u32) -> Self {
        Self { select: 0, id: 0, vcpus, entries: [MASKED; LINES], up: 0, pending: 0, given, open: 0 }
    }

    /// Resets it; what the machine was told stays known.
    pub fn reset(&mut self) {
        *self = Self { open: self.open, ..Self::new(self.vcpus, self.given) };
    }

    /// Which given lines are to be closed in the machine, and which are to be opened. A line is open while the guest waits for
    /// its device: not while it masks it, nor from an interrupt to its end, since the device keeps the line up until then.
    pub fn changes(&mut self) -> (u32, u32) {
        let waits = |line: &usize| {
            let entry = self.entries.get(*line).copied().unwrap_or(MASKED);
            self.given >> *line & 1 != 0 && entry & (MASKED | LEVEL | SENT) == LEVEL
        };
        let open = (0..LINES).filter(waits).fold(0, |open, line| open | 1 << line) & !self.up;
        let before = core::mem::replace(&mut self.open, open);
        (before & !open, open & !before)
    }

    /// Reads a register in memory.
    pub fn read(&self, offset: u64) -> u32 {
        match (offset, self.select) {
            (SELECT, select) => select.into(),
            (WINDOW, ID | ARBITRATION) => u32::from(self.id) << 24,
            (WINDOW, VERSION) => VERSION_VALUE,
            (WINDOW, FIRST_ENTRY..) => {
                let number = self.select - FIRST_ENTRY;
                let entry = self.entries.get(usize::from(number / 2)).copied().unwrap_or(0);
                (entry >> (32 * (number % 2))) as u32
            }
            _ => 0,
        }
    }

    /// Writes a register in memory.
    pub fn write(&mut self, offset: u64, value: u32) -> Effect {
        match (offset, self.select) {
            (SELECT, _) => self.select = value as u8,
            (WINDOW, ID) => self.id = (value >> 24) as u8 & 15,
            (WINDOW, FIRST_ENTRY..) => {
                let number = self.select - FIRST_ENTRY;
                let (line, half) = (usize::from(number / 2), usize::from(number % 2));
                if let (Some(entry), Some(writable)) = (self.entries.get_mut(line), WRITABLE.get(half)) {
                    let shift = 32 * half;
                    *entry = *entry & !(writable << shift) | (u64::from(value) & writable) << shift;
                    // What is triggered by edges is over when it is sent.
                    if *entry & LEVEL == 0 {
                        *entry &= !SENT;
                    }
                    return self.send(line);
                }
            }
            _ => {}
        }
        Effect::None
    }

    /// A device moves its line.
    pub fn set_line(&mut self, line: u8, level: bool) -> Effect {
        let bit = 1u32.checked_shl(line.into()).unwrap_or(0);
        let rises = level && self.up & bit == 0;
        self.up = if level { self.up | bit } else { self.up & !bit };
        if rises {
            self.pending |= bit;
        }
        if level { self.send(line.into()) } else { Effect::None }
    }

    /// Is there an interrupt whose end matters?
    pub fn waits_for_end(&self) -> bool {
        self.entries.iter().any(|entry| entry & SENT != 0)
    }

    /// A vCPU has ended an interrupt of this vector.
    pub fn end(&mut self, vector: u8) -> Effect {
        for (line, entry) in self.entries.iter_mut().enumerate() {
            if *entry & SENT != 0 && *entry as u8 == vector {
                *entry &= !SENT;
                // Whether a device's line is still up, the machine says anew.
                self.up &= !(self.given & 1 << line);
            }
        }
        let effects = (0..LINES).map(|line| self.send(line));
        // One device has one line: there is one at most.
        effects.reduce(|first, next| if first == Effect::None { next } else { first }).unwrap_or(Effect::None)
    }

    /// Sends a line's interrupt if there is one and it may go.
    fn send(&mut self, line: usize) -> Effect {
        let bit = 1u32.checked_shl(line as u32).unwrap_or(0);
        let Some(entry) = self.entries.get_mut(line) else { return Effect::None };
        let by_level = *entry & LEVEL != 0;
        let wants = if by_level { self.up & bit != 0 && *entry & SENT == 0 } else { self.pending & bit != 0 };
        if !wants || *entry & MASKED != 0 {
            return Effect::None;
        }
        self.pending &= !bit;
        if by_level {
            *entry |= SENT;
        }
        let (destination, vector, kind) = ((*entry >> DESTINATION) as u32, *entry as u8, *entry & KIND);
        let all = 1u32.checked_shl(self.vcpus.into()).map_or(!0, |bit| bit - 1);
        let named = match destination {
            0xff => all,
            bits if *entry & LOGICAL != 0 => bits & all,
            number => 1u32.checked_shl(number).unwrap_or(0) & all,
        };
        let targets = match kind {
            0 => named,
            LOWEST_PRIORITY => named & named.wrapping_neg(),
            _ => 0,
        };
        if targets == 0 || vector < FIRST_VECTOR { Effect::None } else { Effect::Interrupt { targets, vector } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(apic: &mut IoApic, register: u8, value: u32) -> Effect {
        apic.write(SELECT, register.into());
        apic.write(WINDOW, value)
    }

    fn get(apic: &mut IoApic, register: u8) -> u32 {
        apic.write(SELECT, register.into());
        apic.read(WINDOW)
    }

    const TO_FIRST: Effect = Effect::Interrupt { targets: 1, vector: 0x31 };

    #[test]
    fn a_kernel_finds_24_masked_lines() {
        let mut apic = IoApic::new(2, 0);
        assert_eq!(get(&mut apic, VERSION), 0x17_0011);
        for line in 0..24 {
            assert_eq!((get(&mut apic, 0x10 + 2 * line), get(&mut apic, 0x11 + 2 * line)), (0x1_0000, 0));
        }
        assert_eq!(get(&mut apic, 0x40), 0, "there are no more");
        set(&mut apic, 0x40, !0);
        assert_eq!(set(&mut apic, ID, !0), Effect::None);
        assert_eq!((get(&mut apic, ID), get(&mut apic, ARBITRATION)), (0x0f00_0000, 0x0f00_0000));
        set(&mut apic, 0x18, !0);
        set(&mut apic, 0x19, !0);
        assert_eq!((get(&mut apic, 0x18), get(&mut apic, 0x19)), (0x1_afff, 0xff00_0000), "states are not the guest's");
    }

    #[test]
    fn an_edge_is_told_once_and_not_forgotten_while_masked() {
        let mut apic = IoApic::new(2, 0);
        assert_eq!(set(&mut apic, 0x18, 0x1_0031), Effect::None);
        assert_eq!(apic.set_line(4, true), Effect::None);
        assert_eq!(apic.set_line(4, false), Effect::None);
        assert_eq!(set(&mut apic, 0x18, 0x31), TO_FIRST);
        assert_eq!(set(&mut apic, 0x18, 0x31), Effect::None);
        assert_eq!((apic.set_line(4, true), apic.set_line(4, true)), (TO_FIRST, Effect::None));
        assert!(!apic.waits_for_end());
    }

    #[test]
    fn a_level_is_told_again_when_it_was_ended_and_holds() {
        let mut apic = IoApic::new(2, 0);
        set(&mut apic, 0x18, 0x8031);
        assert_eq!((apic.set_line(4, true), apic.set_line(4, true)), (TO_FIRST, Effect::None));
        assert_eq!((get(&mut apic, 0x18), apic.waits_for_end()), (0xc031, true));
        assert_eq!(apic.end(0x30), Effect::None, "another's");
        assert_eq!(apic.end(0x31), TO_FIRST);
        apic.set_line(4, false);
        assert_eq!((apic.end(0x31), apic.waits_for_end()), (Effect::None, false));
    }

    #[test]
    fn a_devices_line_is_open_while_the_guest_waits_for_it() {
        let mut apic = IoApic::new(2, 1 << 4);
        assert_eq!(apic.changes(), (0, 0), "nobody waits yet");
        set(&mut apic, 0x18, 0x8031);
        set(&mut apic, 0x1a, 0x8032);
        assert_eq!((apic.changes(), apic.changes()), ((0, 1 << 4), (0, 0)), "what is not given is not the machine's");
        assert_eq!((apic.set_line(4, true), apic.changes()), (TO_FIRST, (1 << 4, 0)));
        set(&mut apic, 0x18, 0x1_8031);
        assert_eq!((apic.end(0x31), apic.changes()), (Effect::None, (0, 0)), "ended, but masked");
        set(&mut apic, 0x18, 0x8031);
        assert_eq!(apic.changes(), (0, 1 << 4), "and whether the line is up still, the machine says");
        set(&mut apic, 0x18, 0x31);
        assert_eq!(apic.changes(), (1 << 4, 0), "a device's line is no edge");
    }

    #[test]
    fn what_comes_while_a_line_is_masked_waits() {
        let mut apic = IoApic::new(1, 1 << 4);
        assert_eq!(apic.set_line(4, true), Effect::None);
        assert_eq!((set(&mut apic, 0x18, 0x8031), apic.changes()), (TO_FIRST, (0, 0)));
        assert_eq!((apic.end(0x31), apic.changes()), (Effect::None, (0, 1 << 4)));
    }

    #[test]
    fn a_reset_closes_a_devices_line() {
        let mut apic = IoApic::new(1, 1 << 4);
        set(&mut apic, 0x18, 0x8031);
        assert_eq!(apic.changes(), (0, 1 << 4));
        apic.reset();
        assert_eq!((apic.changes(), apic.changes()), ((1 << 4, 0), (0, 0)));
        set(&mut apic, 0x18, 0x8031);
        apic.set_line(4, true);
        apic.reset();
        assert_eq!(
            (set(&mut apic, 0x18, 0x8031), apic.changes()),
            (Effect::None, (0, 1 << 4)),
            "nothing is left of it"
        );
    }

    #[test]
    fn it_goes_to_whom_the_entry_names() {
        let mut apic = IoApic::new(4, 0);
        let mut sent = |low: u32, destination: u32| {
            set(&mut apic, 0x18, 1 << 16);
            set(&mut apic, 0x19, destination << 24);
            set(&mut apic, 0x18, low);
            apic.set_line(4, false);
            match apic.set_line(4, true) {
                Effect::Interrupt { targets, vector: 0x31 } => targets,
                _ => 0,
            }
        };
        assert_eq!((sent(0x31, 2), sent(0x31, 9), sent(0x31, 0xff)), (4, 0, 15));
        assert_eq!((sent(0x831, 6), sent(0x931, 6)), (6, 2), "logical, and the lowest priority");
        assert_eq!((sent(0x431, 1), sent(0x05, 1)), (0, 0), "no NMIs, no vectors of exceptions");
    }
}
