//! The exit loop: a guest runs, traps, and either goes on at once or the core hears of it.
//!
//! An exit is dealt with in two places. [`on_exit`] is called while the guest's x19 to x29 are still in the processor,
//! which saves storing and loading them; nearly every exit ends there. The few that may touch one of these registers
//! make the guest be left first. What an exit means is the same in both places: [`Turn`] knows it.

use aarch64_cpu::registers::{ESR_EL2, Readable};
use hyp_core::arch::{Exit, Interrupt, Onward, Parts, Running};
use xen_abi::hypercall::TAG;

use crate::arch::Arm;
use crate::registers::{self, INTERRUPT};
use crate::run::Turn;
use crate::syndrome::{self, class, kind};
use crate::vgic::v3::SgiRegister;
use crate::{interrupts, stretch, virtual_interface};

/// The register that carries a hypercall's number (public/arch-arm.h).
const HYPERCALL_REGISTER: usize = 16;

/// What [`on_exit`] returns: the guest goes on.
const GOES_ON: u64 = 0;
/// The exit needs all registers where software can reach them. Anything else: the exit is for the core, see
/// [`Visit::leave`].
const NEEDS_ALL: u64 = 1;

/// A vCPU's stay on the processor.
struct Visit<'v, R> {
    running: &'v mut R,
    /// What the core has to hear.
    exit: &'v mut Exit,
}

/// Runs the vCPU until something needs the core, which `exit` says.
pub(crate) fn run<R: Running<Arm>>(running: &mut R, exit: &mut Exit) {
    let mut visit = Visit { running, exit };
    let mut next = visit.refresh();
    let mut visitor = on_exit::<R> as registers::Visitor;
    if stretch::is_on() {
        stretch::end();
        visitor = on_exit_timed::<R>;
    }
    while next == GOES_ON {
        let registers = &raw mut visit.running.parts().vcpu.registers;
        // SAFETY: the core loaded the vCPU before it called `Arch::run`. `visit` lives on, and this function touches
        // neither it nor the registers before the call is over; `on_exit` gets the only pointer.
        next = unsafe { registers::enter(registers, (&raw mut visit).cast(), visitor) };
        if next == NEEDS_ALL {
            next = visit.synchronous(ESR_EL2.get());
            if next == GOES_ON {
                stretch::end();
            }
        }
    }
}

