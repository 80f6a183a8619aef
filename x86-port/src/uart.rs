//! The serial port that a guest sees: a 16550 at a PC's first place, whose output is the guest's console and whose input is
//! what a person types at the machine.
//!
//! What is sent goes on at once: there is no FIFO that could fill, and where the output has no room the guest's instruction
//! is made again later, so that no byte is lost. What is typed waits in a FIFO, and who feeds it asks first whether there is
//! room, so that nothing is overrun either.
//!
//! Pure state, tested on the host. Registers: National Semiconductor PC16550D, 8.0.

use heapless::Deque;
use hyp_boot::guest_tables::SERIAL;
use hyp_core::keyboard::Listener;

/// Its first port, and how many it has.
pub const FIRST: u16 = SERIAL.0;
/// See [`FIRST`].
pub const COUNT: u16 = SERIAL.1 as u16;

const DATA: u16 = 0;
const INTERRUPTS: u16 = 1;
const IDENTIFICATION: u16 = 2;
const LINE: u16 = 3;
const MODEM: u16 = 4;
const STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
const SCRATCH: u16 = 7;

/// Depth of the FIFO, bytes.
const DEPTH: usize = 16;
/// Line: the first two registers are the divisor.
const DIVISOR_ACCESS: u8 = 1 << 7;
/// Interrupts: received, may send.
const RECEIVED: u8 = 1 << 0;
const SENT: u8 = 1 << 1;
/// FIFO control: on, empty the receiver's; where the bits of its level are.
const FIFO_ON: u8 = 1 << 0;
const FIFO_EMPTY: u8 = 1 << 1;
const FIFO_LEVEL: u32 = 6;
/// Identification: FIFOs are on; the causes, by their rank.
const FIFOS: u8 = 0xc0;
const BY_LEVEL: u8 = 4;
const BY_SILENCE: u8 = 12;
const BY_SENT: u8 = 2;
const NOTHING_WAITS: u8 = 1;
/// Status: something is received; all is sent.
const DATA_READY: u8 = 1 << 0;
const ALL_SENT: u8 = 0x60;
/// Modem control: the line that lets interrupts out of a PC's port, the port is tied to itself; modem status: carrier, data
/// set ready, clear to send.
const OUT2: u8 = 1 << 3;
const LOOP: u8 = 1 << 4;
const READY: u8 = 0xb0;

/// One guest's.
#[derive(Clone, Debug, Default)]
pub struct Uart {
    received: Deque<u8, DEPTH>,
    /// What was sent is gone, and the guest has not been told.
    sent: bool,
    divisor: [u8; 2],
    interrupts: u8,
    fifo: u8,
    line: u8,
    modem: u8,
    scratch: u8,
    /// The level of the interrupt line that was told last.
    told: bool,
}

impl Uart {
    /// As after a reset.
    pub const fn new() -> Self {
        Self {
            received: Deque::new(),
            sent: false,
            divisor: [0; 2],
            interrupts: 0,
            fifo: 0,
            line: 0,
            modem: 0,
            scratch: 0,
            told: false,
        }
    }

    fn divides(&self) -> bool {
        self.line & DIVISOR_ACCESS != 0
    }

    /// Why it interrupts, as the identification register has it. What is below the level has been silent for long enough
    /// as soon as it is there.
    fn cause(&self) -> u8 {
        let level = if self.fifo & FIFO_ON == 0 { 1 } else { [1, 4, 8, 14][usize::from(self.fifo >> FIFO_LEVEL & 3)] };
        match self.received.len() {
            waiting if self.interrupts & RECEIVED != 0 && waiting >= level => BY_LEVEL,
            waiting if self.interrupts & RECEIVED != 0 && waiting > 0 => BY_SILENCE,
            _ if self.interrupts & SENT != 0 && self.sent => BY_SENT,
            _ => NOTHING_WAITS,
        }
    }

    /// Reads a register, an offset from [`FIRST`].
    pub fn read(&mut self, register: u16) -> u8 {
        match register {
            DATA | INTERRUPTS if self.divides() => self.divisor[usize::from(register)],
            DATA => self.received.pop_front().unwrap_or(0),
            INTERRUPTS => self.interrupts,
            IDENTIFICATION => {
                let cause = self.cause();
                // That it has been read is the answer to this one.
                self.sent &= cause != BY_SENT;
                cause | if self.fifo & FIFO_ON != 0 { FIFOS } else { 0 }
            }
            LINE => self.line,
            MODEM => self.modem,
            STATUS => ALL_SENT | if self.received.is_empty() { 0 } else { DATA_READY },
            // Tied to itself it hears its own lines.
            MODEM_STATUS if self.modem & LOOP != 0 => {
                let [dtr, rts, out1, out2] = [0, 1, 2, 3].map(|bit| self.modem >> bit & 1);
                rts << 4 | dtr << 5 | out1 << 6 | out2 << 7
            }
            MODEM_STATUS => READY,
            SCRATCH => self.scratch,
            _ => 0xff,
        }
    }

    /// The byte that a write to a register sends to the console, if it does; asked before [`Uart::write`], because the
    /// console may have no room for it.
    pub fn sends(&self, register: u16, value: u8) -> Option<u8> {
        (register == DATA && !self.divides() && self.modem & LOOP == 0).then_some(value)
    }

