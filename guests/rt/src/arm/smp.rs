//! Further vCPUs, by PSCI CPU_ON.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use spin::Once;

use crate::{Machine, cpu, gic, memory, psci, timer};

unsafe extern "C" {
    /// In `entry.s`.
    fn secondary_entry();
}

static MACHINE: Once<&'static Machine> = Once::new();
static BODY: [Once<fn(usize)>; cpu::MAX] = [const { Once::new() }; cpu::MAX];
static STARTED: AtomicUsize = AtomicUsize::new(0);
/// The counter when the last vCPU was asked for, and when it came to Rust.
static ASKED_AT: AtomicU64 = AtomicU64::new(0);
static CAME_AT: AtomicU64 = AtomicU64::new(0);

/// Start vCPU `index` (its place in the tree's list) with `body(index)`. When `body` returns, the vCPU switches itself
/// off. The error is PSCI's code.
pub fn start(machine: &'static Machine, index: usize, body: fn(usize)) -> Result<(), i64> {
    let (Some(&mpidr), Some(slot)) = (machine.cpus().get(index), BODY.get(index)) else {
        return Err(psci::INVALID_PARAMETERS);
    };
    MACHINE.call_once(|| machine);
    slot.call_once(|| body);
    // The new vCPU reads with its caches off only code and constants, which the loader cleaned; its map is among them.
    let (start, end) = memory::image();
    memory::clean(start, end - start);
    ASKED_AT.store(timer::counter(), SeqCst);
    match psci::call(psci::function::CPU_ON, mpidr, secondary_entry as *const () as u64, index as u64) {
        0 => Ok(()),
        code => Err(code),
    }
}

/// How many vCPUs have come up by [`start`].
pub fn started() -> usize {
    STARTED.load(SeqCst)
}

/// Ticks from the last call of CPU_ON to the first Rust code of the vCPU that it started, once that has come up.
pub fn start_ticks() -> u64 {
    CAME_AT.load(SeqCst).saturating_sub(ASKED_AT.load(SeqCst))
}

/// First Rust code of a further vCPU; called by `entry.s` with its index.
#[unsafe(no_mangle)]
extern "C" fn rt_secondary(index: usize) -> ! {
    CAME_AT.store(timer::counter(), SeqCst);
    if let Some(machine) = MACHINE.get() {
        gic::init_here(machine);
    }
    timer::enable_here();
    cpu::unmask_interrupts();
    STARTED.fetch_add(1, SeqCst);
    if let Some(body) = BODY.get(index).and_then(Once::get) {
        body(index);
    }
    cpu::mask_interrupts();
    psci::call(psci::function::CPU_OFF, 0, 0, 0);
    loop {
        cpu::wait_for_interrupt();
    }
}
