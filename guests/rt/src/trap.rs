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

/// Run `body`; an exception of its own making skips the guilty instruction. Returns ESR_EL1 of the last such exception.
/// Boot vCPU only.
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

/// Called by `entry.s` for every exception but interrupts.
#[unsafe(no_mangle)]
extern "C" fn rt_exception(number: u64, frame: &mut Frame) {
    let syndrome = read_register!("esr_el1");
    if number == 4 && EXPECTED.load(SeqCst) {
        CAUGHT.store(syndrome, SeqCst);
        // Undefined and aborted instructions leave ELR at themselves.
        frame.elr += 4;
        return;
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
