//! PL031, a clock of seconds with an alarm (Arm DDI 0224): a device with an interrupt and without DMA, for tests of devices
//! that a guest is given.

use crate::memory;

const DATA: usize = 0x00;
const MATCH: usize = 0x04;
const MASK: usize = 0x10;
const RAW_STATUS: usize = 0x14;
const CLEAR: usize = 0x1c;
const PERIPHERAL_ID: usize = 0xfe0;

/// One, whose registers are at this address of the first GiB.
#[derive(Clone, Copy, Debug)]
pub struct Rtc(pub usize);

impl Rtc {
    /// Is one there? (Its PrimeCell part number is 0x031.)
    pub fn is_there(self) -> bool {
        memory::read_device(self.0 + PERIPHERAL_ID) & 0xff == 0x31
    }

    /// Seconds.
    pub fn now(self) -> u32 {
        memory::read_device(self.0 + DATA)
    }

    /// Raises its line when [`Rtc::now`] becomes this.
    pub fn set_alarm(self, at: u32) {
        memory::write_device(self.0 + MATCH, at);
        memory::write_device(self.0 + MASK, 1);
    }

    /// The time of the alarm has come, and that has not been cleared.
    pub fn has_rung(self) -> bool {
        memory::read_device(self.0 + RAW_STATUS) & 1 != 0
    }

    /// Lowers the line.
    pub fn clear(self) {
        memory::write_device(self.0 + CLEAR, 1);
    }

    /// Lowers the line for good, or lets it show what has rung.
    pub fn show(self, shown: bool) {
        memory::write_device(self.0 + MASK, u32::from(shown));
    }
}
