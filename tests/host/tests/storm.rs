//! A guest that sends events as fast as it can has no CPU interrupted but for whom they are, when that one sleeps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine, program};
use host_tests::MS;
use hyp_core::arch::Exit;
use hyp_core::domain::DomainConfig;
use hyp_core::event::fixed::FixedChannel;
use hyp_core::sched::{Promise, Reservation, Share};
use hyp_core::time::Nanos;
use xen_abi::event_channel::{EVTCHNOP_SEND, Send};
use xen_abi::hypercall::EVENT_CHANNEL_OP;
use xen_abi::shared_info::EVTCHN_PENDING;
use zerocopy::IntoBytes;

/// The port of both ends.
const PORT: u16 = 1;
/// Word of its shared page in which the one that sleeps counts the times that it was told.
const TOLD: usize = 400;
/// What is pending for vCPU 0 and its port, as words of the shared page.
const PENDING: [usize; 3] = [0, 1, EVTCHN_PENDING / 8];

#[test]
fn who_waits_for_its_cpu_has_it_interrupted_once() {
    let machine = Machine::new(2);
    let promise = Promise::Reserve(Reservation::new(9 * MS, 10 * MS, 10 * MS).unwrap());
    let share = Share { promise, ..Share::of_weight(256) };
    let on = |name, cpu: u32| DomainConfig { affinity: 1u32 << cpu, ..DomainConfig::new(name) };
    let storm = machine.add(
        &on("storm", 0),
        &program((), |(), guest| {
            let send = Send { port: PORT.into() };
            guest.call_with(EVENT_CHANNEL_OP, [EVTCHNOP_SEND.into(), 0, 0], 1, send.as_bytes())
        }),
    );
    let sink = machine.add(
        &on("sink", 1),
        &program((), |(), guest| {
            if guest.line {
                PENDING.into_iter().for_each(|word| guest.domain.shared[word].store(0, Ordering::SeqCst));
                guest.domain.shared[TOLD].fetch_add(1, Ordering::Relaxed);
            }
            Act::Exit(Exit::Idle)
        }),
    );
    machine.add(&DomainConfig { share, ..on("victim", 1) }, &program((), |(), _| Act::Compute(MS)));
    let end = |domain, remote| FixedChannel { domain, port: PORT, remote, remote_port: PORT };
    machine.hypervisor.fix_channels([end(storm, sink), end(sink, storm)].into_iter().collect());
    let arch = machine.hypervisor.arch();
    let shared = &machine.hypervisor.domain(sink).unwrap().arch().shared;
    let mut cpus = machine.cpus();
    let mut run = |from: Nanos, until: Nanos| {
        let before = arch.kicks.load(Ordering::Relaxed);
        for time in (from..until).step_by(4_000) {
            // Somebody helps it, and takes what is pending from under it.
            PENDING.into_iter().for_each(|word| shared[word].store(0, Ordering::SeqCst));
            machine.run_on(&mut cpus, time);
        }
        arch.kicks.load(Ordering::Relaxed) - before
    };
    run(0, MS);
    let told = shared[TOLD].load(Ordering::Relaxed);
    // For 4 ms nobody but the one with the reservation runs there, while thousands of events are sent.
    let kicks = run(MS, 5 * MS);
    assert!(kicks <= 2, "{kicks} interruptions");
    assert_eq!(shared[TOLD].load(Ordering::Relaxed), told, "it has not run");
    run(5 * MS, 11 * MS);
    assert!(shared[TOLD].load(Ordering::Relaxed) > told, "what was sent is seen when its turn comes");
}
