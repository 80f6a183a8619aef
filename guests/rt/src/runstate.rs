//! How much of the CPU this vCPU got, as the hypervisor counts it: the run-state record (public/vcpu.h), which stock kernels
//! use for stolen time. A guest that tells it lets shares be compared under any hypervisor that has the record, and not
//! only under the one whose own report is at hand.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use xen_abi::errno::Errno;
use xen_abi::vcpu::{RegisterRunstateMemoryArea, VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA};

use crate::{hypercall, println, timer};

/// The record of vCPU 0, inside one page: state, time of entry, and the times of the four states, running first.
#[repr(C, align(64))]
struct Record([AtomicU64; 6]);

static RECORD: Record = Record([const { AtomicU64::new(0) }; 6]);

/// Have the hypervisor keep vCPU 0's record here.
///
/// # Errors
/// The hypervisor refuses, or there is none.
pub fn register() -> Result<(), Errno> {
    let mut area = RegisterRunstateMemoryArea { addr: &raw const RECORD as u64 };
    hypercall::vcpu_op(VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA, 0, &mut area).map(drop)
}

/// System time now, and how long vCPU 0, which calls this, has run, both in ns. Only differences between two answers mean
/// anything, as the two clocks start when the hypervisor likes.
pub fn running() -> [u64; 2] {
    let [_, entry, ran, ..] = &RECORD.0;
    loop {
        let before = entry.load(SeqCst);
        let (now, ran) = (timer::system_time(), ran.load(SeqCst));
        // The record changes only while this vCPU does not run; if that happened in between, look again.
        if entry.load(SeqCst) == before {
            return [now, ran.wrapping_add(now).wrapping_sub(before)];
        }
    }
}

/// Say so to tools: two such lines tell the share of the time between them. The guest's own clock is told beside it.
pub fn print_running() {
    let [at, ran] = running();
    let clock = timer::now();
    println!("@ran at_ns={at} ran_ns={ran} clock_ns={clock}");
}