/// Deals with an exit: see [`registers::Visitor`].
extern "C" fn on_exit<R: Running<Arm>>(visit: *mut (), syndrome: u64) -> u64 {
    // SAFETY: `run` passed a pointer to its own `Visit<R>`, which lives until `enter` is over and which nobody else
    // touches before.
    let visit = unsafe { &mut *visit.cast::<Visit<'_, R>>() };
    if syndrome::is_hypercall(syndrome, TAG) {
        return visit.hypercall();
    }
    match syndrome::kind(syndrome) {
        kind::DESCRIBED_ABORT if syndrome::transfers_volatile(syndrome) => visit.data_abort(syndrome),
        kind::SYSTEM_REGISTER if syndrome::accesses_volatile(syndrome) => visit.system_register(syndrome),
        kind::WAIT => visit.wait_for(syndrome),
        kind::NONE => visit.asynchronous(syndrome),
        _ => other_exit(visit, syndrome),
    }
}

/// [`on_exit`], with a look at the clock before and after.
extern "C" fn on_exit_timed<R: Running<Arm>>(visit: *mut (), syndrome: u64) -> u64 {
    let number = {
        // SAFETY: as in `on_exit`, which this function calls once this reference is gone.
        let visit = unsafe { &mut *visit.cast::<Visit<'_, R>>() };
        visit.running.parts().vcpu.registers.x.get(HYPERCALL_REGISTER).copied().unwrap_or(0)
    };
    stretch::begin_exit(syndrome, number);
    let next = on_exit::<R>(visit, syndrome);
    if next == GOES_ON {
        stretch::end();
    }
    next
}

/// Deals with an exit that is none of the most frequent.
#[inline(always)]
fn other_exit<R: Running<Arm>>(visit: &mut Visit<'_, R>, syndrome: u64) -> u64 {
    match syndrome::class(syndrome) {
        class::HVC if syndrome::immediate(syndrome) == 0 => visit.firmware(),
        class::SMC if syndrome::immediate(syndrome) == 0 => visit.secure_call(syndrome),
        class::WAIT => visit.wait_for(syndrome),
        class::HVC | class::SMC | class::FLOAT => visit.rare(syndrome),
        _ => NEEDS_ALL,
    }
}

impl<R: Running<Arm>> Visit<'_, R> {
    #[inline(never)]
    fn hypercall(&mut self) -> u64 {
        let x = &self.running.parts().vcpu.registers.x;
        let [a, b, c, d, e, ..] = *x;
        let number = x.get(HYPERCALL_REGISTER).copied().unwrap_or(0);
        match self.running.hypercall(number, [a, b, c, d, e]) {
            Onward::Same => GOES_ON,
            Onward::Changed => self.refresh(),
            Onward::Leave => self.leave(Exit::LookAround),
        }
    }

    /// What [`on_exit`] left over, because it may need x19 to x29.
    fn synchronous(&mut self, syndrome: u64) -> u64 {
        match syndrome::class(syndrome) {
            class::SYSTEM_REGISTER => self.system_register(syndrome),
            class::DATA_ABORT => self.data_abort(syndrome),
            _ => self.rare(syndrome),
        }
    }

    #[inline(never)]
    fn system_register(&mut self, syndrome: u64) -> u64 {
        match virtual_interface::sgi_register(syndrome as u32) {
            Some(register) => self.send_sgi(syndrome, register),
            None if self.turn().quick_register(syndrome) => GOES_ON,
            None => self.other_register(syndrome),
        }
    }

    #[inline(never)]
    fn send_sgi(&mut self, syndrome: u64, register: SgiRegister) -> u64 {
        let others = self.turn().send_sgi(syndrome, register);
        let onward = if others == 0 { Onward::Same } else { self.running.notify(others) };
        if onward == Onward::Leave { self.leave(Exit::LookAround) } else { self.refresh() }
    }

    #[inline(never)]
    fn other_register(&mut self, syndrome: u64) -> u64 {
        self.turn().other_register(syndrome);
        self.refresh()
    }

    #[inline(never)]
    fn data_abort(&mut self, syndrome: u64) -> u64 {
        if self.turn().quick_load(syndrome) { GOES_ON } else { self.other_data_abort(syndrome) }
    }

    #[inline(never)]
    fn other_data_abort(&mut self, syndrome: u64) -> u64 {
        let exit = self.turn().data_abort(syndrome);
        self.go_on(exit)
    }

    #[inline(never)]
    fn firmware(&mut self) -> u64 {
        if self.turn().quick_firmware() { GOES_ON } else { self.other_firmware() }
    }

    #[inline(never)]
    fn other_firmware(&mut self) -> u64 {
        match self.turn().firmware() {
            Some(exit) => self.leave(exit),
            None => GOES_ON,
        }
    }

    /// The same by the other conduit, which leaves ELR at the instruction.
    fn secure_call(&mut self, syndrome: u64) -> u64 {
        self.turn().skip(syndrome);
        self.firmware()
    }

    #[inline(never)]
    fn wait_for(&mut self, syndrome: u64) -> u64 {
        let mut turn = self.turn();
        turn.skip(syndrome);
        if syndrome::is_brief_wait(syndrome) {
            return self.leave(Exit::Yield);
        }
        turn.idle();
        self.leave(Exit::Idle)
    }

    #[inline(never)]
    fn asynchronous(&mut self, cause: u64) -> u64 {
        let mut turn = self.turn();
        let exit = if cause == INTERRUPT { turn.interrupt() } else { Some(turn.fault("asynchronous-abort")) };
        match exit {
            Some(Exit::Interrupt(Interrupt::Kick)) => match self.running.kicked() {
                Onward::Leave => self.leave(Exit::LookAround),
                _ => self.refresh(),
            },
            exit => self.go_on(exit),
        }
    }

    #[inline(never)]
    fn rare(&mut self, syndrome: u64) -> u64 {
        let exit = self.turn().rare(syndrome);
        self.go_on(exit)
    }

    #[inline(always)]
    fn turn(&mut self) -> Turn<'_> {
        let Parts { domain, vcpu, index, counts } = self.running.parts();
        Turn { domain, vcpu, index, counts }
    }

    #[inline(always)]
    fn go_on(&mut self, exit: Option<Exit>) -> u64 {
        match exit {
            Some(exit) => self.leave(exit),
            None => self.refresh(),
        }
    }

    /// The core hears of it. Where it finds that stands for it: of a function that can only return a constant, the compiler
    /// makes a call and sets the constant itself, instead of jumping there.
    #[inline(always)]
    fn leave(&mut self, exit: Exit) -> u64 {
        *self.exit = exit;
        (&raw const *self.exit) as u64
    }

    /// Brings the list registers up to date, if they are not, before the guest goes on.
    #[inline(always)]
    fn refresh(&mut self) -> u64 {
        let Parts { domain, index, .. } = self.running.parts();
        if domain.is_stale(index) { self.make_anew() } else { GOES_ON }
    }

    #[cold]
    #[inline(never)]
    fn make_anew(&mut self) -> u64 {
        let Parts { domain, vcpu, index, .. } = self.running.parts();
        match interrupts::make_anew(domain, vcpu, index) {
            0 => GOES_ON,
            others => self.leave(Exit::Notify(others)),
        }
    }
}
