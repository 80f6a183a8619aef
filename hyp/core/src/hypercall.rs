//! Xen's hypercalls: one table, one file for each call.
//!
//! A handler gets the call and the policy's decision that allows it, and answers with a value, an error, or what is to
//! become of the caller. It reads each structure of the guest once into a local copy, checks the copy, and writes its
//! answer back only when all is done.

mod console_io;
mod domctl;
mod event_channel_op;
mod grant_table_op;
mod hvm_op;
mod memory_op;
mod multicall;
mod sched_op;
mod vcpu_op;
mod vm_assist;
mod xen_version;

use core::sync::atomic::{AtomicU64, Ordering};

use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::hypercall as numbers;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arch::Arch;
use crate::cpu::{Current, Local};
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::policy::{Decision, Rights, check, check_control};
use crate::report::Report;

/// What follows from a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The caller goes on with this result.
    Value(u64),
    /// The caller makes the same call again at once; interrupts come in between.
    Repeat,
    /// The same, after others had their turn.
    RepeatLater,
    /// The caller lets others go first; its result is 0.
    GiveWay,
    /// The caller waits for an event; its result is 0.
    Block,
    /// The caller waits for an event, and then makes the same call again.
    BlockAndRepeat,
    /// The caller does not go on.
    Ended,
}

/// Success without a value.
pub(crate) const DONE: Result<Answer, Errno> = Ok(Answer::Value(0));

/// A hypercall that is being made.
pub(crate) struct Call<'c, 'h, A: Arch> {
    pub(crate) hypervisor: &'h Hypervisor<A>,
    pub(crate) local: &'c mut Local,
    pub(crate) current: &'c mut Current<'h, A>,
    pub(crate) args: [u64; 5],
}

impl<A: Arch> Call<'_, '_, A> {
    /// The first argument, which selects the operation nearly everywhere.
    #[inline(always)]
    fn operation(&self) -> u32 {
        self.args[0] as u32
    }

    /// Changes an argument for when the call is repeated, in the caller's register or in the list that it is an entry of.
    fn move_on(&mut self, index: u8, value: u64) {
        if let Some(argument) = self.args.get_mut(usize::from(index)) {
            *argument = value;
        }
        self.hypervisor.arch.set_argument(&mut self.current.private.arch, index, value);
    }

    /// The caller's domain.
    #[inline(always)]
    fn me(&self) -> DomainId {
        self.current.domain.id()
    }

    /// The caller's domain where a guest names it as `DOMID_SELF` or by its number.
    ///
    /// # Errors
    /// `ESRCH` for a number that no domain has, `EPERM` for another domain.
    fn only_me(&self, number: u16) -> Result<DomainId, Errno> {
        let id = self.any_domain(number)?;
        if id == self.me() { Ok(id) } else { Err(Errno::EPERM) }
    }

    /// The domain that a guest means.
    ///
    /// # Errors
    /// `ESRCH` for a number that no domain has.
    fn any_domain(&self, number: u16) -> Result<DomainId, Errno> {
        if number == DOMID_SELF {
            return Ok(self.me());
        }
        let id = DomainId::from_number(number).ok_or(Errno::ESRCH)?;
        self.hypervisor.domain(id).map(|domain| domain.id()).ok_or(Errno::ESRCH)
    }

    /// A structure in the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` where the caller could not read it itself.
    fn read<T: FromBytes + IntoBytes>(&self, from: u64) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.read_bytes(from, value.as_mut_bytes())?;
        Ok(value)
    }

    /// The same for one 32-bit number, which is all that the commonest call passes.
    #[inline(always)]
    fn read_word(&self, from: u64) -> Result<u32, Errno> {
        let mut word = [0; 4];
        let Current { domain, private, .. } = &*self.current;
        let read = self.hypervisor.arch.read_guest(domain.arch(), &private.arch, from, &mut word);
        read.map(|()| u32::from_le_bytes(word)).map_err(|_| Errno::EFAULT)
    }

    /// Out of line, because there are many calls and the way to the guest's memory is long.
    #[inline(never)]
    fn read_bytes(&self, from: u64, to: &mut [u8]) -> Result<(), Errno> {
        let Current { domain, private, .. } = &*self.current;
        self.hypervisor.arch.read_guest(domain.arch(), &private.arch, from, to).map_err(|_| Errno::EFAULT)
    }

    /// Writes a structure to the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` where the caller could not write it itself.
    fn write<T: IntoBytes + Immutable>(&self, to: u64, value: &T) -> Result<(), Errno> {
        self.write_bytes(to, value.as_bytes())
    }

    #[inline(never)]
    fn write_bytes(&self, to: u64, from: &[u8]) -> Result<(), Errno> {
        let Current { domain, private, .. } = &*self.current;
        self.hypervisor.arch.write_guest(domain.arch(), &private.arch, to, from).map_err(|_| Errno::EFAULT)
    }
}

