//! Domains start, end, crash and start again, on one CPU and on two.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine, program};
use host_tests::{MS, power_off, shutdown, sleep_until};
use hyp_core::arch::{Arch, CpuOnResult, Exit, GuestFault};
use hyp_core::domain::{DomainConfig, EndAction};
use hyp_core::policy::Rights;
use xen_abi::errno::Errno;
use xen_abi::hypercall::{CONSOLE_IO, SCHED_OP, XEN_VERSION};
use xen_abi::sched::{SCHEDOP_YIELD, SHUTDOWN_CRASH, SHUTDOWN_REBOOT};

const FAULT: GuestFault =
    GuestFault { what: "undefined instruction", pc: 0x4008_0000, address: 0, guest_physical: 0, syndrome: 0x200_0000 };

#[test]
fn one_guest_runs_and_switches_the_machine_off() {
    let machine = Machine::new(1);
    machine.add(
        &DomainConfig::new("one"),
        &program(0, |step, _| {
            *step += 1;
            if *step <= 3 { Act::Compute(MS) } else { power_off() }
        }),
    );
    assert!(machine.run(100 * MS));
    let reports = machine.reports();
    let starts: Vec<_> = reports.iter().map(|line| line.split(" cpu_ns").next().unwrap()).collect();
    assert_eq!(
        starts[..5],
        [
            "@domain id=1 name=one state=created",
            "@domain id=1 name=one state=running",
            "@first_guest ns=0",
            "@domain id=1 name=one state=shutdown reason=poweroff",
            "@usage domain=one vcpu=0"
        ]
    );
    assert!(reports[5].starts_with("@elapsed ns=30000"), "{reports:#?}");
    assert_eq!(reports[6], "@vcpu id=0 domain=one vcpu=0");
    assert!(reports[7].starts_with("@trace cpu=0 first=0 0000000000000000"), "{reports:#?}");
    assert_eq!(reports[8], "@end");
}

#[test]
fn a_guest_that_gets_an_abort_goes_on_and_is_reported_once_a_life() {
    let machine = Machine::new(1);
    machine.add(
        &DomainConfig::new("one"),
        &program(0, |step, guest| {
            *step += 1;
            match (*step, guest.domain.resets.load(Ordering::Relaxed)) {
                (1 | 2, _) => Act::Exit(Exit::Aborted(FAULT)),
                (3, _) => Act::Compute(MS),
                (_, 0) => shutdown(guest, SHUTDOWN_REBOOT),
                _ => power_off(),
            }
        }),
    );
    assert!(machine.run(1000 * MS));
    let reports = machine.reports();
    let faults: Vec<_> = reports.iter().filter(|line| line.starts_with("@fault")).collect();
    assert_eq!(faults.len(), 2, "{reports:#?}");
    assert!(reports.iter().any(|line| line.ends_with("state=shutdown reason=poweroff")), "{reports:#?}");
}

#[test]
fn a_crash_leaves_the_others_alone() {
    for cpus in [1, 2] {
        let machine = Machine::new(cpus);
        machine.add(
            &DomainConfig::new("victim"),
            &program(0, |step, _| {
                *step += 1;
                if *step == 1 { Act::Compute(3 * MS) } else { Act::Exit(Exit::Fault(FAULT)) }
            }),
        );
        let other = machine.add(
            &DomainConfig::new("other"),
            &program(0, |step, guest| {
                *step += 1;
                guest.domain.put(0x2000, b"alive\n");
                match *step {
                    1..=50 => Act::Compute(MS),
                    51 => Act::call(CONSOLE_IO, [0, 6, 0x2000]),
                    _ => power_off(),
                }
            }),
        );
        assert!(machine.run(1000 * MS), "{cpus} CPUs");
        assert!(machine.reported("@fault domain=victim vcpu=0 what=undefined-instruction pc=0x40080000"));
        assert!(machine.reported("name=victim state=crashed reason=crash"));
        assert!(machine.reported("name=other state=shutdown reason=poweroff"));
        assert_eq!(machine.console(other), "alive\n");
    }
}

#[test]
fn a_reboot_starts_from_the_first_state() {
    let machine = Machine::new(1);
    let config = DomainConfig::new("again");
    let id = machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            assert_eq!(guest.start, (0x8000, 0x9000));
            let resets = guest.domain.resets.load(Ordering::Relaxed);
            match (*step, resets) {
                (1, _) => Act::Compute(MS),
                (_, 0) => {
                    guest.domain.shared[3].store(7, Ordering::Relaxed);
                    shutdown(guest, SHUTDOWN_REBOOT)
                }
                (_, 1) => shutdown(guest, SHUTDOWN_REBOOT),
                _ => {
                    assert_eq!(guest.domain.shared[3].load(Ordering::Relaxed), 0);
                    power_off()
                }
            }
        }),
    );
    // Somebody else takes all the CPU it can get meanwhile.
    machine.add(
        &DomainConfig::new("hog"),
        &program(0, |step, _| {
            *step += 1;
            if *step < 300 { Act::Compute(MS) } else { power_off() }
        }),
    );
    assert!(machine.run(2000 * MS));
    let restarted = machine.reports().iter().filter(|line| line.contains("state=restarted reason=reboot")).count();
    assert_eq!(restarted, 2);
    let domain = machine.hypervisor.domain(id).unwrap();
    assert_eq!(domain.arch().resets.load(Ordering::Relaxed), 2);
}

