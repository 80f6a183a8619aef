//! A media player beside guests that take whatever they get, through the whole core: timers, exits, switches.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine, program};
use host_tests::{MS, power_off, sleep_until};
use hyp_core::arch::Exit;
use hyp_core::domain::{DomainConfig, EndAction};
use hyp_core::time::Nanos;
use xen_abi::hypercall::SCHED_OP;

const FRAME: Nanos = 16_666_667;
const FRAMES: u64 = 300;
/// Words of its shared page in which the player says what it saw.
const LATE: usize = 300;
const WAKE: usize = 301;

/// Plays [`FRAMES`] frames of `work` each. Returns late frames and the longest wake-up.
fn play(cpus: u8, hogs: usize, work: Nanos, yielding: bool) -> (u64, Nanos) {
    let machine = Machine::new(cpus);
    let mut config = DomainConfig { affinity: 1, ..DomainConfig::new("player") };
    config.actions.poweroff = EndAction::MachineOff;
    let player = machine.add(
        &config,
        &program((0, false), move |(frame, working), guest| {
            let due = 50 * MS + *frame * FRAME;
            if *working {
                *working = false;
                *frame += 1;
                guest.domain.shared[LATE].fetch_add((guest.now > due + FRAME).into(), Ordering::Relaxed);
                return Act::Compute(1);
            }
            if let Some(act) = sleep_until(guest, due) {
                return act;
            }
            if *frame == FRAMES {
                return power_off();
            }
            guest.domain.shared[WAKE].fetch_max(guest.now - due, Ordering::Relaxed);
            *working = true;
            Act::Compute(work)
        }),
    );
    for hog in ["hog1", "hog2", "hog3"].iter().take(hogs) {
        let config = DomainConfig { affinity: 1, ..DomainConfig::new(hog) };
        machine.add(
            &config,
            &program(0u32, move |step, _| {
                *step += 1;
                if yielding && step.is_multiple_of(2) { Act::call(SCHED_OP, [0]) } else { Act::Compute(MS / 3) }
            }),
        );
    }
    assert!(machine.run(60_000 * MS), "it never ends");
    let shared = &machine.hypervisor.domain(player).unwrap().arch().shared;
    (shared[LATE].load(Ordering::Relaxed), shared[WAKE].load(Ordering::Relaxed))
}

#[test]
fn a_player_inside_its_share_is_never_late() {
    for (hogs, percent) in [(0, 80), (1, 35), (1, 45), (2, 28), (3, 14)] {
        // One CPU only: CPUs that take turns in one thread share one clock, so that each would be half as fast.
        let (late, wake) = play(1, hogs, FRAME * percent / 100, false);
        assert_eq!(late, 0, "{percent} % beside {hogs} hogs");
        assert!(wake < 50_000, "{percent} % beside {hogs} hogs: woke {wake} ns late");
    }
}

#[test]
fn hogs_that_yield_do_not_matter() {
    assert_eq!(play(1, 2, FRAME * 28 / 100, true).0, 0);
}

#[test]
fn a_yield_lets_the_other_run() {
    let machine = Machine::new(1);
    let mut config = DomainConfig::new("polite");
    config.actions.poweroff = EndAction::MachineOff;
    machine.add(
        &config,
        &program(0, |step, _| {
            *step += 1;
            if *step < 50 { Act::Exit(Exit::Yield) } else { power_off() }
        }),
    );
    machine.add(&DomainConfig::new("hog"), &program((), |(), _| Act::Compute(MS)));
    assert!(machine.run(1000 * MS));
    let elapsed = machine.reports().iter().find_map(|line| line.strip_prefix("@elapsed ns=")?.parse().ok());
    let elapsed: Nanos = elapsed.unwrap();
    assert!((40 * MS..70 * MS).contains(&elapsed), "50 yields took {elapsed} ns");
}

#[test]
fn all_time_of_a_busy_cpu_is_somebodys() {
    let machine = Machine::new(1);
    let mut config = DomainConfig::new("one");
    config.actions.poweroff = EndAction::MachineOff;
    let count = |step: &mut u32, _: &mut fake::Guest<'_>| {
        *step += 1;
        if *step < 100 { Act::Compute(MS) } else { power_off() }
    };
    machine.add(&config, &program(0, count));
    machine.add(&DomainConfig::new("two"), &program((), |(), _| Act::Compute(MS)));
    assert!(machine.run(1000 * MS));
    let number = |line: &str, key| -> Option<Nanos> { line.split_once(key)?.1.split(' ').next()?.parse().ok() };
    let reports = machine.reports();
    let used: Nanos = reports.iter().filter_map(|line| number(line, " cpu_ns=")).sum();
    let elapsed = reports.iter().find_map(|line| number(line, "@elapsed ns=")).unwrap();
    assert!(used <= elapsed && used > elapsed - MS, "{used} of {elapsed} ns");
}
