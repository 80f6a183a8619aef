//! The emulated serial port's way to the machine: sent bytes to the console, its line to the interrupt controller.

use hyp_boot::guest_tree::{GUEST_UART, UART_SPI};
use hyp_core::arch::VcpuMask;

use crate::domain::ArmDomain;
use crate::keyboard;
use crate::vgic::Width;
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

/// What a guest-physical address reads as, where that is a register of the port's that no load changes: flags are read
/// before and after every byte that is sent.
#[inline(always)]
pub(crate) fn quick_read(domain: &ArmDomain, ipa: u64, width: Width) -> Option<u64> {
    let offset = ipa.wrapping_sub(GUEST_UART.start);
    if offset >= GUEST_UART.size || offset == u64::from(DATA) {
        return None;
    }
    let value = domain.vpl011.as_ref()?.lock().read(offset as u32);
    Some(u64::from(value) & width.mask())
}

/// A load from `offset`, or a store of `value` there. `None`: the console has no room now, and nothing was done.
pub(crate) fn access(domain: &ArmDomain, offset: u32, value: Option<u32>) -> Option<Answer> {
    let mut answer = Answer { value: 0, stale: 0 };
    let Some(port) = &domain.vpl011 else { return Some(answer) };
    if let (DATA, Some(value)) = (offset, value) {
        // What is sent leaves the port as it is.
        let taken = hyp_log::write_guest(domain.number, &[value as u8]);
        return (taken != 0).then_some(answer);
    }
    {
        let mut port = port.lock();
        match value {
            Some(value) => port.write(offset, value),
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
