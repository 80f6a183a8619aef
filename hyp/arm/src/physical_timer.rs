//! The guest's physical timer (CNTP): rarely used, so its registers trap, and its interrupt is sent by software.
//!
//! While its vCPU is loaded and it runs, the processor's own physical timer watches for the time; while the vCPU is not
//! loaded, the core does. The physical counter is the machine's, without an offset, as on Xen.
//!
//! Pure, tested on the host; the processor's side is in ptimer.rs. Registers: Arm ARM D24.12 (CNTP_CTL_EL0 and so on).

const ENABLE: u64 = 1 << 0;
const MASK: u64 = 1 << 1;
const STATUS: u64 = 1 << 2;

/// op2 of CNTP_TVAL_EL0, CNTP_CTL_EL0 and CNTP_CVAL_EL0; op0, op1, CRn and CRm are 3, 3, 14 and 2.
const REMAINING: u16 = 0;
const CONTROL: u16 = 1;

/// The registers of a vCPU's physical timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalTimer {
    control: u64,
    compare: u64,
}

impl PhysicalTimer {
    /// Off.
    pub const fn reset() -> Self {
        Self { control: 0, compare: 0 }
    }

    /// On, whatever its line does.
    pub const fn is_on(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// When its line goes up by time passing or has gone up, in ticks; `None` where it cannot.
    pub const fn due(&self) -> Option<u64> {
        if self.control & (ENABLE | MASK) == ENABLE { Some(self.compare) } else { None }
    }

    /// The level of its line.
    pub const fn line(&self, now: u64) -> bool {
        matches!(self.due(), Some(at) if now >= at)
    }

    /// A trapped access at the time `now`, in ticks: `write` to the register, or a read.
    pub const fn access(&mut self, op2: u16, write: Option<u64>, now: u64) -> u64 {
        match (op2, write) {
            (REMAINING, Some(ticks)) => self.compare = now.wrapping_add(ticks as i32 as u64),
            (CONTROL, Some(bits)) => self.control = bits & (ENABLE | MASK),
            (_, Some(at)) => self.compare = at,
            (REMAINING, None) => return self.compare.wrapping_sub(now) & 0xffff_ffff,
            (CONTROL, None) => {
                let met = self.is_on() && now >= self.compare;
                return self.control | if met { STATUS } else { 0 };
            }
            (_, None) => return self.compare,
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPARE: u16 = 2;

    #[test]
    fn it_is_due_at_its_time_unless_masked_or_off() {
        let mut timer = PhysicalTimer::reset();
        timer.access(COMPARE, Some(100), 0);
        assert_eq!((timer.due(), timer.line(200)), (None, false));
        timer.access(CONTROL, Some(ENABLE), 0);
        assert_eq!((timer.due(), timer.line(99), timer.line(100)), (Some(100), false, true));
        assert_eq!((timer.access(CONTROL, None, 99), timer.access(CONTROL, None, 100)), (1, 5));
        timer.access(CONTROL, Some(ENABLE | MASK), 0);
        assert_eq!((timer.due(), timer.line(100)), (None, false));
        assert_eq!(timer.access(CONTROL, None, 100), 7, "the status shows behind the mask");
        timer.access(CONTROL, Some(STATUS), 0);
        assert_eq!(timer.access(CONTROL, None, 100), 0, "the status cannot be written, and is gone when it is off");
    }

    #[test]
    fn what_remains_is_a_signed_word() {
        let mut timer = PhysicalTimer::reset();
        timer.access(REMAINING, Some(50), 1000);
        assert_eq!(timer.access(COMPARE, None, 0), 1050);
        assert_eq!(timer.access(REMAINING, None, 1060), 0xffff_fff6);
        timer.access(REMAINING, Some(0xffff_ffff), 1000);
        assert_eq!(timer.access(COMPARE, None, 0), 999);
        timer.access(REMAINING, Some(0x5_0000_0001), 1000);
        assert_eq!(timer.access(COMPARE, None, 0), 1001);
    }

    #[test]
    fn extreme_times_do_not_stop_anything() {
        let mut timer = PhysicalTimer::reset();
        timer.access(REMAINING, Some(u64::MAX), 0);
        timer.access(CONTROL, Some(ENABLE), 0);
        assert_eq!((timer.due(), timer.line(5)), (Some(u64::MAX), false));
        assert_eq!(timer.access(REMAINING, None, u64::MAX), 0);
    }
}
