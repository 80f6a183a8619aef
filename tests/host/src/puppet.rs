//! Guests that do what a test tells them, one act at a time.
//!
//! A scenario that asks what the hypervisor answers wants to say "domain 2 does this" and look; so each vCPU here waits
//! for an act, and hands back what came of it.

use std::sync::{Arc, Mutex};

use fake::{ARGUMENTS, Act, Fake, FakeDomain, Machine, program};
use hyp_core::cpu::Cpu;
use hyp_core::domain::{DomainConfig, DomainId};
use hyp_core::time::Nanos;
use xen_abi::errno::Errno;
use xen_abi::hypercall::{EVENT_CHANNEL_OP, SCHED_OP};
use xen_abi::sched::SCHEDOP_YIELD;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Steps after which an act that should have an end has none.
const PATIENCE: u32 = 10_000;

/// How long who has nothing to do computes, in ns, before it lets others go first.
const REST: Nanos = 20_000;

/// What a vCPU is to do, and what came of it.
#[derive(Default)]
struct Slot {
    act: Option<Act>,
    busy: bool,
    result: Option<u64>,
    line: bool,
}

type Slots = Arc<Mutex<[Slot; 2]>>;

/// A machine with one CPU and guests of up to two vCPUs that do as they are told.
pub struct Stage<'m> {
    /// The machine.
    pub machine: &'m Machine,
    /// Its CPU.
    pub cpus: Vec<Cpu<'m, Fake>>,
    puppets: Vec<(DomainId, Slots)>,
}

impl<'m> Stage<'m> {
    /// Nobody there yet.
    pub fn new(machine: &'m Machine) -> Self {
        Self { machine, cpus: machine.cpus(), puppets: Vec::new() }
    }

    /// One more guest; returns its place, counted from 0.
    pub fn add(&mut self, config: &DomainConfig<'_>) -> usize {
        self.add_with(config, FakeDomain::default())
    }

    /// One more guest that has pages in common with an I/O domain.
    pub fn add_client(&mut self, config: &DomainConfig<'_>) -> usize {
        self.add_with(config, FakeDomain::with_io_pages())
    }

    fn add_with(&mut self, config: &DomainConfig<'_>, domain: FakeDomain) -> usize {
        let slots = Slots::default();
        let shared = Arc::clone(&slots);
        let code = move |rested: &mut bool, guest: &mut fake::Guest<'_>| {
            let slot = &mut shared.lock().unwrap()[usize::from(guest.index)];
            slot.line = guest.line;
            if std::mem::take(&mut slot.busy) {
                slot.result = Some(guest.result);
            }
            match slot.act.take() {
                Some(act) => {
                    slot.busy = true;
                    act
                }
                None => {
                    // It uses some time, else two that wait would let a third, which has used more, wait for ever.
                    *rested = !*rested;
                    if *rested { Act::Compute(REST) } else { Act::call(SCHED_OP, [SCHEDOP_YIELD.into()]) }
                }
            }
        };
        let id = self.machine.add_with(config, domain, &program(false, code));
        self.puppets.push((id, slots));
        self.puppets.len() - 1
    }

    /// The port's part of a guest.
    pub fn domain(&self, who: usize) -> &'m FakeDomain {
        self.machine.hypervisor.domain(self.puppets[who].0).unwrap().arch()
    }

    /// A guest's number.
    pub fn id(&self, who: usize) -> DomainId {
        self.puppets[who].0
    }

    /// Level of the event interrupt when the guest's vCPU 0 last ran.
    pub fn line(&self, who: usize) -> bool {
        self.puppets[who].1.lock().unwrap()[0].line
    }

    /// Tells a vCPU what to do.
    pub fn begin(&self, who: usize, vcpu: usize, act: Act) {
        self.puppets[who].1.lock().unwrap()[vcpu].act = Some(act);
    }

    /// What came of it; `None` while it goes on.
    pub fn result(&self, who: usize, vcpu: usize) -> Option<u64> {
        self.puppets[who].1.lock().unwrap()[vcpu].result.take()
    }

    /// Lets the machine make so many steps.
    pub fn steps(&mut self, steps: u32) {
        (0..steps).for_each(|_| assert!(self.machine.hypervisor.step(&mut self.cpus[0]), "the machine is off"));
    }

    /// Lets vCPU 0 of a guest do something and waits until it is done.
    pub fn act(&mut self, who: usize, act: Act) -> u64 {
        self.begin(who, 0, act);
        for _ in 0..PATIENCE {
            self.steps(1);
            if let Some(result) = self.result(who, 0) {
                return result;
            }
        }
        panic!("guest {who} is never done with {act:?}");
    }

    /// Lets the guest use the CPU for so long.
    pub fn pass(&mut self, who: usize, time: Nanos) {
        self.act(who, Act::Compute(time));
    }

    /// A hypercall with a structure as argument number `at`.
    ///
    /// # Errors
    /// Those of the call.
    pub fn call<T>(&mut self, who: usize, number: u64, mut args: [u64; 3], at: usize, arg: &mut T) -> Result<u64, Errno>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        self.domain(who).put(ARGUMENTS, arg.as_bytes());
        args[at] = ARGUMENTS;
        let result = self.act(who, Act::call(number, args));
        *arg = T::read_from_bytes(&self.domain(who).get(ARGUMENTS, size_of::<T>())).unwrap();
        outcome(result)
    }

    /// An operation on event channels.
    ///
    /// # Errors
    /// Those of the call.
    pub fn event_op<T>(&mut self, who: usize, op: u32, arg: &mut T) -> Result<u64, Errno>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        self.call(who, EVENT_CHANNEL_OP, [op.into(), 0, 0], 1, arg)
    }
}

/// A hypercall's result as the guest reads it.
///
/// # Errors
/// What the number stands for.
pub fn outcome(result: u64) -> Result<u64, Errno> {
    let negative = (result as i64) < 0;
    if negative { Err(Errno::from_number(result.wrapping_neg()).expect("a known error")) } else { Ok(result) }
}
