//! Interrupts of the machine's devices that this guest has, by the number of their line (GSI).
//!
//! They come by level: a device keeps its line up until it has been answered, and devices can share a line. So an interrupt is
//! ended late: [`take`] says that it came, the driver answers the device (all devices of the line), and the next question asked
//! here ends it. What holds up its line even then comes again.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use x86_64::registers::model_specific::Msr;

use crate::memory;

/// Vectors for lines, in one class of priority: none interrupts between another and its end.
pub(crate) const FIRST_VECTOR: u8 = 0x30;
pub(crate) const MOST: usize = 16;

/// The interrupt controller for devices: its registers, which choose a register and have its value; the first entry, of two
/// registers; triggered by level.
const CONTROLLER: usize = 0xfec0_0000;
const SELECT: usize = CONTROLLER;
const WINDOW: usize = CONTROLLER + 0x10;
const FIRST_ENTRY: u32 = 0x10;
const LEVEL: u32 = 1 << 15;
/// Registers of the local one, which a hypervisor has in this mode from the start: end of interrupt; spurious vector, and that
/// the controller is on.
const END: u32 = 0x80b;
const SPURIOUS: u32 = 0x80f;
const ON: u64 = 0x1ff;

/// The line of each vector, plus 1.
static LINES: [AtomicU8; MOST] = [const { AtomicU8::new(0) }; MOST];
static COUNTS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// Lines whose interrupt came and was not taken: bit n is line n.
static CAME: AtomicU32 = AtomicU32::new(0);
/// One was taken, and not ended.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn write(register: u32, value: u32) {
    memory::write_device(SELECT, register);
    memory::write_device(WINDOW, value);
}

fn slot(line: u32) -> Option<usize> {
    LINES.iter().position(|known| u32::from(known.load(Relaxed)) == line + 1)
}

/// Let the interrupts of a line (below 24) come. 16 lines at most; what is more has no effect.
pub fn enable(line: u32) {
    let free = || LINES.iter().position(|known| known.load(Relaxed) == 0);
    let Some((slot, known)) = slot(line).or_else(free).and_then(|slot| Some((slot, LINES.get(slot)?))) else { return };
    known.store(line as u8 + 1, Relaxed);
    // SAFETY: switches the local controller on, whose interrupts have handlers: those of lines alone are asked for.
    unsafe { Msr::new(SPURIOUS).write(ON) };
    // To the first vCPU.
    write(FIRST_ENTRY + 2 * line + 1, 0);
    let vector = u32::from(FIRST_VECTOR) + slot as u32;
    write(FIRST_ENTRY + 2 * line, vector | LEVEL);
}

/// End the interrupt that was taken last, if that is due.
fn end() {
    if TAKEN.swap(false, Relaxed) {
        // SAFETY: ends an interrupt that was taken.
        unsafe { Msr::new(END).write(0) };
    }
}

/// Has it come since this was last asked?
pub fn take(line: u32) -> bool {
    end();
    let bit = 1u32.checked_shl(line).unwrap_or(0);
    let came = CAME.fetch_and(!bit, Relaxed) & bit != 0;
    TAKEN.store(came, Relaxed);
    came
}

/// Has any come that nobody has asked for?
pub fn any() -> bool {
    end();
    CAME.load(Relaxed) != 0
}

/// How often it has come.
pub fn count(line: u32) -> u64 {
    slot(line).and_then(|slot| COUNTS.get(slot)).map_or(0, |count| count.load(Relaxed))
}

/// Called by `entry.s` for each, with how far its vector is from the first.
#[unsafe(no_mangle)]
extern "C" fn rt_line(slot: usize) {
    let (Some(line), Some(count)) = (LINES.get(slot), COUNTS.get(slot)) else { return };
    count.fetch_add(1, Relaxed);
    CAME.fetch_or(1u32.checked_shl(u32::from(line.load(Relaxed)).wrapping_sub(1)).unwrap_or(0), Relaxed);
}
