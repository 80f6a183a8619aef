//! The end of a run: how the machine is switched off and started again.
//!
//! The ways of the machines that we know, one after the other, because each of them ignores the others' ports: the ACPI
//! register of QEMU's PCs, Bochs's own port, QEMU's exit device. A real machine has its register where its tables say,
//! which are not read yet; there the CPU halts.

use crate::processor::{self, write_port, write_port16};
use crate::{clock, console};

/// PM1a control of QEMU's PCs, and what switches them off: sleep type 0, sleep enable.
const QEMU_PM1A: u16 = 0x604;
const SLEEP_ENABLE: u16 = 1 << 13;
/// Bochs and QEMU's exit device.
const BOCHS: u16 = 0x8900;
const EXIT_DEVICE: u16 = 0xf4;
/// All of these but the reset control, which is among the ports by which PCI's devices are configured and stays the guest's own;
/// the first with what guests have instead.
pub(crate) const PORTS: &[(u16, u64)] = &[(0x600, 8), (BOCHS, 1), (EXIT_DEVICE, 1), (KEYBOARD, 1)];
/// How long a machine may take to switch itself off, nanoseconds.
const PATIENCE: u64 = 50_000_000;
/// Reset control of PCI chip sets, and the keyboard controller's command for the same.
const RESET: u16 = 0xcf9;
const KEYBOARD: u16 = 0x64;

/// Switches the machine off.
pub(crate) fn system_off() -> ! {
    console::drain();
    // SAFETY: nothing else uses the machine from here on.
    unsafe { write_port16(QEMU_PM1A, SLEEP_ENABLE) };
    for byte in b"Shutdown" {
        // SAFETY: as above.
        unsafe { write_port(BOCHS, *byte) };
    }
    // What these do is done some time later; whoever still runs then has neither.
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        core::hint::spin_loop();
    }
    // SAFETY: as above.
    unsafe { write_port(EXIT_DEVICE, 0) };
    processor::halt()
}

/// Starts the machine again.
pub(crate) fn system_reset() -> ! {
    console::drain();
    // SAFETY: as in `system_off`.
    unsafe { write_port(RESET, 6) };
    // SAFETY: as above.
    unsafe { write_port(KEYBOARD, 0xfe) };
    processor::halt()
}
