//! A vCPU's self-hosted debug registers: breakpoints, watchpoints, single step.
//!
//! Nearly all guests set them to zero once and never think of them again. So they are kept here, in memory, and each
//! access traps, until a guest switches something on that must happen without us: then they go into the processor
//! (debug.rs), for as long as it stays on.
//!
//! Pure, tested on the host. Registers: Arm ARM D24.3; which of them trap: D24.2.124, MDCR_EL2.TDA, TDRA and TDOSA.

use crate::identification::{BREAKPOINTS, WATCHPOINTS};
use crate::syndrome::encode;

/// MDSCR_EL1: single step; access of EL0 to the channel; debug exceptions from EL1; breakpoints and watchpoints.
const STEP: u64 = 1 << 0;
const MONITOR: u64 = 1 << 15;
const CONTROL: u64 = STEP | 1 << 12 | 1 << 13 | MONITOR;
/// DBGBCR<n>_EL1 and DBGWCR<n>_EL1: what can be written.
const BREAKPOINT_CONTROL: u64 = 0x00ff_e1e7;
const WATCHPOINT_CONTROL: u64 = 0x1f1f_ffff;
/// OSLSR_EL1: there is a lock; it is locked.
const LOCK_EXISTS: u64 = 1 << 3;
const LOCKED: u64 = 1 << 1;

/// The registers' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugRegisters {
    /// MDSCR_EL1.
    pub control: u64,
    /// DBGBVR<n>_EL1 and DBGBCR<n>_EL1.
    pub breakpoints: [[u64; 2]; BREAKPOINTS as usize],
    /// DBGWVR<n>_EL1 and DBGWCR<n>_EL1.
    pub watchpoints: [[u64; 2]; WATCHPOINTS as usize],
    locked: bool,
}

/// What a processor has of each, by its ID_AA64DFR0_EL1 as guests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Breakpoints.
    pub breakpoints: u8,
    /// Watchpoints.
    pub watchpoints: u8,
}

impl Counts {
    /// From ID_AA64DFR0_EL1.
    pub fn new(identification: u64) -> Self {
        let most = |low: u32, most: u8| {
            let count = (identification >> low & 0xf) as u8 + 1;
            count.min(most)
        };
        Self { breakpoints: most(12, BREAKPOINTS), watchpoints: most(20, WATCHPOINTS) }
    }
}

impl DebugRegisters {
    /// As at reset: the lock is locked, the rest off.
    pub const fn reset() -> Self {
        Self {
            control: 0,
            breakpoints: [[0; 2]; BREAKPOINTS as usize],
            watchpoints: [[0; 2]; WATCHPOINTS as usize],
            locked: true,
        }
    }

    /// Something is on that must happen without us.
    pub const fn is_on(&self) -> bool {
        !self.locked && self.control & (STEP | MONITOR) != 0
    }

    /// A trapped access: `write` to the register, or a read of it. `None`: it is undefined.
    pub fn access(&mut self, register: u16, write: Option<u64>, counts: Counts) -> Option<u64> {
        const OSDTRRX: u16 = encode(2, 0, 0, 0, 2);
        const MDCCINT: u16 = encode(2, 0, 0, 2, 0);
        const MDSCR: u16 = encode(2, 0, 0, 2, 2);
        const OSDTRTX: u16 = encode(2, 0, 0, 3, 2);
        const OSECCR: u16 = encode(2, 0, 0, 6, 2);
        const MDRAR: u16 = encode(2, 0, 1, 0, 0);
        const OSLAR: u16 = encode(2, 0, 1, 0, 4);
        const OSLSR: u16 = encode(2, 0, 1, 1, 4);
        const OSDLR: u16 = encode(2, 0, 1, 3, 4);
        const DBGPRCR: u16 = encode(2, 0, 1, 4, 4);
        const DBGCLAIMSET: u16 = encode(2, 0, 7, 8, 6);
        const DBGCLAIMCLR: u16 = encode(2, 0, 7, 9, 6);
        const DBGAUTHSTATUS: u16 = encode(2, 0, 7, 14, 6);
        const MDCCSR: u16 = encode(2, 3, 0, 1, 0);
        const DBGDTR: u16 = encode(2, 3, 0, 4, 0);
        const DBGDTRX: u16 = encode(2, 3, 0, 5, 0);
        match (register, write) {
            (MDSCR, _) => Some(set(&mut self.control, write, CONTROL)),
            (OSLAR, Some(value)) => {
                self.locked = value & 1 != 0;
                Some(0)
            }
            (OSLSR, None) => Some(LOCK_EXISTS | if self.locked { LOCKED } else { 0 }),
            // Channels to an external debugger and its tags: nobody is there.
            (MDRAR | DBGAUTHSTATUS | MDCCSR, None) => Some(0),
            (OSDTRRX | OSDTRTX | MDCCINT | OSECCR | OSDLR | DBGPRCR, _) => Some(0),
            (DBGCLAIMSET | DBGCLAIMCLR | DBGDTR | DBGDTRX, _) => Some(0),
            _ => self.pair(register, write, counts),
        }
    }

