//! The emulated serial port's way to the machine: sent bytes to the console, its line to the interrupt controller.

use hyp_boot::guest_tree::UART_SPI;
use hyp_core::arch::VcpuMask;

use crate::domain::ArmDomain;
use crate::keyboard;
use crate::vpl011::DATA;

/// INTID of the port in its guest.
pub(crate) const INTERRUPT: u32 = 32 + UART_SPI;

/// What an access gave.
pub(crate) struct Answer {
    /// For a load.
    pub value: u32,
    /// vCPUs that have to look at their interrupts.
    pub stale: VcpuMask,
}

/// A load from `offset`, or a store of `value` there. `None`: the console has no room now, and nothing was done.
pub(crate) fn access(domain: &ArmDomain, offset: u32, value: Option<u32>) -> Option<Answer> {
    let mut answer = Answer { value: 0, stale: 0 };
    let Some(port) = &domain.vpl011 else { return Some(answer) };
    {
        let mut port = port.lock();
        match value {
            Some(value) => {
                if let Some(byte) = port.write(offset, value)
                    && hyp_log::write_guest(domain.number, &[byte]) == 0
                {
                    return None;
                }
            }
            None => {
                answer.value = port.read(offset);
                if offset != DATA {
                    // Only taking a byte changes anything; flags are read before and after every byte that is sent.
                    return Some(answer);
                }
            }
        }
        if let Some(level) = port.line_change() {
            answer.stale = domain.vgic.lock().set_line(0, INTERRUPT, level);
        }
    }
    if value.is_none() {
        keyboard::made_room();
    }
    Some(answer)
}
