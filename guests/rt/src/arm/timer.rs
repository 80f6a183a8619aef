//! Time: the virtual counter and its one-shot timer (Arm ARM D12).
//!
//! A guest's time is that of the virtual counter: nanoseconds since its domain was made.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::cpu::write_register;
pub use crate::time::{now, spin_until, to_ns, to_ticks, wait_until};
use crate::{Machine, gic, power, read_register, time};

const ENABLE: u64 = 1;
const MASKED: u64 = 2;

static INTID: AtomicU32 = AtomicU32::new(27);
static STARTED: AtomicU64 = AtomicU64::new(0);
static OFFSET: AtomicU64 = AtomicU64::new(0);
/// The physical timer ends the guest.
static CRASHES: AtomicBool = AtomicBool::new(false);

pub(crate) fn init(machine: &Machine) {
    time::set_frequency(read_register!("cntfrq_el0"));
    INTID.store(machine.timer_intid, Relaxed);
    enable_here();
}

/// Let this vCPU take its timer's interrupt.
pub(crate) fn enable_here() {
    cancel();
    gic::enable(INTID.load(Relaxed));
}

/// INTID of the virtual timer: 27 on every machine with the usual tree.
pub fn intid() -> u32 {
    INTID.load(Relaxed)
}

/// Remember the counters: this is the guest's first Rust code.
pub(crate) fn note_start() {
    STARTED.store(read_register!("cntpct_el0"), Relaxed);
    OFFSET.store(read_register!("cntpct_el0").wrapping_sub(read_register!("cntvct_el0")), Relaxed);
}

/// The physical counter at the guest's first Rust code, some hundred instructions after its first, in ns. Under an
/// emulator that is the time since power-on.
pub fn started_at() -> u64 {
    to_ns(STARTED.load(Relaxed))
}

/// By how much the virtual counter is behind the physical one, in ns: when the hypervisor made this domain.
pub fn offset() -> u64 {
    to_ns(OFFSET.load(Relaxed))
}

/// The virtual counter in its own ticks.
pub fn counter() -> u64 {
    cpu_isb();
    read_register!("cntvct_el0")
}

fn cpu_isb() {
    // SAFETY: ISB; without it the counter may be read early.
    unsafe { core::arch::asm!("isb", options(nomem, nostack)) };
}

/// Nanoseconds on the physical counter, which no hypervisor shifts: Xen's system time, less what went by until Xen
/// itself started (some milliseconds).
pub fn system_time() -> u64 {
    cpu_isb();
    to_ns(read_register!("cntpct_el0"))
}

/// Is there a timer that interrupts?
pub fn interrupts() -> bool {
    gic::present()
}

/// How often this vCPU's timer has interrupted.
pub fn count() -> u64 {
    gic::count(intid())
}

/// The counter at which its handler last began.
pub fn last() -> u64 {
    gic::last(intid())
}

/// Arm the one-shot timer of this vCPU for a counter value.
pub fn set(at: u64) {
    write_register!("cntv_cval_el0", at);
    write_register!("cntv_ctl_el0", ENABLE);
    cpu_isb();
}

/// Switch the timer of this vCPU off.
pub fn cancel() {
    write_register!("cntv_ctl_el0", 0);
    cpu_isb();
}

/// INTID of the physical timer: 30 on every machine with the usual tree.
pub const PHYSICAL: u32 = 30;

/// The physical counter, isolated from what comes before.
pub fn physical_counter() -> u64 {
    cpu_isb();
    read_register!("cntpct_el0")
}

/// Arm the physical timer of this vCPU for a value of the physical counter.
pub fn set_physical(at: u64) {
    write_register!("cntp_cval_el0", at);
    write_register!("cntp_ctl_el0", ENABLE);
    cpu_isb();
}

/// Arm it for so many ticks from now.
pub fn set_physical_in(ticks: u64) {
    write_register!("cntp_tval_el0", ticks);
    write_register!("cntp_ctl_el0", ENABLE);
    cpu_isb();
}

/// Set its control register.
pub fn control_physical(value: u64) {
    write_register!("cntp_ctl_el0", value);
    cpu_isb();
}

/// Its control register, compare value and ticks left.
pub fn physical_registers() -> [u64; 3] {
    [read_register!("cntp_ctl_el0"), read_register!("cntp_cval_el0"), read_register!("cntp_tval_el0")]
}

/// Crash in so many ns, whatever runs then: for tests of what outlives a guest.
pub fn crash_in(ns: u64) {
    CRASHES.store(true, Relaxed);
    gic::enable(PHYSICAL);
    set_physical(physical_counter() + to_ticks(ns));
}

/// The handler's part for the physical timer.
pub(crate) fn quiet_physical() {
    if CRASHES.load(Relaxed) {
        power::crash();
    }
    control_physical(ENABLE | MASKED);
}

/// The handler's part: keep the timer from firing again. Level-triggered, so before the end of interrupt.
pub(crate) fn quiet() {
    write_register!("cntv_ctl_el0", ENABLE | MASKED);
    cpu_isb();
}
