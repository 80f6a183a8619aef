//! Console: `print!` and `println!` through a line buffer.
//!
//! A hypercall a character would be slow and would mix with other guests' lines; a whole line goes out at once. Under a
//! hypervisor it goes through `console_io` (public/xen.h), bare through the serial port.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use spin::mutex::SpinMutex;

use crate::arch::serial;
use crate::cpu::Relax;
use crate::{Machine, hypercall};

/// Longest line that goes out in one piece.
const LINE: usize = 512;

/// Where lines go: 0 nowhere yet, 1 hypercall, else the serial port at this address.
static OUTPUT: AtomicUsize = AtomicUsize::new(NOWHERE);
const NOWHERE: usize = 0;
const HYPERCALL: usize = 1;

struct Line {
    bytes: [u8; LINE],
    used: usize,
}

static BUFFER: SpinMutex<Line, Relax> = SpinMutex::new(Line { bytes: [0; LINE], used: 0 });

/// Decide where the output goes.
pub(crate) fn choose(machine: &Machine) {
    let output = if machine.hypervisor { HYPERCALL } else { machine.uart.unwrap_or(NOWHERE) };
    OUTPUT.store(output, Relaxed);
}

/// For a message about a tree that cannot be read: only a hypervisor could have passed it on.
pub(crate) fn assume_hypervisor() {
    OUTPUT.store(HYPERCALL, Relaxed);
}

/// Does a hypervisor carry the console (and so offer hypercalls)?
pub fn is_virtual() -> bool {
    OUTPUT.load(Relaxed) == HYPERCALL
}

/// Where something may be typed, if there is such a port: 0 is nowhere.
static INPUT: AtomicUsize = AtomicUsize::new(NOWHERE);

/// Listen to what is typed at the machine's serial port, or at the one that the hypervisor gives us. Nothing comes where there is none.
pub fn listen(machine: &Machine) {
    if let Some(port) = machine.uart {
        INPUT.store(port, Relaxed);
        serial::listen(port, machine.uart_intid);
    }
}

/// A byte that was typed; nothing while there is none.
pub fn read() -> Option<u8> {
    match INPUT.load(Relaxed) {
        NOWHERE => None,
        port => serial::get(port),
    }
}

/// The handler's part, where the port's interrupt cannot wait for its end.
#[cfg(target_arch = "aarch64")]
pub(crate) fn quiet() {
    serial::quiet(INPUT.load(Relaxed));
}

/// Send out what is in the buffer, a full line or not.
pub fn flush() {
    BUFFER.lock().flush();
}

/// Break the console's lock: for a panic, whose victim may hold it.
pub(crate) fn steal() {
    // SAFETY: only the panic and exception paths call this, with interrupts masked and the interrupted code never to
    // continue; a half-written line is the worst that another vCPU can leave.
    unsafe { BUFFER.force_unlock() };
}

impl Line {
    fn flush(&mut self) {
        let text = self.bytes.get(..self.used).unwrap_or_default();
        match OUTPUT.load(Relaxed) {
            NOWHERE => {}
            HYPERCALL => hypercall::console_write(text),
            port => text.iter().for_each(|&byte| serial::put(port, byte)),
        }
        self.used = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if let Some(slot) = self.bytes.get_mut(self.used) {
                *slot = byte;
                self.used += 1;
            }
            if byte == b'\n' || self.used == LINE {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Print without a line end; use [`print!`](crate::print).
pub fn write(arguments: fmt::Arguments<'_>) {
    // A Line never fails to take text.
    let _ = BUFFER.lock().write_fmt(arguments);
}

/// Print a line; use [`println!`](crate::println).
pub fn write_line(arguments: fmt::Arguments<'_>) {
    let mut line = BUFFER.lock();
    // As above.
    let _ = line.write_fmt(arguments).and_then(|()| line.write_str("\n"));
}

/// Numbers on a line of [`print_numbers`].
const PER_LINE: usize = 16;

/// Print numbers as events for tools: lines of `start` and up to 16 of them, with commas between.
pub fn print_numbers(start: &str, numbers: &[u64]) {
    for numbers in numbers.chunks(PER_LINE) {
        for (place, number) in numbers.iter().enumerate() {
            write(format_args!("{}{number}", if place == 0 { start } else { "," }));
        }
        write_line(format_args!(""));
    }
}

/// Print text; it appears with the end of its line.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::write(format_args!($($argument)*)) };
}

/// Print a line.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::console::write_line(format_args!($($argument)*)) };
}
