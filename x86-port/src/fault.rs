//! The end: the hypervisor itself faulted. Say all that is known, in a form a person can read, and stop the machine.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{firmware, percpu};

/// Bytes of stack for the dump.
const FAULT_STACK_BYTES: usize = 8192;

/// The stack of the dump; the task state leads to it, for the usual one may be what broke. Two CPUs that fault in the same
/// instant share it, and then the dump is garbled but the machine still stops.
#[repr(C, align(16))]
struct FaultStack(UnsafeCell<[u8; FAULT_STACK_BYTES]>);

// SAFETY: only the processor and vectors.s touch it, on the way to a halt.
unsafe impl Sync for FaultStack {}

static FAULT_STACK: FaultStack = FaultStack(UnsafeCell::new([0; FAULT_STACK_BYTES]));

/// The upper end of the fault stack.
pub(crate) fn stack_end() -> u64 {
    FAULT_STACK.0.get() as u64 + FAULT_STACK_BYTES as u64
}

/// What the processor and vectors.s leave on the fault stack.
#[repr(C)]
struct Frame {
    /// rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15.
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// The exceptions' names (Intel SDM 3A, table 7-1).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "division by zero",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        6 => "undefined instruction",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection",
        14 => "access to unmapped or protected memory",
        17 => "unaligned access",
        18 => "machine check",
        _ => "exception",
    }
}

/// Where it goes on after a fault that somebody is prepared for; 0: nobody is. Only boot asks the processor what it may not
/// know, on one CPU.
#[unsafe(no_mangle)]
static RECOVERY: AtomicU64 = AtomicU64::new(0);

const PROTECTION: u64 = 13;

/// Called by vectors.s; comes back where somebody was prepared.
#[unsafe(no_mangle)]
extern "C" fn own_fault(frame: &mut Frame) {
    let prepared = RECOVERY.swap(0, Ordering::Relaxed);
    if prepared != 0 && frame.vector == PROTECTION {
        frame.rip = prepared;
    } else {
        end(frame)
    }
}

fn end(frame: &Frame) -> ! {
    let cr2: u64;
    // SAFETY: reads the address of the last page fault, no more.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) };
    hyp_log::emergency!("fault of the hypervisor on CPU {}: {}", percpu::number(), name(frame.vector));
    hyp_log::emergency!("  rip {:#018x}  rsp {:#018x}  rflags {:#x}", frame.rip, frame.rsp, frame.rflags);
    hyp_log::emergency!("  vector {}  error {:#x}  cr2 {:#018x}", frame.vector, frame.error, cr2);
    for (names, four) in
        ["rax to rdx", "rsi, rdi, rbp, r8", "r9 to r12", "r13 to r15"].iter().zip(frame.registers.chunks(4))
    {
        let [a, b, c, d] = core::array::from_fn(|i| four.get(i).copied().unwrap_or(0));
        hyp_log::emergency!("  {:<17} {:#018x} {:#018x} {:#018x} {:#018x}", names, a, b, c, d);
    }
    hyp_log::emergency!("symbols: llvm-addr2line -e makuhari.elf {:#x}", frame.rip);
    firmware::system_off()
}
