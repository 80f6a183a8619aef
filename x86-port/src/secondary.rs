//! The other CPUs: found in the firmware's tables, started one after the other.

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use spin::RelaxStrategy;

use crate::layout::PAGE_SIZE;
use crate::lock::Relax;
use crate::{clock, local_apic};

/// The page below 1 MiB where they start; a PC's firmware leaves it to whoever comes after it.
const START_PAGE: u64 = 0x8000;
/// How long a CPU gets after INIT, and after each of two SIPIs (Intel SDM 3A, 8.4.4.1), nanoseconds.
const AFTER_INIT: u64 = 10_000_000;
const AFTER_START: u64 = 200_000;
/// Longest that one may take to come up.
const PATIENCE: u64 = 100_000_000;

/// The upper end of the stack of the one that starts; read by secondary.s.
#[unsafe(no_mangle)]
static SECONDARY_STACK: AtomicU32 = AtomicU32::new(0);
/// The number of the one that starts.
static NUMBER: AtomicU8 = AtomicU8::new(0);
/// How many are up beside the first.
static UP: AtomicU8 = AtomicU8::new(0);

mod symbols {
    unsafe extern "C" {
        pub(super) static secondary_start: u8;
        pub(super) static secondary_start_end: u8;
    }
}

/// Puts the code where they start; the first 4 GiB are still mapped one to one.
pub(crate) fn prepare() {
    let start = &raw const symbols::secondary_start;
    let bytes = &raw const symbols::secondary_start_end as usize - start as usize;
    // SAFETY: nothing uses the page, which is writable memory of every PC, and the code is shorter than it.
    unsafe { ptr::copy_nonoverlapping(start, START_PAGE as *mut u8, bytes.min(PAGE_SIZE as usize)) };
}

/// Starts the CPU with this APIC identifier, as number `cpu`, on a stack that ends at `stack`. Returns whether it came up.
pub(crate) fn start(cpu: u8, apic: u32, stack: u64) -> bool {
    NUMBER.store(cpu, Ordering::Relaxed);
    SECONDARY_STACK.store(stack as u32, Ordering::Release);
    let is_up = || UP.load(Ordering::Acquire) >= cpu;
    local_apic::init(apic);
    wait(AFTER_INIT, || false);
    for _ in 0..2 {
        local_apic::start(apic, (START_PAGE / PAGE_SIZE) as u8);
        if wait(AFTER_START, is_up) {
            return true;
        }
    }
    wait(PATIENCE, is_up)
}

/// Waits until something is so, at most so long; whether it is.
fn wait(longest: u64, is_so: impl Fn() -> bool) -> bool {
    let end = clock::now() + longest;
    while !is_so() {
        if clock::now() > end {
            return false;
        }
        Relax::relax();
    }
    true
}

/// The number of the CPU that is starting, which calls this first.
pub(crate) fn number() -> u8 {
    NUMBER.load(Ordering::Acquire)
}

/// It is up.
pub(crate) fn arrived() {
    UP.fetch_add(1, Ordering::Release);
}
