//! Two vCPUs on two CPUs.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rt::{Machine, cpu, gic, measure, psci, smp, timer};

use crate::{ROUNDS, failed, print};

const SGI: u32 = 2;
/// Until the other vCPU and its CPU sleep again, ns.
const FALL_ASLEEP: u64 = 100_000;
/// AFFINITY_INFO: the vCPU is on.
const ON: i64 = 0;

static UP: AtomicBool = AtomicBool::new(false);
/// The second vCPU sleeps instead of spinning.
static SLEEPS: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(machine: &'static Machine) {
    let Some(&mpidr) = machine.cpus().get(1) else { return failed("cpu_on", "there is one vCPU only") };
    if smp::start(machine, 1, receive).is_err() {
        return failed("cpu_on", "the second vCPU does not start");
    }
    while !UP.load(SeqCst) {
        cpu::relax();
    }
    print("cpu_on", smp::start_ticks(), 1);
    let value = gic::sgi_value(SGI, mpidr);
    let (mut sender, mut to_handler) = (0, 0);
    for round in 0..ROUNDS {
        let before = gic::count_on(1, SGI);
        measure::dither(round);
        let (sent, goes_on) = measure::timed_sgi(value);
        while gic::count_on(1, SGI) == before {
            cpu::relax();
        }
        sender += goes_on - sent;
        to_handler += gic::last_on(1, SGI).saturating_sub(sent);
    }
    print("sgi_other_sender", sender, ROUNDS);
    print("sgi_other_handler", to_handler, ROUNDS);
    SLEEPS.store(true, SeqCst);
    print("sgi_sleeping", to_sleeper(value), ROUNDS);
    DONE.store(true, SeqCst);
    // The machine shall end with this vCPU alone.
    while psci::call(psci::function::AFFINITY_INFO, mpidr, 0, 0) == ON {
        // It may have looked at the flag just before that was set, and gone to sleep.
        gic::send_sgi(SGI, mpidr);
        cpu::relax();
    }
}

fn receive(_: usize) {
    gic::enable(SGI);
    UP.store(true, SeqCst);
    while !DONE.load(SeqCst) {
        if SLEEPS.load(SeqCst) {
            cpu::wait_for_interrupt();
        } else {
            cpu::relax();
        }
    }
}

/// Ticks from sending an SGI to the handler of a vCPU that sleeps, `ROUNDS` times.
fn to_sleeper(value: u64) -> u64 {
    let mut ticks = 0;
    for round in 0..ROUNDS {
        let before = gic::count_on(1, SGI);
        let asleep = timer::now() + FALL_ASLEEP;
        while timer::now() < asleep {
            cpu::relax();
        }
        measure::dither(round);
        let (sent, _) = measure::timed_sgi(value);
        while gic::count_on(1, SGI) == before {
            cpu::relax();
        }
        ticks += gic::last_on(1, SGI).saturating_sub(sent);
    }
    ticks
}
