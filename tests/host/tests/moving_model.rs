//! Random guests on two to four CPUs, whose turns are random too: they wait, wake each other, compute, start and stop vCPUs,
//! are paused and start again, and all the while are moved about.
//!
//! The heart of it is a ring of guests that hand on one event, each after some work of its own. Whoever is lost, or not
//! woken when it comes, breaks the ring, and the machine never ends. The in-memory port holds that no vCPU is loaded twice,
//! nor on another CPU than before unless it was given away there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Guest, Machine, program};
use host_tests::{MS, power_off, sleep_until};
use hyp_core::arch::{Arch, Exit, ShutdownReason};
use hyp_core::domain::{DomainConfig, DomainId, EndAction};
use hyp_core::event::fixed::FixedChannel;
use hyp_core::sched::Share;
use hyp_core::time::Nanos;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use xen_abi::event_channel::{EVTCHNOP_SEND, Send};
use xen_abi::hypercall::{EVENT_CHANNEL_OP, SCHED_OP};
use xen_abi::sched::{SCHEDOP_BLOCK, SCHEDOP_POLL, SCHEDOP_YIELD};
use zerocopy::IntoBytes;

/// Ports of each guest of the ring: to the next, from the one before.
const TO: u32 = 1;
const FROM: u32 = 2;
/// How often the event goes round.
const ROUNDS: u32 = 6;
/// A machine that is not off by then never will be.
const END: Nanos = 20_000 * MS;

/// What a guest does before it goes on.
#[derive(Clone, Copy, Debug)]
enum Task {
    Compute(Nanos),
    Sleep(Nanos),
    Yield,
    /// vCPU 0 starts the other one, if that is off.
    Start,
    /// The other one switches itself off; vCPU 0 does nothing.
    Stop,
}

/// How a guest of the ring waits for its event.
#[derive(Clone, Copy, Debug)]
enum Wait {
    ForInterrupt,
    Block,
    Poll,
}

#[derive(Clone, Debug)]
struct Plan {
    affinity: u32,
    weight: u16,
    tasks: Vec<Task>,
    wait: Wait,
}

fn task() -> impl Strategy<Value = Task> {
    prop_oneof![
        4 => (1..3000u64).prop_map(|time| Task::Compute(time * 1000)),
        3 => (1..2000u64).prop_map(|time| Task::Sleep(time * 1000)),
        2 => Just(Task::Yield),
        2 => Just(Task::Start),
        1 => Just(Task::Stop),
    ]
}

/// A guest for a machine of four CPUs; with fewer, an affinity that names none of them becomes any.
fn plan() -> impl Strategy<Value = Plan> {
    let affinity = prop_oneof![3 => Just(u32::MAX), 2 => 1..16u32];
    let wait = prop_oneof![Just(Wait::ForInterrupt), Just(Wait::Block), Just(Wait::Poll)];
    let weight = prop_oneof![Just(256u16), Just(64), Just(1024)];
    let tasks = prop::collection::vec(task(), 1..8);
    (affinity, weight, tasks, wait).prop_map(|(affinity, weight, tasks, wait)| Plan { affinity, weight, tasks, wait })
}

/// One task; `None` once it is done.
fn perform(task: Task, begun: &mut Option<Nanos>, guest: &mut Guest<'_>) -> Option<Act> {
    let start = *begun.get_or_insert(guest.now);
    let first = start == guest.now;
    match task {
        Task::Compute(time) if first => Some(Act::Compute(time)),
        Task::Sleep(time) => sleep_until(guest, start + time),
        Task::Yield if first => Some(Act::call(SCHED_OP, [SCHEDOP_YIELD.into()])),
        Task::Start if first && guest.index == 0 => {
            Some(Act::Exit(Exit::CpuOn { target: 1, entry: 0x8000, argument: 0 }))
        }
        Task::Stop if first && guest.index == 1 => Some(Act::Exit(Exit::CpuOff)),
        _ => None,
    }
}

/// The tasks of a list, again and again. `None` once after each time that the list is done.
#[derive(Clone, Copy, Default)]
struct Course {
    at: usize,
    begun: Option<Nanos>,
}

impl Course {
    fn go_on(&mut self, tasks: &[Task], guest: &mut Guest<'_>) -> Option<Act> {
        while let Some(task) = tasks.get(self.at) {
            if let Some(act) = perform(*task, &mut self.begun, guest) {
                return Some(act);
            }
            *self = Self { at: self.at + 1, begun: None };
        }
        *self = Self::default();
        None
    }
}

/// The event has come. It is gone then.
fn take_event(guest: &Guest<'_>) -> bool {
    let bits = &guest.domain.shared;
    let came = bits[6].fetch_and(!(1 << FROM), Ordering::SeqCst) & 1 << FROM != 0;
    if came {
        bits[1].store(0, Ordering::SeqCst);
        bits[0].store(0, Ordering::SeqCst);
    }
    came
}

