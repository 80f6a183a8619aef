//! The guest's virtual timer: the processor's own, with an offset that starts a domain's clock at zero.
//!
//! While its vCPU is loaded the timer runs in hardware and its interrupt (PPI 11) is forwarded by a list register that
//! is tied to the physical interrupt, so that the guest's end of interrupt reaches the hardware without an exit. While
//! it is not loaded, the core waits for [`VirtualTimer::deadline`] instead.

use hyp_dev::sysreg;
use hyp_dev::timer::{self, Clock};

const ENABLE: u64 = 1 << 0;
const MASK: u64 = 1 << 1;
const STATUS: u64 = 1 << 2;

/// INTID of the virtual timer, for guests and, by the architecture's recommendation, for the machine.
pub(crate) const VIRTUAL_TIMER: u32 = 27;

/// The registers of a vCPU's virtual timer.
pub struct VirtualTimer {
    control: u64,
    compare: u64,
}

/// The line is up: on, not masked, condition met.
const fn asserted(control: u64) -> bool {
    control & (ENABLE | MASK | STATUS) == ENABLE | STATUS
}

impl VirtualTimer {
    /// Off.
    pub const fn reset() -> Self {
        Self { control: 0, compare: 0 }
    }

    /// Takes the timer out of the processor; it is off there afterwards, and its line down.
    pub fn save(&mut self) {
        self.control = sysreg::read_cntv_ctl_el0();
        self.compare = sysreg::read_cntv_cval_el0();
        if self.control & ENABLE != 0 {
            sysreg::write_cntv_ctl_el0(0);
            sysreg::isb();
        }
    }

    /// Puts it in. `offset` is the domain's, in ticks.
    pub fn load(&self, offset: u64) {
        sysreg::write_cntvoff_el2(offset);
        sysreg::write_cntv_cval_el0(self.compare);
        sysreg::write_cntv_ctl_el0(self.control & (ENABLE | MASK));
    }

    /// Its line will be up as soon as it is loaded.
    pub fn is_due(&self, offset: u64) -> bool {
        self.control & (ENABLE | MASK) == ENABLE && timer::counter().wrapping_sub(offset) >= self.compare
    }

    /// When it will interrupt, in the machine's nanoseconds; `None` when it is off, or when its line is up already, so
    /// that time changes nothing. Valid after [`Self::save`].
    pub fn deadline(&self, offset: u64, clock: &Clock) -> Option<u64> {
        /// Later than this the conversion would wrap; a guest writes such times to say never.
        const NEVER: u64 = u64::MAX / 1_000_000_000;
        let at = self.compare.saturating_add(offset);
        (self.control & (ENABLE | MASK | STATUS) == ENABLE && at < NEVER).then(|| clock.to_ns(at))
    }

    /// Its line was up when it was saved.
    pub fn is_asserted(&self) -> bool {
        asserted(self.control)
    }
}

/// The loaded timer's line is up now.
pub(crate) fn is_line_up() -> bool {
    asserted(sysreg::read_cntv_ctl_el0())
}
