//! Two vCPUs on two CPUs.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rt::{Machine, cpu, gic, measure, psci, smp};

use crate::{ROUNDS, failed, print};

const SGI: u32 = 2;
/// AFFINITY_INFO: the vCPU is on.
const ON: i64 = 0;

static UP: AtomicBool = AtomicBool::new(false);
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
    DONE.store(true, SeqCst);
    // The machine shall end with this vCPU alone.
    while psci::call(psci::function::AFFINITY_INFO, mpidr, 0, 0) == ON {
        cpu::relax();
    }
}

fn receive(_: usize) {
    gic::enable(SGI);
    UP.store(true, SeqCst);
    while !DONE.load(SeqCst) {
        cpu::relax();
    }
}
