//! The serial port that a guest with `vpl011` sees: a PL011 as far as the SBSA asks for one.
//!
//! It is the one console that every stock kernel drives before and after everything else works, so it has to be honest
//! in both directions. What is sent goes on at once: there is no transmit FIFO that could fill, and where the output
//! has no room the guest's store is made again later, so that no byte is lost. What is typed waits in a receive FIFO,
//! and who feeds it asks first whether there is room, so that nothing is overrun either.
//!
//! Pure state, tested on the host. Registers: Arm DDI 0183 (PL011), table 3-1; SBSA (DEN 0029), appendix B.

use heapless::Deque;
use hyp_core::keyboard::Listener;

/// Depth of the receive FIFO, bytes.
const DEPTH: usize = 32;

/// Interrupt bits of UARTIMSC, UARTRIS, UARTMIS and UARTICR: received up to the level, sent, received and then silence.
const RECEIVED: u16 = 1 << 4;
const SENT: u16 = 1 << 5;
const TIMEOUT: u16 = 1 << 6;
/// All eleven.
const ALL: u16 = 0x7ff;

/// UARTFR: nothing is received, the receive FIFO is full, nothing waits to be sent.
const RECEIVE_EMPTY: u32 = 1 << 4;
const RECEIVE_FULL: u32 = 1 << 6;
const SEND_EMPTY: u32 = 1 << 7;

/// Registers by offset.
pub(crate) const DATA: u32 = 0x00;
const FLAGS: u32 = 0x18;
const INTEGER_BAUD: u32 = 0x24;
const FRACTIONAL_BAUD: u32 = 0x28;
const LINE_CONTROL: u32 = 0x2c;
const CONTROL: u32 = 0x30;
const LEVELS: u32 = 0x34;
const MASK: u32 = 0x38;
const RAW: u32 = 0x3c;
const MASKED: u32 = 0x40;
const IDENTIFICATION: u32 = 0xfe0;

/// UARTPeriphID0 to 3 (PL011 r1p5) and UARTPCellID0 to 3.
const NUMBERS: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// One serial port.
#[derive(Clone, Debug)]
pub struct Vpl011 {
    received: Deque<u8, DEPTH>,
    mask: u16,
    /// Kept for the guest to read; the line has no speed and is always on.
    baud: (u16, u8),
    line_control: u8,
    control: u16,
    levels: u8,
    /// The level of the interrupt line that was told last.
    told: bool,
}

impl Vpl011 {
    /// As firmware leaves a port that a kernel may use without setting it up: on, eight bits, FIFOs on.
    pub const fn new() -> Self {
        Self {
            received: Deque::new(),
            mask: 0,
            baud: (1, 0),
            line_control: 0x70,
            control: 0x301,
            levels: 0x12,
            told: false,
        }
    }

    /// Interrupts by their cause, masked or not. Both of the receiver's hold as long as their cause does, and the
    /// transmitter can always take more.
    fn raw(&self) -> u16 {
        let waiting = self.received.len();
        let level = match (self.line_control >> 4 & 1, self.levels >> 3 & 7) {
            (0, _) => 1,
            (_, 0) => DEPTH / 8,
            (_, 1) => DEPTH / 4,
            (_, 2) => DEPTH / 2,
            (_, 3) => DEPTH / 4 * 3,
            _ => DEPTH / 8 * 7,
        };
        let receiver = if waiting >= level { RECEIVED } else { 0 };
        let timeout = if waiting > 0 { TIMEOUT } else { 0 };
        SENT | receiver | timeout
    }