    /// DBGBVR<n>, DBGBCR<n>, DBGWVR<n> or DBGWCR<n>.
    fn pair(&mut self, register: u16, write: Option<u64>, counts: Counts) -> Option<u64> {
        let (number, kind) = (register >> 3 & 0xf, register & 7);
        if register & !(0xf << 3 | 7) != encode(2, 0, 0, 0, 0) {
            return None;
        }
        let (pairs, count, mask): (&mut [[u64; 2]], _, _) = match kind {
            4 | 5 => (&mut self.breakpoints, counts.breakpoints, [!3, BREAKPOINT_CONTROL]),
            6 | 7 => (&mut self.watchpoints, counts.watchpoints, [!3, WATCHPOINT_CONTROL]),
            _ => return None,
        };
        let [value, control] = pairs.get_mut(..usize::from(count))?.get_mut(usize::from(number))?;
        let [value_mask, control_mask] = mask;
        let (place, mask) = if kind & 1 == 0 { (value, value_mask) } else { (control, control_mask) };
        Some(set(place, write, mask))
    }
}

/// Reads a register, or writes it first.
fn set(place: &mut u64, write: Option<u64>, mask: u64) -> u64 {
    if let Some(value) = write {
        *place = value & mask;
    }
    *place
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: Counts = Counts { breakpoints: 6, watchpoints: 4 };
    const MDSCR: u16 = encode(2, 0, 0, 2, 2);
    const OSLAR: u16 = encode(2, 0, 1, 0, 4);
    const OSLSR: u16 = encode(2, 0, 1, 1, 4);

    fn breakpoint(number: u16, kind: u16) -> u16 {
        encode(2, 0, 0, number, kind)
    }

    #[test]
    fn what_linux_does_at_boot_switches_nothing_on() {
        let mut debug = DebugRegisters::reset();
        assert_eq!(debug.access(OSLSR, None, COUNTS), Some(0b1010), "locked");
        debug.access(OSLAR, Some(0), COUNTS);
        assert_eq!(debug.access(OSLSR, None, COUNTS), Some(0b1000));
        debug.access(MDSCR, Some(1 << 12), COUNTS);
        for number in 0..6 {
            (4..8).for_each(|kind| {
                debug.access(breakpoint(number, kind), Some(0), COUNTS);
            });
        }
        assert!(!debug.is_on());
    }

    #[test]
    fn a_step_or_a_breakpoint_needs_the_processor_once_the_lock_is_open() {
        for control in [STEP, MONITOR, MONITOR | 1 << 13] {
            let mut debug = DebugRegisters::reset();
            assert_eq!(debug.access(MDSCR, Some(control), COUNTS), Some(control));
            assert!(!debug.is_on(), "locked");
            debug.access(OSLAR, Some(0), COUNTS);
            assert!(debug.is_on());
            debug.access(MDSCR, Some(0), COUNTS);
            assert!(!debug.is_on());
        }
    }

    #[test]
    fn as_many_as_there_are_and_no_more() {
        let mut debug = DebugRegisters::reset();
        let counts = Counts::new(0x1030_5006);
        assert_eq!(counts, COUNTS);
        for number in 0..16 {
            let read = debug.access(breakpoint(number, 5), None, counts);
            assert_eq!(read.is_some(), number < 6, "breakpoint {number}");
            let read = debug.access(breakpoint(number, 6), None, counts);
            assert_eq!(read.is_some(), number < 4, "watchpoint {number}");
        }
        assert_eq!(Counts::new(0xf0f_f00f), Counts { breakpoints: 6, watchpoints: 1 });
        assert_eq!(Counts::new(0x10_1006), Counts { breakpoints: 2, watchpoints: 2 });
    }

    #[test]
    fn each_register_has_its_own_value() {
        let mut debug = DebugRegisters::reset();
        for number in 0..4u16 {
            for kind in 4..8u16 {
                debug.access(breakpoint(number, kind), Some(u64::from(number << 8 | kind << 4)), COUNTS);
            }
        }
        for number in 0..4u16 {
            for kind in 4..8u16 {
                let mask = if kind == 5 { BREAKPOINT_CONTROL } else { WATCHPOINT_CONTROL | !0xffff_ffff };
                let expected = u64::from(number << 8 | kind << 4) & mask;
                assert_eq!(debug.access(breakpoint(number, kind), None, COUNTS), Some(expected));
            }
        }
        debug.access(breakpoint(0, 5), Some(u64::MAX), COUNTS);
        assert_eq!(debug.access(breakpoint(0, 5), None, COUNTS), Some(BREAKPOINT_CONTROL));
    }

    #[test]
    fn directions_and_traces_are_undefined() {
        let mut debug = DebugRegisters::reset();
        assert_eq!(debug.access(OSLAR, None, COUNTS), None);
        assert_eq!(debug.access(OSLSR, Some(0), COUNTS), None);
        assert_eq!(debug.access(encode(2, 1, 0, 0, 0), None, COUNTS), None);
        assert_eq!(debug.access(encode(2, 0, 0, 0, 0), None, COUNTS), None);
        assert_eq!(debug.access(encode(2, 0, 7, 0, 4), None, COUNTS), None);
    }
}