#[test]
fn machine_off_ends_everybody() {
    for cpus in [1, 2, 3] {
        let machine = Machine::new(cpus);
        machine.add(&DomainConfig::new("hog"), &program((), |(), _| Act::Compute(MS)));
        let mut config = DomainConfig::new("player");
        config.actions.poweroff = EndAction::MachineOff;
        machine.add(
            &config,
            &program(0, |step, _| {
                *step += 1;
                if *step < 20 { Act::Compute(MS) } else { power_off() }
            }),
        );
        assert!(machine.run(1000 * MS), "{cpus} CPUs");
        assert!(machine.reported("@usage domain=hog"));
        assert_eq!(machine.reports().last().unwrap(), "@end");
    }
}

#[test]
fn second_vcpu_is_switched_on_and_stopped_with_its_domain() {
    for cpus in [1, 2] {
        let machine = Machine::new(cpus);
        let config = DomainConfig { vcpus: 2, ..DomainConfig::new("pair") };
        let code = move |step: &mut u32, guest: &mut fake::Guest<'_>| {
            *step += 1;
            match (guest.index, *step) {
                (0, 1) => Act::Exit(Exit::CpuOn { target: 2, entry: 0, argument: 0 }),
                (0, 2) => {
                    assert_eq!(guest.result, CpuOnResult::NoSuchVcpu as u64);
                    Act::Exit(Exit::CpuOn { target: 1, entry: 0x77, argument: 0x88 })
                }
                (0, 3) => {
                    assert_eq!(guest.result, CpuOnResult::Done as u64);
                    Act::Exit(Exit::CpuOn { target: 1, entry: 0, argument: 0 })
                }
                (0, 4) => {
                    // A second CPU has not looked yet; a single one was interrupted by itself.
                    let soon = if cpus == 1 { CpuOnResult::AlreadyOn } else { CpuOnResult::Pending };
                    assert_eq!(guest.result, soon as u64);
                    Act::Compute(30 * MS)
                }
                (0, 5) => Act::Exit(Exit::CpuOn { target: 1, entry: 0, argument: 0 }),
                (0, 6) => {
                    assert_eq!(guest.result, CpuOnResult::AlreadyOn as u64);
                    Act::Exit(Exit::AffinityInfo { target: 1 })
                }
                (0, 7) => {
                    assert_eq!(guest.result, CpuOnResult::Done as u64, "it is on");
                    Act::Compute(MS)
                }
                (0, _) => {
                    assert_eq!(guest.domain.shared[7].load(Ordering::Relaxed), 1, "the other ran");
                    shutdown(guest, SHUTDOWN_CRASH)
                }
                _ => {
                    assert_eq!(guest.start, (0x77, 0x88));
                    guest.domain.shared[7].store(1, Ordering::Relaxed);
                    Act::Compute(MS)
                }
            }
        };
        machine.add(&config, &program(0, code));
        assert!(machine.run(1000 * MS), "{cpus} CPUs: {:#?}", machine.reports());
        assert!(machine.reported("state=crashed reason=crash"));
        assert!(machine.reported("@usage domain=pair vcpu=1"));
    }
}

#[test]
fn a_vcpu_can_go_and_come_back() {
    let machine = Machine::new(2);
    let config = DomainConfig { vcpus: 2, ..DomainConfig::new("pair") };
    machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            match (guest.index, *step) {
                (0, 1 | 5) => Act::Exit(Exit::CpuOn { target: 1, entry: 1, argument: 0 }),
                (0, 2 | 6) => {
                    assert_eq!(guest.result, 0);
                    Act::Compute(5 * MS)
                }
                (0, 3) => Act::Exit(Exit::AffinityInfo { target: 1 }),
                (0, 4) => {
                    assert_eq!(guest.result, CpuOnResult::AlreadyOff as u64);
                    Act::Compute(1)
                }
                (0, _) => {
                    assert_eq!(guest.domain.shared[7].load(Ordering::Relaxed), 2);
                    power_off()
                }
                _ => {
                    guest.domain.shared[7].fetch_add(1, Ordering::Relaxed);
                    Act::Exit(Exit::CpuOff)
                }
            }
        }),
    );
    assert!(machine.run(1000 * MS));
}

