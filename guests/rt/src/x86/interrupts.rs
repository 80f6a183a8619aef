//! Interrupts of the machine's devices that this guest has, by the number of their line (GSI).
//!
//! They come by level: a device keeps its line up until it has been answered. So an interrupt is ended late: [`take`] says that
//! it came, the driver answers the device, and the next question asked here ends it. What holds up its line even then comes
//! again. Where devices share a line each has a number of its own ([`on_line`]), and none knows which of them it was: all
//! are told, and must have asked before it is ended.

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

/// Most devices.
const DEVICES: usize = 32;

/// The number of each device, plus 1; and which of them each line has: bit n is device n.
static NUMBERS: [AtomicU32; DEVICES] = [const { AtomicU32::new(0) }; DEVICES];
static SHARERS: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
/// The line of each vector, plus 1.
static LINES: [AtomicU8; MOST] = [const { AtomicU8::new(0) }; MOST];
static COUNTS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// Devices that have not been told that theirs came: bit n is device n. They are all of one line.
static CAME: AtomicU32 = AtomicU32::new(0);
/// One came, and was not ended.
static SERVED: AtomicBool = AtomicBool::new(false);

fn write(register: u32, value: u32) {
    memory::write_device(SELECT, register);
    memory::write_device(WINDOW, value);
}

/// The number of the interrupt of one of several devices on a line.
pub const fn on_line(line: u32, device: u32) -> u32 {
    line & 0xff | device << 8
}

fn slot(interrupt: u32) -> Option<usize> {
    LINES.iter().position(|known| u32::from(known.load(Relaxed)) == (interrupt & 0xff) + 1)
}

/// The bit of a device; 0 if it has none.
fn bit(interrupt: u32) -> u32 {
    let device = NUMBERS.iter().position(|known| known.load(Relaxed) == interrupt + 1);
    device.map_or(0, |device| 1 << device)
}

/// Let the interrupts of a device come, by its line (below 24) or [`on_line`]. 16 lines and 32 devices at most; what is more
/// has no effect.
pub fn enable(interrupt: u32) {
    let line = interrupt & 0xff;
    let free = || LINES.iter().position(|known| known.load(Relaxed) == 0);
    let unused = || NUMBERS.iter().find(|known| known.load(Relaxed) == 0);
    let Some(slot) = slot(line).or_else(free) else { return };
    let (Some(known), Some(sharers)) = (LINES.get(slot), SHARERS.get(slot)) else { return };
    if bit(interrupt) == 0
        && let Some(number) = unused()
    {
        number.store(interrupt + 1, Relaxed);
    }
    sharers.fetch_or(bit(interrupt), Relaxed);
    known.store(line as u8 + 1, Relaxed);
    // SAFETY: switches the local controller on, whose interrupts have handlers: those of lines alone are asked for.
    unsafe { Msr::new(SPURIOUS).write(ON) };
    // To the first vCPU.
    write(FIRST_ENTRY + 2 * line + 1, 0);
    let vector = u32::from(FIRST_VECTOR) + slot as u32;
    write(FIRST_ENTRY + 2 * line, vector | LEVEL);
}

/// End the interrupt that came, if all have been told.
fn end() {
    if CAME.load(Relaxed) == 0 && SERVED.swap(false, Relaxed) {
        // SAFETY: ends an interrupt that came.
        unsafe { Msr::new(END).write(0) };
    }
}

/// Has it come since this was last asked?
pub fn take(interrupt: u32) -> bool {
    end();
    let bit = bit(interrupt);
    CAME.fetch_and(!bit, Relaxed) & bit != 0
}

/// Has any come that nobody has asked for?
pub fn any() -> bool {
    end();
    CAME.load(Relaxed) != 0
}

/// How often something has come on its line.
pub fn count(interrupt: u32) -> u64 {
    slot(interrupt).and_then(|slot| COUNTS.get(slot)).map_or(0, |count| count.load(Relaxed))
}

/// Called by `entry.s` for each, with how far its vector is from the first.
#[unsafe(no_mangle)]
extern "C" fn rt_line(slot: usize) {
    let (Some(sharers), Some(count)) = (SHARERS.get(slot), COUNTS.get(slot)) else { return };
    count.fetch_add(1, Relaxed);
    CAME.fetch_or(sharers.load(Relaxed), Relaxed);
    SERVED.store(true, Relaxed);
}
