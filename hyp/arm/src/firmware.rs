//! The machine's own firmware, for the few things only it can do: other CPUs on, everything off.

use smccc::{Hvc, Smc, psci};
use spin::Once;

/// How firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduit {
    /// By SMC: firmware lives at EL3.
    Smc,
    /// By HVC: something below us offers PSCI.
    Hvc,
}

static CONDUIT: Once<Conduit> = Once::new();

/// Notes what the device tree says about PSCI. Without it the machine can neither start CPUs nor be switched off.
pub(crate) fn init(conduit: Option<Conduit>) {
    if let Some(conduit) = conduit {
        CONDUIT.call_once(|| conduit);
    }
}

/// Starts a CPU at a physical address.
pub(crate) fn cpu_on(affinity: u64, entry: u64, argument: u64) -> Result<(), psci::Error> {
    match CONDUIT.get() {
        Some(Conduit::Smc) => psci::cpu_on::<Smc>(affinity, entry, argument),
        Some(Conduit::Hvc) => psci::cpu_on::<Hvc>(affinity, entry, argument),
        None => Err(psci::Error::NotSupported),
    }
}

/// Switches the machine off; where it cannot, stops this CPU for good.
pub(crate) fn system_off() -> ! {
    let _ = match CONDUIT.get() {
        Some(Conduit::Smc) => psci::system_off::<Smc>(),
        Some(Conduit::Hvc) => psci::system_off::<Hvc>(),
        None => Ok(()),
    };
    halt()
}

/// Restarts the machine; where it cannot, stops this CPU for good.
pub(crate) fn system_reset() -> ! {
    let _ = match CONDUIT.get() {
        Some(Conduit::Smc) => psci::system_reset::<Smc>(),
        Some(Conduit::Hvc) => psci::system_reset::<Hvc>(),
        None => Ok(()),
    };
    halt()
}

/// Stops this CPU for good.
pub(crate) fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
