//! Exceptions that nobody expected are printed, readably, and end the guest; those that a test expects are caught.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::{console, cpu, power, println, read_register};

/// The general registers as `entry.s` keeps them.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
    fpsr: u64,
    fpcr: u64,
}

static EXPECTED: AtomicBool = AtomicBool::new(false);
static CAUGHT: AtomicU64 = AtomicU64::new(0);
static LAST: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// What the last caught exception left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Number of the vector.
    pub vector: u64,
    /// ELR_EL1.
    pub pc: u64,
    /// SPSR_EL1.
    pub state: u64,
    /// FAR_EL1, where the exception has an address.
    pub address: u64,
}

/// The last exception that [`catch`] caught.
pub fn last() -> Caught {
    let [vector, pc, state, address] = [0, 1, 2, 3].map(|n: usize| LAST.get(n).map_or(0, |word| word.load(SeqCst)));
    Caught { vector, pc, state, address }
}

unsafe extern "C" {
    /// In `entry.s`: runs `code` at EL0 until its exception, which must be caught.
    safe fn rt_at_el0(code: u64);
}

/// Run code at EL0, which can reach no data there, until its exception. To be used inside of [`catch`].
pub fn at_el0(code: u64) {
    rt_at_el0(code);
}

/// Run `body`; an exception of its own making skips the guilty instruction, or returns to the caller where a jump led to
/// nothing. Returns ESR_EL1 of the last such exception. Boot vCPU only.
pub fn catch(body: impl FnOnce()) -> Option<u64> {
    CAUGHT.store(u64::MAX, SeqCst);
    EXPECTED.store(true, SeqCst);
    body();
    EXPECTED.store(false, SeqCst);
    Some(CAUGHT.load(SeqCst)).filter(|&syndrome| syndrome != u64::MAX)
}

/// What an exception class (ESR_EL1 bits 31:26, Arm ARM D24.2.40) means.
pub fn class(syndrome: u64) -> &'static str {
    match syndrome >> 26 & 0x3f {
        0x00 => "undefined instruction",
        0x07 => "float access while switched off",
        0x0e => "illegal execution state",
        0x15 => "system call",
        0x18 => "trapped system register",
        0x20 | 0x21 => "instruction abort",
        0x22 => "misaligned program counter",
        0x24 | 0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2c => "float exception",
        0x2f => "system error",
        0x30..=0x35 => "debug exception",
        0x3c => "breakpoint instruction",
        _ => "exception",
    }
}

/// Which of the 16 vectors, in words.
fn vector(number: u64) -> &'static str {
    match number {
        4 => "synchronous",
        6 => "fast interrupt",
        7 => "system error",
        0..=3 => "on the wrong stack",
        _ => "from a lower level",
    }
}

fn caught(number: u64, syndrome: u64, frame: &mut Frame) {
    /// PSTATE of EL1 with everything masked; of a step.
    const EL1H_MASKED: u64 = 0x3c5;
    const STEP: u64 = 1 << 21;
    CAUGHT.store(syndrome, SeqCst);
    let last = [number, frame.elr, frame.spsr, read_register!("far_el1")];
    LAST.iter().zip(last).for_each(|(word, value)| word.store(value, SeqCst));
    match syndrome >> 26 & 0x3f {
        _ if number == 8 => (frame.elr, frame.spsr) = (frame.x[30], EL1H_MASKED),
        // A jump to nothing.
        0x21 => frame.elr = frame.x[30],
        0x33 => {
            frame.spsr &= !STEP;
            cpu::write_register!("mdscr_el1", 0);
        }
        // The others leave ELR at the guilty instruction.
        _ => frame.elr += 4,
    }
}

/// Called by `entry.s` for every exception but interrupts.
#[unsafe(no_mangle)]
extern "C" fn rt_exception(number: u64, frame: &mut Frame) {
    let syndrome = read_register!("esr_el1");
    // From EL1 on either stack, or from EL0.
    if matches!(number, 0 | 4 | 8) && EXPECTED.load(SeqCst) {
        return caught(number, syndrome, frame);
    }
    console::steal();
    cpu::mask_interrupts();
    let what = class(syndrome);
    println!("unexpected exception: {what} ({}) at pc {:#x} on vCPU {}", vector(number), frame.elr, cpu::index());
    println!("  ESR {syndrome:#x}  FAR {:#x}  SPSR {:#x}", read_register!("far_el1"), frame.spsr);
    for (row, registers) in frame.x.chunks(4).enumerate() {
        crate::print!(" ");
        for (column, value) in registers.iter().enumerate() {
            crate::print!(" x{:<2} {value:016x}", 4 * row + column);
        }
        println!("");
    }
    power::crash()
}
