//! The serial port that a guest sees: a 16550 at a PC's first place, whose output is the guest's console.
//!
//! A driver that polls works with it. Nothing can be typed into it yet and it does not interrupt, which is how a port
//! without an interrupt line looks. Registers: National Semiconductor PC16550D, 8.0.

/// Its first port, and how many it has.
pub const FIRST: u16 = 0x3f8;
/// See [`FIRST`].
pub const COUNT: u16 = 8;

const DATA: u16 = 0;
const INTERRUPTS: u16 = 1;
const IDENTIFICATION: u16 = 2;
const LINE: u16 = 3;
const MODEM: u16 = 4;
const STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
const SCRATCH: u16 = 7;

/// Line: the first two registers are the divisor.
const DIVISOR_ACCESS: u8 = 1 << 7;
/// FIFO: on; identification: FIFOs are on, and nothing waits.
const FIFO_ON: u8 = 1;
const FIFOS: u8 = 0xc0;
const NOTHING_WAITS: u8 = 1;
/// Status: all is sent.
const SENT: u8 = 0x60;
/// Modem control: the port is tied to itself; modem status: carrier, data set ready, clear to send.
const LOOP: u8 = 1 << 4;
const READY: u8 = 0xb0;

/// One guest's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uart {
    divisor: [u8; 2],
    interrupts: u8,
    fifo: u8,
    line: u8,
    modem: u8,
    scratch: u8,
}

impl Uart {
    /// As after a reset.
    pub const fn new() -> Self {
        Self { divisor: [0; 2], interrupts: 0, fifo: 0, line: 0, modem: 0, scratch: 0 }
    }

    fn divides(&self) -> bool {
        self.line & DIVISOR_ACCESS != 0
    }

    /// Reads a register, an offset from [`FIRST`].
    pub fn read(&self, register: u16) -> u8 {
        match register {
            DATA | INTERRUPTS if self.divides() => self.divisor[usize::from(register)],
            DATA => 0,
            INTERRUPTS => self.interrupts,
            IDENTIFICATION => NOTHING_WAITS | if self.fifo & FIFO_ON != 0 { FIFOS } else { 0 },
            LINE => self.line,
            MODEM => self.modem,
            STATUS => SENT,
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

    /// Writes a register; the byte that goes to the console, if one does.
    pub fn write(&mut self, register: u16, value: u8) -> Option<u8> {
        match register {
            DATA | INTERRUPTS if self.divides() => self.divisor[usize::from(register)] = value,
            DATA if self.modem & LOOP == 0 => return Some(value),
            INTERRUPTS => self.interrupts = value & 0xf,
            IDENTIFICATION => self.fifo = value,
            LINE => self.line = value,
            MODEM => self.modem = value & 0x1f,
            SCRATCH => self.scratch = value,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_consoles_but_the_divisor() {
        let mut uart = Uart::new();
        assert_eq!(uart.write(LINE, 0x83), None);
        assert_eq!((uart.write(DATA, 1), uart.write(INTERRUPTS, 0)), (None, None));
        assert_eq!((uart.read(DATA), uart.read(INTERRUPTS)), (1, 0));
        uart.write(LINE, 3);
        assert_eq!(uart.write(DATA, b'x'), Some(b'x'));
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
        assert_eq!(uart.write(DATA, b'x'), None, "tied to itself it sends nothing");
        uart.write(IDENTIFICATION, FIFO_ON);
        assert_eq!(uart.read(IDENTIFICATION) >> 6, 3);
    }
}
