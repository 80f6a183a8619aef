//! The PL011 UART: the hypervisor's only window to the outside.
//!
//! A byte is offered, never forced: [`Pl011::write`] says no when the FIFO is full, so that no path in the hypervisor
//! waits for a serial line. Methods take `&self`, because the emergency path must be able to speak while another CPU is
//! in the middle of a byte. The baud rate is the loader's business and stays as it is.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,
    Flags [ BUSY OFFSET(3) NUMBITS(1) [], RXFE OFFSET(4) NUMBITS(1) [], TXFF OFFSET(5) NUMBITS(1) [] ],
    LineControl [ FEN OFFSET(4) NUMBITS(1) [], WLEN OFFSET(5) NUMBITS(2) [ Eight = 3 ] ],
    Control [ UARTEN OFFSET(0) NUMBITS(1) [], TXE OFFSET(8) NUMBITS(1) [], RXE OFFSET(9) NUMBITS(1) [] ],
}

register_structs! {
    /// Registers up to UARTICR, from DDI 0183, table 3-1.
    Registers {
        (0x000 => data: ReadWrite<u32>),
        (0x004 => _receive_status),
        (0x018 => flags: ReadWrite<u32, Flags::Register>),
        (0x01c => _baud),
        (0x02c => line_control: ReadWrite<u32, LineControl::Register>),
        (0x030 => control: ReadWrite<u32, Control::Register>),
        (0x034 => _fifo_levels),
        (0x038 => interrupt_mask: ReadWrite<u32>),
        (0x03c => _interrupt_status),
        (0x044 => interrupt_clear: WriteOnly<u32>),
        (0x048 => @END),
    }
}

/// UARTIMSC: the receive FIFO has reached its level, or holds something and the line is silent.
const RECEIVE_INTERRUPTS: u32 = 1 << 4 | 1 << 6;

/// Polls of the busy flag that [`Pl011::init`] allows the loader's last bytes: some milliseconds on real hardware.
const DRAIN_POLLS: u32 = 1_000_000;

/// One PL011. Holds an address rather than a reference, so that a `static` can name a fixed mapping.
pub struct Pl011 {
    base: usize,
}

impl Pl011 {
    /// The UART whose registers are mapped at virtual address `base`.
    ///
    /// # Safety
    ///
    /// `base` must be 4-byte aligned and stay mapped, readable and writable, as device memory over 4 KiB of a PL011,
    /// from the first use of the result on.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }

    fn registers(&self) -> &'static Registers {
        // SAFETY: the caller of `new` promised aligned, mapped registers for ever. `Registers` holds only integers in
        // volatile cells, for which every bit pattern is valid. Two CPUs at once can at worst overfill the FIFO by a
        // byte, which the device drops.
        unsafe { &*(self.base as *const Registers) }
    }

    /// 8 data bits, no parity, one stop bit, FIFOs on, interrupts off, both directions on. Waits, bounded, until what
    /// the loader had to say is sent.
    pub fn init(&self) {
        let registers = self.registers();
        for _ in 0..DRAIN_POLLS {
            if !registers.flags.is_set(Flags::BUSY) {
                break;
            }
        }
        registers.control.set(0);
        registers.interrupt_mask.set(0);
        registers.interrupt_clear.set(0x7ff);
        registers.line_control.write(LineControl::WLEN::Eight + LineControl::FEN::SET);
        registers.control.write(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
    }

    /// Hand one byte to the transmit FIFO. `false`: it is full, and the byte was not taken.
    pub fn write(&self, byte: u8) -> bool {
        if self.registers().flags.is_set(Flags::TXFF) {
            return false;
        }
        self.registers().data.set(u32::from(byte));
        true
    }

    /// Take a byte out of the receive FIFO, if there is one.
    pub fn read(&self) -> Option<u8> {
        let registers = self.registers();
        (!registers.flags.is_set(Flags::RXFE)).then(|| registers.data.get() as u8)
    }

    /// Interrupt for received bytes, or never. Both interrupts fall by themselves when the FIFO is read empty.
    pub fn listen(&self, on: bool) {
        self.registers().interrupt_mask.set(if on { RECEIVE_INTERRUPTS } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::Pl011;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn device() -> (&'static [AtomicU32; 18], Pl011) {
        let memory: &'static [AtomicU32; 18] = Box::leak(Box::new([const { AtomicU32::new(0) }; 18]));
        // SAFETY: `memory` is leaked, aligned, as long as `Registers`, and made of cells that allow shared writes.
        let uart = unsafe { Pl011::new(memory.as_ptr() as usize) };
        (memory, uart)
    }

    #[test]
    fn init_enables_transmission_with_fifos_and_without_interrupts() {
        let (memory, uart) = device();
        memory[0x38 / 4].store(0xff, Ordering::Relaxed);
        uart.init();
        assert_eq!(memory[0x30 / 4].load(Ordering::Relaxed), 0x301);
        assert_eq!(memory[0x2c / 4].load(Ordering::Relaxed), 0x70);
        assert_eq!(memory[0x38 / 4].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn full_fifo_refuses_a_byte() {
        let (memory, uart) = device();
        assert!(uart.write(b'a'));
        assert_eq!(memory[0].load(Ordering::Relaxed), u32::from(b'a'));
        memory[0x18 / 4].store(1 << 5, Ordering::Relaxed);
        assert!(!uart.write(b'b'));
        assert_eq!(memory[0].load(Ordering::Relaxed), u32::from(b'a'));
    }
}
