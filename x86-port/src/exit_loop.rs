//! The exit loop: a guest runs, is left, and either goes on at once or the core hears of it.

use hyp_core::arch::{Exit, Interrupt, Onward, Parts, Running};
use xen_abi::errno::Errno;

use crate::arch::X86;
use crate::exit::Cause;
use crate::guest_cpu::Virtualization;
use crate::run::Turn;
use crate::vcpu::{ARGUMENTS, RAX};

/// Bytes of VMMCALL and VMCALL.
pub(crate) const HYPERCALL_BYTES: u64 = 3;

/// Runs the vCPU until something needs the core, which `exit` says.
pub(crate) fn run<R: Running<X86>>(running: &mut R, exit: &mut Exit) {
    loop {
        let mut turn = turn(running);
        turn.show_interrupts();
        let cause = turn.enter();
        let left = if cause == Cause::Hypercall { hypercall(running) } else { other(running, cause) };
        if let Some(why) = left {
            *exit = why;
            return;
        }
    }
}

#[inline(always)]
fn turn<R: Running<X86>>(running: &mut R) -> Turn<'_> {
    let Parts { domain, vcpu, index, counts } = running.parts();
    Turn { domain, vcpu, index, counts }
}

/// A hypercall. Only a kernel may make one, in 64-bit code: other layouts of the structures are not spoken.
#[inline(always)]
fn hypercall<R: Running<X86>>(running: &mut R) -> Option<Exit> {
    let vcpu = running.parts().vcpu;
    vcpu.processor.skip(HYPERCALL_BYTES);
    if !vcpu.processor.is_long() || vcpu.processor.is_user() {
        let refusal = if vcpu.processor.is_user() { Errno::EPERM } else { Errno::ENOSYS };
        vcpu.registers.set(RAX, refusal.to_result());
        return None;
    }
    let number = vcpu.registers.get(RAX);
    let arguments = ARGUMENTS.map(|register| vcpu.registers.get(register));
    match running.hypercall(number, arguments) {
        Onward::Same | Onward::Changed => None,
        Onward::Leave => Some(Exit::LookAround),
    }
}

#[inline(never)]
fn other<R: Running<X86>>(running: &mut R, cause: Cause) -> Option<Exit> {
    if cause == Cause::Interrupt {
        return match turn(running).interrupt() {
            Interrupt::Kick => match running.kicked() {
                Onward::Leave => Some(Exit::LookAround),
                _ => None,
            },
            Interrupt::Timer => Some(Exit::Interrupt(Interrupt::Timer)),
            Interrupt::Other => None,
        };
    }
    match turn(running).handle(cause) {
        Some(Exit::Notify(vcpus)) => match running.notify(vcpus) {
            Onward::Leave => Some(Exit::LookAround),
            _ => None,
        },
        exit => exit,
    }
}
