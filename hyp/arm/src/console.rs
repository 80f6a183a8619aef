//! The machine's serial port, handed to the log.

use hyp_boot::machine::Uart;
use hyp_dev::pl011::Pl011;
use hyp_log::Hooks;
use spin::Once;

use crate::config::{self, Console};
use crate::{firmware, mmu, percpu};

static PL011: Once<Pl011> = Once::new();

fn put(byte: u8) -> bool {
    // Without a console every byte is gone at once, and nobody waits.
    PL011.get().is_none_or(|uart| uart.write(byte))
}

/// Takes a typed byte.
pub(crate) fn read() -> Option<u8> {
    PL011.get().and_then(Pl011::read)
}

/// Lets the serial port interrupt for typed bytes, or keep silent.
pub(crate) fn listen(on: bool) {
    if let Some(uart) = PL011.get() {
        uart.listen(on);
    }
}

/// Connects the log to the serial port that the device tree names, if the board has a driver for it.
pub(crate) fn init(uart: Option<&Uart<'_>>, now_ns: fn() -> u64) {
    if let Some(uart) = uart {
        let fits = |driver: &Console| driver.compatible().iter().any(|name| uart.compatible.has(name));
        if config::board().consoles.iter().any(fits)
            && let Ok(base) = mmu::map_device(uart.registers)
        {
            // SAFETY: the registers have just been mapped, for good, and nothing else drives this device.
            let driver = unsafe { Pl011::new(base as usize) };
            driver.init();
            PL011.call_once(|| driver);
        }
    }
    hyp_log::init(Hooks { put, cpu: || usize::from(percpu::number()), now_ns, halt: firmware::halt });
}