    /// The guest loads from `offset`.
    #[inline(never)]
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            DATA => self.received.pop_front().map_or(0, u32::from),
            FLAGS => {
                let empty = if self.received.is_empty() { RECEIVE_EMPTY } else { 0 };
                let full = if self.received.is_full() { RECEIVE_FULL } else { 0 };
                SEND_EMPTY | empty | full
            }
            INTEGER_BAUD => self.baud.0.into(),
            FRACTIONAL_BAUD => self.baud.1.into(),
            LINE_CONTROL => self.line_control.into(),
            CONTROL => self.control.into(),
            LEVELS => self.levels.into(),
            MASK => self.mask.into(),
            RAW => self.raw().into(),
            MASKED => (self.raw() & self.mask).into(),
            IDENTIFICATION.. => {
                let number = offset.wrapping_sub(IDENTIFICATION) / 4;
                NUMBERS.get(number as usize).copied().map_or(0, u32::from)
            }
            _ => 0,
        }
    }

    /// The guest stores to `offset`. A byte to send is whoever has the output's business: the port can always take more. A
    /// cleared interrupt comes back at once, because causes that hold are all there are.
    pub fn write(&mut self, offset: u32, value: u32) {
        match offset {
            INTEGER_BAUD => self.baud.0 = value as u16,
            FRACTIONAL_BAUD => self.baud.1 = value as u8 & 0x3f,
            LINE_CONTROL => self.line_control = value as u8,
            CONTROL => self.control = value as u16,
            LEVELS => self.levels = value as u8 & 0x3f,
            MASK => self.mask = value as u16 & ALL,
            _ => {}
        }
    }

    /// The interrupt line's level, if it is another than when this was asked last.
    pub fn line_change(&mut self) -> Option<bool> {
        let level = self.raw() & self.mask != 0;
        let changed = level != self.told;
        self.told = level;
        changed.then_some(level)
    }
}

impl Listener for Vpl011 {
    fn has_room(&self, bytes: usize) -> bool {
        self.received.len() + bytes <= DEPTH
    }

    fn receive(&mut self, byte: u8) -> bool {
        self.received.push_back(byte).is_ok()
    }
}

impl Default for Vpl011 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        CONTROL, DATA, DEPTH, FLAGS, LINE_CONTROL, Listener, MASK, MASKED, RAW, RECEIVED, SENT, TIMEOUT, Vpl011,
    };

    #[test]
    fn what_is_typed_comes_out_in_order_and_then_nothing() {
        let mut uart = Vpl011::new();
        assert_eq!(uart.read(FLAGS), 0x90);
        assert!(b"ls\n".iter().all(|byte| uart.receive(*byte)));
        assert_eq!(uart.read(FLAGS), 0x80);
        assert_eq!([0; 3].map(|_| uart.read(DATA) as u8), *b"ls\n");
        assert_eq!((uart.read(FLAGS), uart.read(DATA)), (0x90, 0));
    }

    #[test]
    fn a_full_fifo_takes_no_more() {
        let mut uart = Vpl011::new();
        for byte in 0..DEPTH as u8 {
            assert!(uart.has_room(1) && uart.receive(byte));
        }
        assert!(!uart.has_room(1) && !uart.receive(0xff));
        assert_eq!(uart.read(FLAGS) & 0x40, 0x40);
        assert_eq!(uart.read(DATA), 0);
        assert!(uart.has_room(1) && !uart.has_room(2));
    }

    #[test]
    fn the_line_follows_mask_and_cause() {
        let mut uart = Vpl011::new();
        assert_eq!(uart.line_change(), None);
        uart.write(MASK, u32::from(TIMEOUT | RECEIVED));
        assert_eq!(uart.line_change(), None);
        uart.receive(b'x');
        assert_eq!(uart.line_change(), Some(true));
        assert_eq!(uart.line_change(), None);
        assert_eq!(uart.read(MASKED), u32::from(TIMEOUT));
        uart.read(DATA);
        assert_eq!(uart.line_change(), Some(false));
        uart.write(MASK, u32::from(SENT));
        assert_eq!(uart.line_change(), Some(true), "there is always room to send");
    }

    #[test]
    fn the_level_of_the_receive_interrupt_is_the_guests() {
        let mut uart = Vpl011::new();
        uart.receive(0);
        assert_eq!(uart.read(RAW) & u32::from(RECEIVED), 0, "half of the FIFO is the level");
        uart.write(LINE_CONTROL, 0x60);
        assert_ne!(uart.read(RAW) & u32::from(RECEIVED), 0, "without FIFOs every byte counts");
    }

    #[test]
    fn registers_keep_what_they_have_and_numbers_identify() {
        let mut uart = Vpl011::new();
        (0..0x1000).step_by(4).for_each(|offset| uart.write(offset, !0));
        assert_eq!((uart.read(DATA), uart.read(FLAGS)), (0, 0x90), "what is sent is not received");
        assert_eq!(uart.read(CONTROL), 0xffff);
        let numbers: [u32; 8] = core::array::from_fn(|n| uart.read(0xfe0 + 4 * n as u32));
        assert_eq!(numbers, [0x11, 0x10, 0x34, 0, 0x0d, 0xf0, 0x05, 0xb1]);
    }
}