    /// Writes a register.
    pub fn write(&mut self, register: u16, value: u8) {
        match register {
            DATA | INTERRUPTS if self.divides() => self.divisor[usize::from(register)] = value,
            DATA if self.modem & LOOP == 0 => self.sent = true,
            DATA => _ = self.receive(value),
            INTERRUPTS => {
                // Who begins to wait for it is told at once.
                self.sent |= value & !self.interrupts & SENT != 0;
                self.interrupts = value & 0xf;
            }
            IDENTIFICATION => {
                if value & FIFO_EMPTY != 0 || (value ^ self.fifo) & FIFO_ON != 0 {
                    self.received.clear();
                }
                self.fifo = value;
            }
            LINE => self.line = value,
            MODEM => self.modem = value & 0x1f,
            SCRATCH => self.scratch = value,
            _ => {}
        }
    }

    /// The interrupt line's level, if it is another than when this was asked last.
    pub fn line_change(&mut self) -> Option<bool> {
        let level = self.modem & (OUT2 | LOOP) == OUT2 && self.cause() != NOTHING_WAITS;
        let changed = level != self.told;
        self.told = level;
        changed.then_some(level)
    }
}

impl Listener for Uart {
    fn has_room(&self, bytes: usize) -> bool {
        self.received.len() + bytes <= DEPTH
    }

    fn receive(&mut self, byte: u8) -> bool {
        self.received.push_back(byte).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(uart: &mut Uart, text: &[u8]) {
        assert!(text.iter().all(|byte| uart.receive(*byte)));
    }

    #[test]
    fn what_is_written_is_the_consoles_but_the_divisor() {
        let mut uart = Uart::new();
        uart.write(LINE, 0x83);
        assert_eq!(uart.sends(DATA, 1), None);
        uart.write(DATA, 1);
        uart.write(INTERRUPTS, 0);
        assert_eq!((uart.read(DATA), uart.read(INTERRUPTS)), (1, 0));
        uart.write(LINE, 3);
        assert_eq!(uart.sends(DATA, b'x'), Some(b'x'));
        assert_eq!(uart.read(STATUS) & 0x20, 0x20, "and the next may come");
        assert_eq!(uart.read(STATUS) & 1, 0, "nothing to read");
        assert_eq!(uart.read(DATA), 0);
    }

    /// What Linux's driver does to find out what it has (drivers/tty/serial/8250).
    #[test]
    fn a_driver_recognizes_it() {
        let mut uart = Uart::new();
        uart.write(SCRATCH, 0xa5);
        assert_eq!(uart.read(SCRATCH), 0xa5);
        uart.write(INTERRUPTS, 0x0f);
        assert_eq!(uart.read(INTERRUPTS), 0x0f);
        uart.write(MODEM, LOOP | 0x0a);
        assert_eq!(uart.read(MODEM_STATUS) & 0xf0, 0x90);
        assert_eq!(uart.sends(DATA, b'x'), None, "tied to itself it sends nothing");
        uart.write(IDENTIFICATION, FIFO_ON);
        assert_eq!(uart.read(IDENTIFICATION) >> 6, 3);
        uart.write(DATA, b'x');
        assert_eq!(uart.read(DATA), b'x', "but hears itself");
    }

    #[test]
    fn what_is_typed_comes_out_in_order_and_then_nothing() {
        let mut uart = Uart::new();
        typed(&mut uart, b"ls\n");
        assert_eq!(uart.read(STATUS), 0x61);
        assert_eq!([0; 3].map(|_| uart.read(DATA)), *b"ls\n");
        assert_eq!((uart.read(STATUS), uart.read(DATA)), (0x60, 0));
        typed(&mut uart, &[7; DEPTH]);
        assert!(!uart.has_room(1) && !uart.receive(0xff));
        uart.write(IDENTIFICATION, FIFO_ON | FIFO_EMPTY);
        assert!(uart.has_room(DEPTH));
    }

    #[test]
    fn the_receiver_interrupts_by_level_and_by_silence() {
        let mut uart = Uart::new();
        uart.write(MODEM, OUT2);
        uart.write(IDENTIFICATION, FIFO_ON | 2 << FIFO_LEVEL);
        typed(&mut uart, b"x");
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION) & 0xf), (None, NOTHING_WAITS), "not asked for");
        uart.write(INTERRUPTS, RECEIVED);
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION) & 0xf), (Some(true), BY_SILENCE));
        typed(&mut uart, &[b'y'; 7]);
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION) & 0xf), (None, BY_LEVEL));
        (0..8).for_each(|_| _ = uart.read(DATA));
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION) & 0xf), (Some(false), NOTHING_WAITS));
        typed(&mut uart, b"z");
        uart.write(MODEM, 0);
        assert_eq!(uart.line_change(), None, "nothing lets it out");
    }

    #[test]
    fn the_transmitter_interrupts_once_for_each_time() {
        let mut uart = Uart::new();
        uart.write(MODEM, OUT2);
        uart.write(INTERRUPTS, SENT);
        assert_eq!(uart.line_change(), Some(true), "who begins to wait is told");
        assert_eq!(uart.read(IDENTIFICATION), BY_SENT);
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION)), (Some(false), NOTHING_WAITS), "and once");
        uart.write(DATA, b'x');
        assert_eq!((uart.line_change(), uart.read(IDENTIFICATION)), (Some(true), BY_SENT));
        uart.write(INTERRUPTS, 0);
        uart.write(DATA, b'x');
        assert_eq!((uart.line_change(), uart.line_change()), (Some(false), None));
        assert_eq!(uart.sends(DATA, b'y'), Some(b'y'));
    }
}
