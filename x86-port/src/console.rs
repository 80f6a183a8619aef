//! The machine's serial port, a 16550 at the first of a PC's two usual places, handed to the log.

use hyp_log::Hooks;

use crate::processor::{self, read_port, write_port};
use crate::{clock, percpu};

/// Its first port (a PC's COM1), and how many it has.
const BASE: u16 = 0x3f8;
pub(crate) const PORTS: &[(u16, u64)] = &[(BASE, 8)];
/// Registers (National Semiconductor PC16550D, 8.0): data or divisor, interrupts or divisor, FIFO, line, modem, status.
const DATA: u16 = BASE;
const INTERRUPTS: u16 = BASE + 1;
const FIFO: u16 = BASE + 2;
const LINE: u16 = BASE + 3;
const MODEM: u16 = BASE + 4;
const STATUS: u16 = BASE + 5;
/// Interrupts: a byte was received; status: one is there.
const RECEIVED: u8 = 1 << 0;
const READY: u8 = 1 << 0;
/// Status: the FIFO for sending is empty.
const EMPTY: u8 = 1 << 5;

fn out(port: u16, value: u8) {
    // SAFETY: nobody but this module drives the machine's serial port; guests' accesses to these ports are intercepted.
    unsafe { write_port(port, value) };
}

fn put(byte: u8) -> bool {
    // SAFETY: as in `out`.
    let status = unsafe { read_port(STATUS) };
    // Where there is no port every byte is gone at once, and nobody waits: all its registers read as ones.
    if status & EMPTY == 0 {
        return false;
    }
    out(DATA, byte);
    true
}

/// Takes a typed byte.
pub(crate) fn read() -> Option<u8> {
    // SAFETY: as in `out`.
    let status = unsafe { read_port(STATUS) };
    // Where there is no port all its registers read as ones.
    if status & READY == 0 || status == 0xff {
        return None;
    }
    // SAFETY: as in `out`.
    Some(unsafe { read_port(DATA) })
}

/// Lets the serial port interrupt for typed bytes, or keep silent.
pub(crate) fn listen(on: bool) {
    out(INTERRUPTS, if on { RECEIVED } else { 0 });
}

/// Waits until the last byte has left the port; where there is none, or it is stuck, not for ever.
pub(crate) fn drain() {
    const SENT: u8 = 1 << 6;
    const ATTEMPTS: u32 = 1_000_000;
    // SAFETY: as in `out`.
    let is_sent = || unsafe { read_port(STATUS) } & SENT != 0;
    for _ in 0..ATTEMPTS {
        if is_sent() {
            break;
        }
        core::hint::spin_loop();
    }
}

/// Brings the port to 115,200 baud, 8 bits, no parity, no interrupts, and connects the log to it.
pub(crate) fn init() {
    const DIVISOR: u8 = 1;
    out(INTERRUPTS, 0);
    out(LINE, 0x83);
    out(DATA, DIVISOR);
    out(INTERRUPTS, 0);
    out(LINE, 0x03);
    out(FIFO, 0x07);
    out(MODEM, 0x0b);
    hyp_log::init(Hooks { put, cpu: || usize::from(percpu::number()), now_ns: clock::now, halt: processor::halt });
}