fn wait(how: Wait, guest: &Guest<'_>) -> Act {
    match how {
        Wait::ForInterrupt => Act::Exit(Exit::Idle),
        Wait::Block => Act::call(SCHED_OP, [SCHEDOP_BLOCK.into()]),
        Wait::Poll => {
            guest.domain.put(0x2000, &FROM.to_le_bytes());
            let mut poll = [0; 24];
            poll[..8].copy_from_slice(&0x2000u64.to_le_bytes());
            poll[8..12].copy_from_slice(&1u32.to_le_bytes());
            guest.call_with(SCHED_OP, [SCHEDOP_POLL.into(), 0, 0], 1, &poll)
        }
    }
}

/// A guest of the ring; `first` brings the event into it, and ends the machine when it has come back often enough.
fn member(plan: Plan, first: bool) -> fake::Maker {
    program((Course::default(), first, 0u32), move |(course, has_it, rounds), guest| {
        if guest.index != 0 {
            return course.go_on(&plan.tasks, guest).unwrap_or(Act::Compute(1000));
        }
        if !*has_it {
            if !take_event(guest) {
                return wait(plan.wait, guest);
            }
            *has_it = true;
            *rounds += 1;
            if first && *rounds == ROUNDS {
                return power_off();
            }
        }
        course.go_on(&plan.tasks, guest).unwrap_or_else(|| {
            *has_it = false;
            guest.call_with(EVENT_CHANNEL_OP, [EVTCHNOP_SEND.into(), 0, 0], 1, Send { port: TO }.as_bytes())
        })
    })
}

/// A guest that is in the way: it does its tasks again and again, computes in between, and starts anew now and then.
fn noise(plan: Plan) -> fake::Maker {
    program((Course::default(), 0u32), move |(course, times), guest| {
        course.go_on(&plan.tasks, guest).unwrap_or_else(|| {
            *times += 1;
            match times.is_multiple_of(5) && guest.index == 0 {
                true => Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)),
                false => Act::Compute(MS / 2),
            }
        })
    })
}

/// Numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The guests of a machine, with where each may run.
fn people(machine: &Machine, cpus: u8, ring: &[Plan], crowd: &[Plan]) -> (Vec<DomainId>, Vec<(DomainId, u32)>) {
    let all = (1u32 << cpus) - 1;
    let add = |number: usize, plan: &Plan, make| {
        let affinity = if plan.affinity & all == 0 { all } else { plan.affinity & all };
        let name = format!("guest{number}");
        let mut config =
            DomainConfig { affinity, vcpus: 2, share: Share::of_weight(plan.weight), ..DomainConfig::new(&name) };
        config.actions.poweroff = EndAction::MachineOff;
        (machine.add(&config, &make), affinity)
    };
    let member = |(number, plan): (usize, &Plan)| add(number, plan, member(plan.clone(), number == 0));
    let ring: Vec<_> = ring.iter().enumerate().map(member).collect();
    let other = |(number, plan): (usize, &Plan)| add(number + ring.len(), plan, noise(plan.clone()));
    let crowd: Vec<_> = crowd.iter().enumerate().map(other).collect();
    let ids: Vec<_> = ring.iter().map(|(id, _)| *id).collect();
    let next = |at: usize| ids[(at + 1) % ids.len()];
    let channel = |at: usize| {
        let there = FixedChannel { domain: ids[at], port: TO as u16, remote: next(at), remote_port: FROM as u16 };
        let back = FixedChannel { domain: next(at), port: FROM as u16, remote: ids[at], remote_port: TO as u16 };
        [there, back]
    };
    machine.hypervisor.fix_channels((0..ids.len()).flat_map(channel).collect());
    (crowd.iter().map(|(id, _)| *id).collect(), ring.into_iter().chain(crowd).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn nothing_is_lost_on_the_way(
        cpus in 2..=4u8,
        ring in prop::collection::vec(plan(), 2..5),
        crowd in prop::collection::vec(plan(), 1..4),
        seed in any::<u64>(),
        step in prop_oneof![Just(5000u64), Just(50_000)],
    ) {
        let machine = Machine::new(cpus);
        let (crowd, affinities) = people(&machine, cpus, &ring, &crowd);
        let (hypervisor, mut dice) = (&machine.hypervisor, Dice(seed));
        let arch = hypervisor.arch();
        arch.set_limit(END);
        arch.set_step(step);
        let mut all = machine.cpus();
        while !arch.off.load(Ordering::Relaxed) && arch.now() < END {
            let turn = dice.throw(cpus.into()) as usize;
            arch.set_turn(turn as u8);
            hypervisor.step(&mut all[turn]);
            if dice.throw(200) == 0 {
                // Whether that is possible now does not matter.
                let domain = hypervisor.domain(crowd[dice.throw(crowd.len() as u64) as usize]).unwrap();
                hypervisor.set_paused(all[turn].local(), domain, dice.throw(3) == 0);
            }
            for (id, affinity) in &affinities {
                for vcpu in hypervisor.domain(*id).unwrap().vcpu_ids() {
                    let home = hypervisor.vcpu(vcpu).unwrap().home();
                    prop_assert!(1 << home & affinity != 0, "{vcpu:?} of {id:?} is on CPU {home}");
                }
            }
        }
        prop_assert!(arch.off.load(Ordering::Relaxed), "the ring is broken: {:#?}", machine.reports());
    }
}
