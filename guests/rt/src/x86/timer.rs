//! Time: the processor's counter (TSC), and a one-shot timer of the hypervisor's whose interrupt is an event.
//!
//! How fast the counter is, and where it stands against system time, is in the shared page (`vcpu_time_info`,
//! public/xen.h). A bare machine has neither: there the counter's speed is measured with the PC's old timer, and nothing
//! interrupts.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use xen_abi::vcpu::{SetSingleshotTimer, VCPUOP_SET_SINGLESHOT_TIMER, VCPUOP_STOP_SINGLESHOT_TIMER};
use xen_abi::virq::VIRQ_TIMER;

use super::port;
use crate::events::LAYOUT;
pub use crate::time::{now, spin_until, to_ns, to_ticks, wait_until};
use crate::{Machine, events, hypercall, println, time};

static STARTED: AtomicU64 = AtomicU64::new(0);
/// The port of our timer's events; 0: not bound.
static PORT: AtomicU32 = AtomicU32::new(0);

/// Offsets in a `vcpu_time_info`, whose first word is its version and whose last has the factor, shift and flags.
const TIMESTAMP: usize = 8;
const SYSTEM_TIME: usize = 16;
const SCALE: usize = 24;

/// Remember the counter: this is the guest's first Rust code.
pub(crate) fn note_start() {
    STARTED.store(counter(), Relaxed);
}

/// The counter at the guest's first Rust code, in ns.
pub fn started_at() -> u64 {
    to_ns(STARTED.load(Relaxed))
}

pub(crate) fn init(machine: &Machine) {
    if !machine.hypervisor {
        silence_old_interrupts();
        return time::set_frequency(measured_frequency());
    }
    match events::connect() {
        Ok(()) if clock().factor != 0 => time::set_factor(clock().ns_per_tick()),
        Ok(()) => {
            println!("the hypervisor gives no clock (vcpu_time_info): a tick is taken for a nanosecond");
            time::set_frequency(1_000_000_000);
        }
        Err(error) => println!("no shared page, and so no clock: {error:?}"),
    }
}

/// The counter in its own ticks.
pub fn counter() -> u64 {
    // SAFETY: reads a counter.
    unsafe { _rdtsc() }
}

/// A consistent copy of vCPU 0's `vcpu_time_info`.
struct Clock {
    timestamp: u64,
    system_time: u64,
    /// ns for each tick, as a fraction of 2^32, after the shift.
    factor: u32,
    shift: i8,
}

fn clock() -> Clock {
    let word = |offset| events::shared_word(LAYOUT.time + offset);
    loop {
        let version = word(0) as u32;
        let scale = word(SCALE);
        let clock = Clock {
            timestamp: word(TIMESTAMP),
            system_time: word(SYSTEM_TIME),
            factor: scale as u32,
            shift: (scale >> 32) as i8,
        };
        // Odd while it changes.
        if version & 1 == 0 && version == word(0) as u32 {
            return clock;
        }
    }
}

impl Clock {
    /// 2^32 × ns for each tick.
    fn ns_per_tick(&self) -> u64 {
        let factor = u64::from(self.factor);
        let by = u32::from(self.shift.unsigned_abs());
        if self.shift < 0 { factor.checked_shr(by) } else { factor.checked_shl(by) }.unwrap_or(0)
    }

    /// System time in ns at a value of the counter, rounded up.
    fn at(&self, counter: u64) -> u64 {
        let ticks = u128::from(counter.saturating_sub(self.timestamp));
        let ns = (ticks * u128::from(self.ns_per_tick()) + u128::from(u32::MAX)) >> 32;
        self.system_time + ns as u64
    }
}

/// The hypervisor's system time, ns.
pub fn system_time() -> u64 {
    clock().at(counter())
}

/// By how much the counter, in ns, is behind that system time, modulo 2^64.
pub fn offset() -> u64 {
    let counter = counter();
    clock().at(counter).wrapping_sub(to_ns(counter))
}

/// The port of our timer's events, which is bound when it is first asked for.
fn event() -> u32 {
    let bound = PORT.load(Relaxed);
    if bound != 0 {
        return bound;
    }
    match hypercall::bind_virq(VIRQ_TIMER, 0).and_then(|port| hypercall::unmask(port).map(|()| port)) {
        Ok(port) => {
            PORT.store(port, Relaxed);
            port
        }
        Err(_) => 0,
    }
}

/// Is there a timer that interrupts?
pub fn interrupts() -> bool {
    event() != 0
}

/// How often this vCPU's timer has interrupted.
pub fn count() -> u64 {
    events::count(event())
}

/// The counter at which its handler last began.
pub fn last() -> u64 {
    events::last(event())
}

/// Arm the one-shot timer of this vCPU for a counter value.
pub fn set(at: u64) {
    if event() != 0 {
        let mut argument = SetSingleshotTimer { timeout_abs_ns: clock().at(at), flags: 0, pad0: 0 };
        let _ = hypercall::vcpu_op(VCPUOP_SET_SINGLESHOT_TIMER, 0, &mut argument);
    }
}

/// Switch the timer of this vCPU off, and give back its port.
pub fn cancel() {
    let port = PORT.swap(0, Relaxed);
    if port != 0 {
        let _ = hypercall::vcpu_op(VCPUOP_STOP_SINGLESHOT_TIMER, 0, &mut 0u64);
        let _ = hypercall::close(port);
    }
}

/// Keep the PC's two 8259 quiet, which the firmware has left on the vectors of exceptions.
fn silence_old_interrupts() {
    for mask in [0x21, 0xa1] {
        port::write(mask, 0xff);
    }
}

/// How fast the counter is, in Hz, by channel 2 of the PC's 8254, which counts 1,193,182 times a second and whose end can be
/// seen in port 0x61.
fn measured_frequency() -> u64 {
    const RATE: u64 = 1_193_182;
    const TICKS: u16 = 11_932;
    /// Ports of the gate, the mode and the count; channel 2, low and high byte, its output rises when it has counted down.
    const GATE: u16 = 0x61;
    const MODE: u16 = 0x43;
    const COUNT: u16 = 0x42;
    const CHANNEL_2_ONCE: u8 = 0xb0;
    // Gate on, speaker off.
    port::write(GATE, port::read(GATE) & !3 | 1);
    port::write(MODE, CHANNEL_2_ONCE);
    TICKS.to_le_bytes().into_iter().for_each(|byte| port::write(COUNT, byte));
    let start = counter();
    while port::read(GATE) & 1 << 5 == 0 {
        crate::cpu::relax();
    }
    (counter() - start) * RATE / u64::from(TICKS)
}

/// Crash in so many ns, whatever runs then: a test of ARM's only, as there is one timer here.
pub fn crash_in(_ns: u64) {}
