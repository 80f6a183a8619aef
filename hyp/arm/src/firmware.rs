//! The machine's own firmware, for the few things only it can do: other CPUs on, everything off, and workarounds for what
//! some processors guess wrongly.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hyp_boot::machine::Conduit;
use smccc::{Smc, arch, psci};

/// The tree offers PSCI by SMC. By HVC it would be for a guest of EL2: from EL2, HVC leads to EL2.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// What firmware says of the workarounds 1 and 3, two bits for each, 1 in bits 1:0: it has to be called on some CPU; it has
/// it, and some CPU needs no call. Read by vectors.s.
#[unsafe(no_mangle)]
static WORKAROUNDS: AtomicU32 = AtomicU32::new(0);
const CALL: u32 = 1;
const NOT_REQUIRED: u32 = 2;

/// Notes what the device tree says about PSCI. Without it the machine can neither start CPUs nor be switched off.
pub(crate) fn init(conduit: Option<Conduit>) {
    PRESENT.store(conduit == Some(Conduit::Smc), Ordering::Relaxed);
}

fn is_present() -> bool {
    PRESENT.load(Ordering::Relaxed)
}

/// Where a workaround's two bits are; only for 1 and 3.
const fn place_of(function: u32) -> u32 {
    if function == arch::SMCCC_ARCH_WORKAROUND_1 { 0 } else { 2 }
}

/// Asks for the workarounds on the CPU that runs this: the answer may differ between CPUs of different kinds. Only
/// firmware that says so may be asked (DEN 0028, appendix B: PSCI_FEATURES, then the version, then the feature).
pub(crate) fn ask() {
    const OLDEST: arch::Version = arch::Version { major: 1, minor: 1 };
    let knows = is_present()
        && psci::psci_features::<Smc>(arch::SMCCC_VERSION).is_ok()
        && arch::version::<Smc>().is_ok_and(|version| version >= OLDEST);
    for function in [arch::SMCCC_ARCH_WORKAROUND_1, arch::SMCCC_ARCH_WORKAROUND_3].into_iter().filter(|_| knows) {
        let found = match arch::features::<Smc>(function) {
            Ok(0) => CALL,
            Ok(_) => NOT_REQUIRED,
            Err(_) => 0,
        };
        WORKAROUNDS.fetch_or(found << place_of(function), Ordering::Relaxed);
    }
}

/// What SMCCC_ARCH_FEATURES says of workaround 1 or 3: call it (0), no CPU requires it (1), there is none (-1).
pub(crate) fn offers(function: u32) -> u64 {
    match WORKAROUNDS.load(Ordering::Relaxed) >> place_of(function) {
        bits if bits & CALL != 0 => 0,
        bits if bits & NOT_REQUIRED != 0 => 1,
        _ => -1i64 as u64,
    }
}

/// Calls workaround 1 or 3 for a guest; the result of the guest's call.
#[cold]
pub(crate) fn work_around(function: u32) -> u64 {
    let offered = offers(function);
    if offered == 0 {
        // It has no result that would mean something.
        let _ = match place_of(function) {
            0 => arch::arch_workaround_1::<Smc>(),
            _ => arch::arch_workaround_3::<Smc>(),
        };
    }
    if offered == 1 { 0 } else { offered }
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
