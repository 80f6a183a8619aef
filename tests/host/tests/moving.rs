//! vCPUs move between CPUs: nobody waits while a CPU is idle, equal ones get equal shares, and nothing is lost on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Fake, Machine, program};
use host_tests::{MS, sleep_until};
use hyp_core::arch::{Arch, Exit, ShutdownReason};
use hyp_core::cpu::Cpu;
use hyp_core::domain::{DomainConfig, DomainId};
use hyp_core::policy::Rights;
use hyp_core::sched::Share;
use hyp_core::time::Nanos;
use xen_abi::hypercall::SCHED_OP;
use xen_abi::sched::{PinOverride, SCHEDOP_PIN_OVERRIDE};
use zerocopy::IntoBytes;

/// Words of its shared page in which a guest counts: how often it computed [`CHUNK`], by vCPU.
const COUNT: usize = 300;
/// The CPUs that it saw, one bit each.
const SEEN: usize = 310;
const CHUNK: Nanos = MS / 10;
/// How long shares are counted.
const RUN: Nanos = 900 * MS;

/// A guest whose vCPUs all compute for ever; vCPU 0 starts the others first.
fn hog(machine: &Machine, config: &DomainConfig<'_>) -> DomainId {
    let others = u32::from(config.vcpus) - 1;
    let code = move |started: &mut u32, guest: &mut fake::Guest<'_>| {
        guest.domain.shared[SEEN].fetch_or(1 << guest.cpu, Ordering::Relaxed);
        if guest.index == 0 && *started < others {
            *started += 1;
            return Act::Exit(Exit::CpuOn { target: *started, entry: 0x8000, argument: 0 });
        }
        guest.domain.shared[COUNT + usize::from(guest.index)].fetch_add(1, Ordering::Relaxed);
        Act::Compute(CHUNK)
    };
    machine.add(config, &program(0, code))
}

/// A word of a guest's shared page.
fn word(machine: &Machine, id: DomainId, word: usize) -> u64 {
    machine.hypervisor.domain(id).unwrap().arch().shared[word].load(Ordering::Relaxed)
}

/// A machine whose CPUs take turns often enough for guests that only compute.
fn coarse(cpus: u8) -> Machine {
    let machine = Machine::new(cpus);
    machine.hypervisor.arch().set_step(20_000);
    machine
}

fn moves(machine: &Machine) -> usize {
    machine.hypervisor.arch().moves.load(Ordering::Relaxed)
}

/// Runs hogs of these numbers of vCPUs and weights for a while. Returns what share of all each vCPU got, in thousandths of
/// a CPU.
fn shares(cpus: u8, hogs: &[(u8, u16)]) -> (Vec<u64>, usize) {
    let machine = coarse(cpus);
    let add = |(number, (vcpus, weight)): (usize, &(u8, u16))| {
        let name = format!("hog{number}");
        hog(&machine, &DomainConfig { vcpus: *vcpus, share: Share::of_weight(*weight), ..DomainConfig::new(&name) })
    };
    let ids: Vec<_> = hogs.iter().enumerate().map(add).collect();
    machine.run(RUN);
    let counts = |(id, (vcpus, _)): (&DomainId, &(u8, u16))| {
        (0..usize::from(*vcpus)).map(|vcpu| word(&machine, *id, COUNT + vcpu)).collect::<Vec<_>>()
    };
    let all: Vec<u64> = ids.iter().zip(hogs).flat_map(counts).collect();
    let sum: u64 = all.iter().sum();
    (all.iter().map(|count| count * 1000 * u64::from(cpus) / sum).collect(), moves(&machine))
}

#[test]
fn equal_guests_get_equal_shares() {
    for (cpus, hogs) in [(2, 3), (2, 5), (3, 4), (3, 5), (4, 6), (4, 7)] {
        let (shares, moves) = shares(cpus, &vec![(1, 256); hogs]);
        let fair = 1000 * u64::from(cpus) / hogs as u64;
        let close = |share: &u64| share.abs_diff(fair) * 100 <= fair * 4;
        assert!(shares.iter().all(close), "{hogs} hogs on {cpus} CPUs: {shares:?}, each should have {fair}");
        // In each slice of 10 ms each CPU passes on one at most.
        assert!(moves as u64 <= RUN / (10 * MS) * u64::from(cpus), "{hogs} hogs on {cpus} CPUs: {moves} moves");
    }
}

#[test]
fn as_many_as_there_are_cpus_stay_where_they_are() {
    for cpus in [2, 3, 4] {
        let (shares, moves) = shares(cpus, &vec![(1, 256); cpus.into()]);
        assert!(shares.iter().all(|share| share.abs_diff(1000) < 10), "{shares:?}");
        assert_eq!(moves, 0);
    }
}

