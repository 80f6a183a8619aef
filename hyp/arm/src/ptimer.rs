//! The processor's side of the guest's physical timer: see physical_timer.rs.

use aarch64_cpu::asm::barrier;
use hyp_dev::sysreg;
use hyp_dev::timer::{self, Clock};

use crate::domain::ArmDomain;
use crate::physical_timer::PhysicalTimer;

/// INTID of the physical timer, for guests and, by the architecture's recommendation, for the machine.
pub(crate) const PHYSICAL_TIMER: u32 = 30;
/// CNTP_CTL_EL0.ENABLE.
const ENABLE: u64 = 1;

/// One vCPU's physical timer.
pub(crate) struct TimerUnit {
    registers: PhysicalTimer,
    /// The level of its line, as the interrupt controller was told last.
    told: bool,
}

impl TimerUnit {
    /// Off. The line is down, or the caller withdraws it.
    pub(crate) const fn reset() -> Self {
        Self { registers: PhysicalTimer::reset(), told: false }
    }

    /// It has to be looked at when its vCPU comes, goes or waits.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.registers.is_on()
    }

    /// The loaded vCPU's access to one of its registers trapped.
    #[inline(never)]
    pub(crate) fn access(&mut self, domain: &ArmDomain, index: u8, op2: u16, write: Option<u64>) -> u64 {
        let value = self.registers.access(op2, write, timer::counter());
        if write.is_some() {
            self.update(domain, index);
        }
        value
    }

    /// Tells the interrupt controller where the line is, and has the processor watch for when it goes up.
    #[inline(never)]
    pub(crate) fn update(&mut self, domain: &ArmDomain, index: u8) {
        let line = self.registers.line(timer::counter());
        if line != self.told {
            self.told = line;
            let stale = domain.vgic.lock().set_line(index, PHYSICAL_TIMER, line);
            domain.mark_stale(stale);
        }
        match self.registers.due().filter(|_| !line) {
            Some(at) => {
                sysreg::write_cntp_cval_el0(at);
                sysreg::write_cntp_ctl_el0(ENABLE);
            }
            None => sysreg::write_cntp_ctl_el0(0),
        }
        barrier::isb(barrier::SY);
    }

    /// The vCPU goes out: nobody watches here any more.
    #[inline(always)]
    pub(crate) fn save(&self) {
        if self.is_on() {
            sysreg::write_cntp_ctl_el0(0);
            sysreg::isb();
        }
    }

    /// When its vCPU has to be loaded for it, in the machine's nanoseconds.
    #[inline(always)]
    pub(crate) fn deadline(&self, clock: &Clock) -> Option<u64> {
        /// Later than this the conversion would wrap; a guest writes such times to say never.
        const NEVER: u64 = u64::MAX / 1_000_000_000;
        if !self.is_on() || self.told {
            return None;
        }
        self.registers.due().filter(|at| *at < NEVER).map(|at| clock.to_ns(at))
    }
}
