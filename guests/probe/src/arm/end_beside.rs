//! A domain that ends while its other vCPU computes: that one makes no call, takes no interrupt and sleeps never, so that
//! only a word from the CPU of the first can bring the hypervisor back where it runs.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rt::{Machine, cpu, memory, power, println, smp, timer};

/// How long the other has computed when the domain ends, ns.
const A_WHILE: u64 = 1_000_000;
/// What the mailbox holds in the second life.
const AGAIN: u64 = 0x6167_6169_6e20_3221;

static COMPUTES: AtomicBool = AtomicBool::new(false);

/// Ends as `end=` says: `poweroff`, `crash`, or `reboot`, which is followed by a second life that powers off.
pub(crate) fn run(machine: &'static Machine) {
    if smp::start(machine, 1, compute).is_err() {
        return println!("probe: this needs 2 vCPUs");
    }
    while !COMPUTES.load(SeqCst) {
        cpu::relax();
    }
    timer::spin_until(timer::now() + A_WHILE);
    let again = memory::mailbox(machine).is_some_and(|mailbox| mailbox.swap(AGAIN, SeqCst) == AGAIN);
    match machine.argument("end") {
        Some("crash") => power::crash(),
        Some("reboot") if !again => power::reboot(),
        _ => power::off(),
    }
}

fn compute(_: usize) {
    cpu::mask_interrupts();
    COMPUTES.store(true, SeqCst);
    loop {
        cpu::relax();
    }
}
