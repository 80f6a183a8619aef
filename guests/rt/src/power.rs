//! Ending: powering off, restarting, crashing. By hypercall where there is a hypervisor, else by the machine's firmware.

use crate::{arch, console, cpu, hypercall};

/// Switch this guest (bare: the machine) off.
pub fn off() -> ! {
    end(hypercall::ShutdownReason::PowerOff)
}

/// Start this guest (bare: the machine) again.
pub fn reboot() -> ! {
    end(hypercall::ShutdownReason::Reboot)
}

/// End as crashed. Bare, the machine is switched off.
pub fn crash() -> ! {
    end(hypercall::ShutdownReason::Crash)
}

fn end(reason: hypercall::ShutdownReason) -> ! {
    console::flush();
    if console::is_virtual() {
        hypercall::shutdown(reason);
    }
    match reason {
        hypercall::ShutdownReason::Reboot => arch::system_reset(),
        _ => arch::system_off(),
    }
    loop {
        cpu::wait_for_interrupt();
    }
}