#[test]
fn vcpus_of_one_guest_count_like_those_of_several() {
    let (shares, _) = shares(2, &[(4, 256), (1, 256)]);
    assert!(shares.iter().all(|share| share.abs_diff(400) <= 20), "{shares:?}");
}

#[test]
fn the_heaviest_gets_a_cpu_for_itself() {
    for order in [[512, 256, 256], [256, 512, 256], [256, 256, 512]] {
        let (shares, _) = shares(2, &order.map(|weight| (1, weight)));
        for (share, weight) in shares.iter().zip(order) {
            assert!(share.abs_diff(u64::from(weight) * 1000 / 512) < 40, "{shares:?} for {order:?}");
        }
    }
}

#[test]
fn a_guest_stays_on_the_cpus_that_it_may_use() {
    let machine = coarse(3);
    let config = |name, affinity| DomainConfig { affinity, ..DomainConfig::new(name) };
    let ids = [
        hog(&machine, &config("one", 0b001)),
        hog(&machine, &config("two", 0b001)),
        hog(&machine, &config("three", 0b001)),
        hog(&machine, &config("four", 0b110)),
        hog(&machine, &config("five", 0b110)),
        hog(&machine, &config("six", 0b110)),
    ];
    machine.run(200 * MS);
    let seen = ids.map(|id| word(&machine, id, SEEN));
    assert_eq!(seen, [1, 1, 1, 0b110, 0b110, 0b110]);
}

#[test]
fn an_idle_cpu_takes_who_waits() {
    let machine = coarse(2);
    // The third is given CPU 0 like the first; the second soon sleeps for ever.
    let first = hog(&machine, &DomainConfig::new("first"));
    machine.add(&DomainConfig::new("sleeper"), &program((), |(), guest| sleep_until(guest, 10_000 * MS).unwrap()));
    let third = hog(&machine, &DomainConfig::new("third"));
    machine.run(100 * MS);
    let (one, other) = (word(&machine, first, COUNT), word(&machine, third, COUNT));
    assert!(one.abs_diff(other) < 10, "{one} and {other}");
    assert_eq!(moves(&machine), 1);
}

#[test]
fn a_vcpu_starts_where_there_is_room() {
    let machine = coarse(4);
    // By their numbers the vCPUs have CPUs 0, 1, 2, 3 and 0 as their homes; the first domain keeps CPU 0 busy, and the other
    // three CPUs are free for the second, whose third vCPU would be beside the first domain's.
    hog(&machine, &DomainConfig::new("alone"));
    let config = DomainConfig { vcpus: 4, ..DomainConfig::new("four") };
    let four = machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            guest.domain.shared[SEEN + usize::from(guest.index)].fetch_or(1 << guest.cpu, Ordering::Relaxed);
            match (guest.index, *step) {
                (0, 1) => Act::Exit(Exit::CpuOn { target: 3, entry: 0x8000, argument: 0 }),
                (_, 1..30) => Act::Compute(CHUNK),
                _ => sleep_until(guest, 10_000 * MS).unwrap(),
            }
        }),
    );
    machine.run(20 * MS);
    assert_ne!(word(&machine, four, SEEN + 3), 1);
    assert_eq!(word(&machine, four, SEEN + 3).count_ones(), 1);
}

/// What is done to a guest while it moves about: between two runs, on some CPU.
fn disturb(machine: &Machine, act: impl for<'h> Fn(&mut [Cpu<'h, Fake>], u64)) -> Vec<String> {
    let mut cpus = machine.cpus();
    for round in 0..100 {
        let until = machine.hypervisor.arch().now() + 7 * MS + round * 1000;
        assert!(!machine.run_on(&mut cpus, until));
        act(&mut cpus, round);
    }
    machine.reports()
}

/// Hogs for two CPUs, of which the first has two vCPUs.
fn crowd(machine: &Machine) -> [DomainId; 4] {
    let config = |name, vcpus| DomainConfig { vcpus, ..DomainConfig::new(name) };
    [("one", 2), ("two", 1), ("three", 1), ("four", 1)].map(|(name, vcpus)| hog(machine, &config(name, vcpus)))
}

#[test]
fn a_guest_in_motion_can_be_paused() {
    let machine = coarse(2);
    let ids = crowd(&machine);
    let before = std::cell::Cell::new([0; 2]);
    disturb(&machine, |cpus, round| {
        let count = [0, 1].map(|vcpu| word(&machine, ids[0], COUNT + vcpu));
        let pausing = round % 2 == 0;
        // While it was paused it got no further than the piece of work that each vCPU had in hand.
        let ahead = count.iter().zip(before.get()).map(|(now, before)| now - before).max().unwrap();
        assert!(pausing || ahead <= 1, "{count:?} after {:?}", before.get());
        before.set(count);
        let domain = machine.hypervisor.domain(ids[0]).unwrap();
        let arch = machine.hypervisor.arch();
        let by = round as usize / 2 % 2;
        arch.set_turn(by as u8);
        assert!(machine.hypervisor.set_paused(cpus[by].local(), domain, pausing));
    });
    assert!(moves(&machine) > 20, "{}", moves(&machine));
    assert!(word(&machine, ids[0], COUNT + 1) > 200);
}

