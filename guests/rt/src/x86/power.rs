//! Ending a bare machine, which is QEMU's PC: the boot protocol brings no tables that a runtime this small could read.

use super::port;

/// ACPI's PM1a control register where QEMU's firmware puts it, and its "go to sleep, soft off".
const PM1A_CONTROL: u16 = 0x604;
const SOFT_OFF: u16 = 1 << 13;
/// The chipset's reset control register, and a full reset.
const RESET_CONTROL: u16 = 0xcf9;
const FULL_RESET: u8 = 6;

/// Switch the machine off; returns only where nobody listens.
pub(crate) fn system_off() {
    port::write_word(PM1A_CONTROL, SOFT_OFF);
}

/// Restart the machine; returns only where nobody listens.
pub(crate) fn system_reset() {
    port::write(RESET_CONTROL, FULL_RESET);
}