impl<'h, A: Arch> Call<'_, 'h, A> {
    /// A structure of so many words where it is in the caller's memory: see [`Arch::guest_words`].
    #[inline(never)]
    fn words<const WORDS: usize>(&self, at: u64) -> Option<&'h [AtomicU64; WORDS]> {
        let Current { domain, private, .. } = &*self.current;
        self.hypervisor.arch.guest_words(domain.arch(), &private.arch, at, WORDS)?.try_into().ok()
    }

    /// The caller's domain, or another one where the policy lets the caller control others.
    ///
    /// # Errors
    /// `ESRCH` for a number that no domain has, `EPERM` where the policy says no.
    fn controlled(&self, number: u16) -> Result<(Decision, &'h Domain<A>), Errno> {
        let id = self.any_domain(number)?;
        let decision = check_control(self.current.domain.rights, self.me(), id)?;
        Ok((decision, self.hypervisor.domain(id).ok_or(Errno::ESRCH)?))
    }
}

type Handler<A> = fn(&mut Call<'_, '_, A>, Decision) -> Result<Answer, Errno>;

/// Finds the handler, asks the policy, makes the call.
#[inline(always)]
pub(crate) fn dispatch<A: Arch>(call: &mut Call<'_, '_, A>, number: u64) -> Answer {
    if number == numbers::EVENT_CHANNEL_OP {
        // What guests call most often is not looked for.
        let answer = match check(call.current.domain.rights, Rights::EVENTS) {
            Ok(decision) => event_channel_op::handle(call, decision),
            Err(errno) => Err(errno),
        };
        return answer.unwrap_or_else(|errno| Answer::Value(errno.to_result()));
    }
    let (right, handler): (Rights, Handler<A>) = match number {
        numbers::XEN_VERSION => (Rights::VERSION, xen_version::handle),
        numbers::CONSOLE_IO => (Rights::CONSOLE, console_io::handle),
        numbers::SCHED_OP => (Rights::SCHED, sched_op::handle),
        numbers::VCPU_OP => (Rights::VCPU, vcpu_op::handle),
        // The table is the guest's own memory as far as it is there.
        numbers::GRANT_TABLE_OP => (Rights::MEMORY, grant_table_op::handle),
        numbers::VM_ASSIST => (Rights::VCPU, vm_assist::handle),
        numbers::HVM_OP => (Rights::PARAMS, hvm_op::handle),
        // Each of its calls is asked for by itself.
        numbers::MULTICALL => (Rights::empty(), multicall::handle),
        numbers::MEMORY_OP => (Rights::MEMORY, memory_op::handle),
        numbers::DOMCTL => (Rights::CONTROL, domctl::handle),
        _ => return unknown(call, number),
    };
    let answer = check(call.current.domain.rights, right).and_then(|decision| handler(call, decision));
    answer.unwrap_or_else(|errno| Answer::Value(errno.to_result()))
}

/// Nobody knows the call. Said once for each domain, because a guest that probes would fill the log.
fn unknown<A: Arch>(call: &Call<'_, '_, A>, number: u64) -> Answer {
    let domain = call.current.domain;
    if !domain.unknown_reported.load(Ordering::Relaxed) && !domain.unknown_reported.swap(true, Ordering::Relaxed) {
        call.hypervisor.arch.report(Report::UnknownHypercall { domain: domain.name(), number });
    }
    Answer::Value(Errno::ENOSYS.to_result())
}
