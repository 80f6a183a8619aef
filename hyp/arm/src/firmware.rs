//! The machine's own firmware, for the few things only it can do: other CPUs on, everything off.

use core::sync::atomic::{AtomicBool, Ordering};

use hyp_boot::machine::Conduit;
use smccc::{Smc, psci};

/// The tree offers PSCI by SMC. By HVC it would be for a guest of EL2: from EL2, HVC leads to EL2.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Notes what the device tree says about PSCI. Without it the machine can neither start CPUs nor be switched off.
pub(crate) fn init(conduit: Option<Conduit>) {
    PRESENT.store(conduit == Some(Conduit::Smc), Ordering::Relaxed);
}

fn is_present() -> bool {
    PRESENT.load(Ordering::Relaxed)
}

/// Starts a CPU at a physical address.
pub(crate) fn cpu_on(affinity: u64, entry: u64, argument: u64) -> Result<(), psci::Error> {
    if is_present() { psci::cpu_on::<Smc>(affinity, entry, argument) } else { Err(psci::Error::NotSupported) }
}

/// Switches the machine off; where it cannot, stops this CPU for good.
pub(crate) fn system_off() -> ! {
    if is_present() {
        let _ = psci::system_off::<Smc>();
    }
    halt()
}

/// Restarts the machine; where it cannot, stops this CPU for good.
pub(crate) fn system_reset() -> ! {
    if is_present() {
        let _ = psci::system_reset::<Smc>();
    }
    halt()
}

/// Stops this CPU for good.
pub(crate) fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