#[test]
fn whose_last_vcpu_goes_ends() {
    let machine = Machine::new(1);
    let config = DomainConfig { vcpus: 2, ..DomainConfig::new("gone") };
    machine.add(&config, &program((), |(), _| Act::Exit(Exit::CpuOff)));
    assert!(machine.run(100 * MS));
    assert!(machine.reported("name=gone state=shutdown reason=poweroff"));
}

#[test]
fn what_is_not_allowed_is_refused() {
    let machine = Machine::new(1);
    let config = DomainConfig { rights: Rights::VERSION, ..DomainConfig::new("poor") };
    machine.add(
        &config,
        &program(0, |step, guest| {
            *step += 1;
            match *step {
                1 => Act::call(XEN_VERSION, [0]),
                2 => {
                    assert_eq!(guest.result, 4 << 16 | 17);
                    Act::call(SCHED_OP, [SCHEDOP_YIELD.into()])
                }
                3 => {
                    assert_eq!(guest.result, Errno::EPERM.to_result());
                    Act::call(99, [])
                }
                _ => {
                    assert_eq!(guest.result, Errno::ENOSYS.to_result());
                    power_off()
                }
            }
        }),
    );
    assert!(machine.run(MS));
    assert!(machine.reported("domain poor: hypercall 99"));
}

#[test]
fn a_full_console_loses_nothing() {
    let machine = Machine::new(1);
    machine.hypervisor.arch().console_room.store(7, Ordering::Relaxed);
    let text: String = (0..500).map(|number| format!("{number} ")).collect();
    let bytes = text.clone().into_bytes();
    let id = machine.add(
        &DomainConfig::new("talker"),
        &program(0, move |step, guest| {
            *step += 1;
            if *step == 1 {
                guest.domain.put(0x4000, &bytes);
                return Act::call(CONSOLE_IO, [0, bytes.len() as u64, 0x4000]);
            }
            assert_eq!(guest.result, 0);
            power_off()
        }),
    );
    assert!(machine.run(100 * MS));
    assert_eq!(machine.console(id), text);
}

#[test]
fn a_domain_that_is_paused_while_it_runs_or_waits_stands_still_too() {
    let machine = Machine::new(1);
    let count = |name| {
        let code = |(): &mut (), guest: &mut fake::Guest<'_>| {
            guest.domain.shared[7].fetch_add(1, Ordering::Relaxed);
            Act::Compute(MS)
        };
        machine.add(&DomainConfig::new(name), &program((), code))
    };
    let domains = ["one", "two"].map(|name| machine.hypervisor.domain(count(name)).unwrap());
    let counts = || domains.map(|domain| domain.arch().shared[7].load(Ordering::Relaxed));
    let mut cpus = machine.cpus();
    machine.run_on(&mut cpus, 95 * MS);
    // One of them runs at this moment, the other is queued.
    for (paused, other) in [(0, 1), (1, 0)] {
        assert!(machine.hypervisor.set_paused(cpus[0].local(), domains[paused], true));
        let before = counts();
        let now = machine.hypervisor.arch().now();
        machine.run_on(&mut cpus, now + 100 * MS);
        assert!(counts()[paused] <= before[paused] + 1, "{before:?} {:?}", counts());
        assert!(counts()[other] >= before[other] + 99, "{before:?} {:?}", counts());
        assert!(machine.hypervisor.set_paused(cpus[0].local(), domains[paused], false));
    }
}

#[test]
fn a_paused_domain_stands_still() {
    let machine = Machine::new(1);
    let id = machine.add(
        &DomainConfig::new("ticker"),
        &program(0, |step, guest| {
            let due = *step * MS;
            if let Some(act) = sleep_until(guest, due) {
                return act;
            }
            *step += 1;
            guest.domain.shared[7].fetch_add(1, Ordering::Relaxed);
            Act::Compute(1000)
        }),
    );
    machine.add(&DomainConfig::new("hog"), &program((), |(), _| Act::Compute(MS)));
    let domain = machine.hypervisor.domain(id).unwrap();
    let ticks = || domain.arch().shared[7].load(Ordering::Relaxed);
    let mut cpus = machine.cpus();
    machine.run_on(&mut cpus, 200 * MS);
    assert!((199..=201).contains(&ticks()), "{} {:#?}", ticks(), machine.reports());
    assert!(machine.hypervisor.set_paused(cpus[0].local(), domain, true));
    machine.run_on(&mut cpus, 201 * MS);
    let before = ticks();
    machine.run_on(&mut cpus, 250 * MS);
    assert_eq!(ticks(), before);
    assert!(machine.hypervisor.set_paused(cpus[0].local(), domain, false));
    machine.run_on(&mut cpus, 400 * MS);
    // It makes up for what it missed.
    assert!((399..=401).contains(&ticks()), "{}", ticks());
    assert!(!machine.hypervisor.set_paused(cpus[0].local(), domain, false), "it is not paused");
}
