//! The end: EL2 itself faulted. Say all that is known, in a form a person can read, and stop the machine.

use core::cell::UnsafeCell;

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};

use crate::percpu;

/// Bytes of stack for the dump.
const FAULT_STACK_BYTES: usize = 8192;

/// The stack of the dump; vectors.s switches to it, for the usual one may be what broke. Two CPUs that fault in the
/// same instant share it, and then the dump is garbled but the machine still stops.
#[repr(C, align(16))]
pub(crate) struct FaultStack(UnsafeCell<[u8; FAULT_STACK_BYTES]>);

// SAFETY: only vectors.s touches it, on the way to a halt.
unsafe impl Sync for FaultStack {}

#[unsafe(no_mangle)]
static FAULT_STACK: FaultStack = FaultStack(UnsafeCell::new([0; FAULT_STACK_BYTES]));

/// What vectors.s leaves on the fault stack.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    pc: u64,
    pstate: u64,
    sp: u64,
}

/// What the exception class of EL2's own exceptions means (Arm ARM D17.2.37).
fn class(esr: u64) -> &'static str {
    match esr >> 26 & 0x3f {
        0x00 => "undefined instruction",
        0x21 => "fetch from unmapped or non-executable memory",
        0x22 => "unaligned program counter",
        0x25 => "access to unmapped or protected memory",
        0x26 => "unaligned stack pointer",
        0x2f => "asynchronous abort",
        0x3c => "breakpoint",
        _ => "exception",
    }
}

#[unsafe(no_mangle)]
extern "C" fn own_fault(frame: &Frame) -> ! {
    let (esr, far) = (ESR_EL2.get(), FAR_EL2.get());
    hyp_log::emergency!("EL2 fault on CPU {}: {}", percpu::number(), class(esr));
    hyp_log::emergency!("  pc {:#018x}  sp {:#018x}  pstate {:#x}", frame.pc, frame.sp, frame.pstate);
    hyp_log::emergency!("  esr {:#010x}  far {:#018x}  hpfar {:#x}", esr, far, HPFAR_EL2.get());
    for (row, four) in frame.x.chunks(4).enumerate() {
        let [a, b, c, d] = core::array::from_fn(|i| four.get(i).copied().unwrap_or(0));
        hyp_log::emergency!("  x{:<2} {:#018x} {:#018x} {:#018x} {:#018x}", row * 4, a, b, c, d);
    }
    hyp_log::emergency!("symbols: llvm-addr2line -e makuhari.elf {:#x} {:#x}", frame.pc, frame.x[30]);
    crate::firmware::system_off()
}