#[test]
fn a_guest_in_motion_can_start_again() {
    let machine = coarse(2);
    for name in ["one", "two"] {
        hog(&machine, &DomainConfig { vcpus: 2, ..DomainConfig::new(name) });
    }
    let again = machine.add(
        &DomainConfig { vcpus: 2, ..DomainConfig::new("again") },
        &program(0, |step, guest| {
            *step += 1;
            match (guest.index, *step) {
                (0, 1) => Act::Exit(Exit::CpuOn { target: 1, entry: 0x8000, argument: 0 }),
                (0, 60) => Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)),
                _ => Act::Compute(CHUNK),
            }
        }),
    );
    machine.run(2 * RUN);
    let resets = machine.hypervisor.domain(again).unwrap().arch().resets.load(Ordering::Relaxed);
    assert!(resets > 10, "{resets}");
    assert!(moves(&machine) > 25, "{}", moves(&machine));
}

/// Guests that sleep on CPU 1, so that so many others have CPU 0 as their first home.
fn sleepers(machine: &Machine, count: usize) {
    for name in ["sleeper", "sleeper2"].iter().take(count) {
        let config = DomainConfig { affinity: 0b10, ..DomainConfig::new(name) };
        machine.add(&config, &program((), |(), guest| sleep_until(guest, 10_000 * MS).unwrap()));
    }
}

/// Computes for ever, and says when it was first seen on CPU 1.
fn wanderer(machine: &Machine, name: &str) -> DomainId {
    machine.add(
        &DomainConfig::new(name),
        &program((), |(), guest| {
            if guest.cpu == 1 {
                let _ = guest.domain.shared[SEEN].compare_exchange(0, guest.now, Ordering::SeqCst, Ordering::SeqCst);
            }
            Act::Compute(CHUNK)
        }),
    )
}

#[test]
fn a_cpu_that_becomes_idle_does_not_wait_for_the_end_of_a_slice() {
    let machine = Machine::new(2);
    let first = wanderer(&machine, "first");
    // So heavy that nobody is passed on to it, it leaves CPU 1 alone in the midst of slices.
    let config = DomainConfig { affinity: 0b10, share: Share::of_weight(2048), ..DomainConfig::new("heavy") };
    machine.add(
        &config,
        &program(false, |done, _| {
            *done = !*done;
            if *done { Act::Compute(33 * MS) } else { Act::Exit(Exit::Idle) }
        }),
    );
    let third = wanderer(&machine, "third");
    machine.run(120 * MS);
    let seen = word(&machine, first, SEEN).max(word(&machine, third, SEEN));
    // Half of the time is the other CPU's.
    assert!((66 * MS..66 * MS + 2 * CHUNK + 10_000).contains(&seen), "{seen}");
    assert_eq!(moves(&machine), 1);
}

#[test]
fn who_is_woken_beside_somebody_boosted_runs_at_once_on_an_idle_cpu() {
    let machine = Machine::new(2);
    sleepers(&machine, 2);
    let config = DomainConfig { vcpus: 2, ..DomainConfig::new("two") };
    let id = machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            match (guest.index, *step) {
                (0, 1) => Act::Exit(Exit::CpuOn { target: 1, entry: 0x8000, argument: 0 }),
                // Its timer wakes it, so that it is boosted; then it wakes the other one and computes.
                (0, 2..1000) if guest.now < 20 * MS => sleep_until(guest, 20 * MS).unwrap(),
                (0, 2..1000) => {
                    *step = 1000;
                    *guest.timer_fired = false;
                    Act::Exit(Exit::Notify(0b10))
                }
                (0, _) => Act::Compute(8 * MS),
                (_, 1) => Act::Exit(Exit::Idle),
                _ => {
                    guest.domain.shared[SEEN].fetch_max(guest.now, Ordering::SeqCst);
                    sleep_until(guest, 10_000 * MS).unwrap()
                }
            }
        }),
    );
    machine.run(60 * MS);
    let seen = word(&machine, id, SEEN);
    assert!((20 * MS..20 * MS + CHUNK).contains(&seen), "{seen}");
}

#[test]
fn the_boosted_stay() {
    let machine = coarse(2);
    sleepers(&machine, 1);
    // Both work for 8 of each 40 ms at the same time, on CPU 0 beside a hog, and CPU 1 is never idle.
    let player = program((1, false), |(frame, works), guest| {
        *works = !*works;
        if *works {
            return sleep_until(guest, *frame * 40 * MS).unwrap_or(Act::Compute(1));
        }
        *guest.timer_fired = false;
        *frame += 1;
        Act::Compute(8 * MS)
    });
    hog(&machine, &DomainConfig { affinity: 0b10, ..DomainConfig::new("hog") });
    for name in ["one", "two"] {
        machine.add(&DomainConfig::new(name), &player);
    }
    let mut cpus = machine.cpus();
    machine.run_on(&mut cpus, 200 * MS);
    let before = moves(&machine);
    machine.run_on(&mut cpus, 1000 * MS);
    assert_eq!(moves(&machine), before);
}

/// The guest has the vCPU that calls run on a CPU and no other, or with -1 wherever it may.
fn pin(guest: &fake::Guest<'_>, pcpu: i32) -> Act {
    guest.call_with(SCHED_OP, [SCHEDOP_PIN_OVERRIDE.into(), 0, 0], 1, PinOverride { pcpu }.as_bytes())
}

#[test]
fn timers_go_with_their_vcpu() {
    let machine = Machine::new(2);
    // It goes to where two others compute and waits for its turn there, until its timer says that it has an interrupt.
    let config = DomainConfig {
        affinity: 0b01,
        share: Share::of_weight(64),
        rights: Rights::all(),
        ..DomainConfig::new("timed")
    };
    let timed = machine.add(
        &config,
        &program(0, |step, guest| {
            let start = 100 * MS;
            if *step == 0
                && let Some(act) = sleep_until(guest, start)
            {
                return act;
            }
            *step += 1;
            match *step {
                // That costs it credit, so that nobody there has less.
                1 => return Act::Compute(9 * MS),
                2 => {
                    guest.domain.shared[COUNT].store(guest.now + 3 * MS, Ordering::Relaxed);
                    *guest.timer = Some(guest.now + 3 * MS);
                    return pin(guest, 1);
                }
                _ => {}
            }
            *guest.timer_fired = false;
            guest.domain.shared[SEEN].fetch_max(if guest.cpu == 1 { guest.now } else { 1 }, Ordering::Relaxed);
            sleep_until(guest, 10_000 * MS).unwrap()
        }),
    );
    for (name, affinity) in [("one", 0b01), ("two", 0b10), ("three", 0b10)] {
        hog(&machine, &DomainConfig { affinity, ..DomainConfig::new(name) });
    }
    machine.run(150 * MS);
    let (seen, due) = (word(&machine, timed, SEEN), word(&machine, timed, COUNT));
    assert!((due..due + CHUNK).contains(&seen), "it was due at {due}, and came at {seen}");
}

#[test]
fn a_pinned_vcpu_goes_to_its_cpu_and_stays() {
    let machine = coarse(3);
    crowd(&machine);
    let config = DomainConfig { affinity: 0b011, rights: Rights::all(), ..DomainConfig::new("pinned") };
    let id = machine.add(
        &config,
        &program(0u32, |step, guest| {
            *step += 1;
            let phase = *step / 200;
            if phase > 0 && *step % 200 != 0 {
                guest.domain.shared[SEEN + phase as usize].fetch_or(1 << guest.cpu, Ordering::Relaxed);
            }
            match (phase, *step % 200) {
                (1, 0) => pin(guest, 2),
                (2, 0) | (4, 0) => pin(guest, -1),
                (3, 0) => pin(guest, 0),
                _ => Act::Compute(CHUNK),
            }
        }),
    );
    machine.run(600 * MS);
    let seen: Vec<_> = (1..=4).map(|phase| word(&machine, id, SEEN + phase)).collect();
    assert_eq!((seen[0], seen[2]), (0b100, 0b001), "{seen:?}");
    assert!(seen[1] & 0b100 == 0 && seen[3] & 0b100 == 0 && seen[3] != 0, "where it may run: {seen:?}");
}

#[test]
fn a_pin_ends_with_the_life_of_its_guest() {
    let machine = coarse(3);
    let config = DomainConfig { affinity: 0b001, rights: Rights::all(), ..DomainConfig::new("pinned") };
    let id = machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            let life = guest.domain.resets.load(Ordering::Relaxed);
            guest.domain.shared[SEEN + life as usize].fetch_or(1 << guest.cpu, Ordering::Relaxed);
            match (life, *step) {
                (0, 1) => pin(guest, 2),
                (0, 10) => Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)),
                _ => Act::Compute(CHUNK),
            }
        }),
    );
    machine.run(50 * MS);
    // The page is cleared for the second life.
    assert_eq!(word(&machine, id, SEEN + 1), 0b001);
}
