//! The firmware that a guest sees: PSCI 1.1 and the SMC calling convention 1.1, by HVC or SMC alike.
//!
//! A filter, not a pass-through: what is not in the table here is answered with NOT_SUPPORTED and reaches no firmware.
//! Sources: Arm DEN 0022 (PSCI), DEN 0028 (SMCCC). Pure, tested on the host.

use smccc::psci;

/// SMCCC: the call does not exist.
const NOT_SUPPORTED: u64 = -1i64 as u64;
/// PSCI: done.
const SUCCESS: u64 = 0;
/// PSCI: a parameter is wrong.
const INVALID_PARAMETERS: u64 = -2i64 as u64;
/// PSCI: an entry point is not in memory.
pub const INVALID_ADDRESS: u64 = -9i64 as u64;
/// PSCI_VERSION and SMCCC_VERSION: 1.1.
const VERSION_1_1: u64 = 1 << 16 | 1;
/// MIGRATE_INFO_TYPE: there is no trusted system to migrate.
const NOTHING_TO_MIGRATE: u64 = 2;
const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
/// Invalidate branch predictors, and what they remember of branches (DEN 0028, 7.5 and 7.7).
const SMCCC_ARCH_WORKAROUND_1: u32 = 0x8000_8000;
const SMCCC_ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
/// power_state of CPU_SUSPEND, original format: the CPU loses its state; bits that must be zero.
const POWER_DOWN: u64 = 1 << 16;
const POWER_RESERVED: u64 = 0xfcfe_0000;
/// Calls with this bit pass 64-bit arguments.
const CALL_64: u32 = 1 << 30;

/// What a firmware call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Nothing but this value in x0.
    Answer(u64),
    /// A workaround of the machine's firmware.
    WorkAround {
        /// Its number.
        function: u32,
    },
    /// Start a vCPU.
    CpuOn {
        /// Its index in the domain.
        target: u32,
        /// Entry point, guest-physical.
        entry: u64,
        /// For its x0.
        argument: u64,
    },
    /// Is this vCPU on?
    AffinityInfo {
        /// Its index in the domain.
        target: u32,
    },
    /// Stop the calling vCPU.
    CpuOff,
    /// Wait for an interrupt, then answer 0.
    Standby,
    /// Forget the calling vCPU's state, wait for an interrupt, then start it.
    PowerDown {
        /// Entry point, guest-physical.
        entry: u64,
        /// For its x0.
        argument: u64,
    },
    /// Stop the domain.
    SystemOff,
    /// Start the domain anew.
    SystemReset,
}

/// Index of the vCPU with this affinity; the guest's tree numbers 16 to a cluster.
fn vcpu_index(affinity: u64) -> Option<u32> {
    let (aff0, aff1) = (affinity & 0xff, affinity >> 8 & 0xff);
    let known = affinity & !0xffff == 0 && aff0 < 16;
    known.then_some((aff1 * 16 + aff0) as u32)
}

/// An index that no domain has.
const NO_VCPU: u32 = u32::MAX;

fn exists(function: u32) -> bool {
    matches!(
        function,
        psci::PSCI_VERSION
            | psci::PSCI_CPU_SUSPEND_32
            | psci::PSCI_CPU_SUSPEND_64
            | psci::PSCI_CPU_OFF
            | psci::PSCI_CPU_ON_32
            | psci::PSCI_CPU_ON_64
            | psci::PSCI_AFFINITY_INFO_32
            | psci::PSCI_AFFINITY_INFO_64
            | psci::PSCI_MIGRATE_INFO_TYPE
            | psci::PSCI_SYSTEM_OFF
            | psci::PSCI_SYSTEM_RESET
            | psci::PSCI_FEATURES
            | SMCCC_VERSION
    )
}

/// The value that a call asks for, where it asks for nothing else: its number and the first argument's low half. `offers` is
/// what SMCCC_ARCH_FEATURES says of a workaround.
#[inline(always)]
pub fn answer(function: u32, argument: u32, offers: impl FnOnce(u32) -> u64) -> Option<u64> {
    Some(match function {
        psci::PSCI_VERSION | SMCCC_VERSION => VERSION_1_1,
        psci::PSCI_MIGRATE_INFO_TYPE => NOTHING_TO_MIGRATE,
        psci::PSCI_FEATURES => {
            if exists(argument) {
                SUCCESS
            } else {
                NOT_SUPPORTED
            }
        }
        SMCCC_ARCH_FEATURES => match argument {
            SMCCC_VERSION | SMCCC_ARCH_FEATURES => SUCCESS,
            SMCCC_ARCH_WORKAROUND_1 | SMCCC_ARCH_WORKAROUND_3 => offers(argument),
            _ => NOT_SUPPORTED,
        },
        _ => return None,
    })
}

/// Decodes a call: x0 and the three registers behind it.
pub fn decode(x0: u64, args: [u64; 3]) -> Call {
    let function = x0 as u32;
    let bits = if function & CALL_64 != 0 { u64::MAX } else { u32::MAX.into() };
    let [a, b, c] = args.map(|argument| argument & bits);
    match function {
        psci::PSCI_CPU_SUSPEND_32 | psci::PSCI_CPU_SUSPEND_64 => match a & 0xffff_ffff {
            state if state & POWER_RESERVED != 0 => Call::Answer(INVALID_PARAMETERS),
            state if state & POWER_DOWN != 0 => Call::PowerDown { entry: b, argument: c },
            _ => Call::Standby,
        },
        psci::PSCI_CPU_OFF => Call::CpuOff,
        psci::PSCI_CPU_ON_32 | psci::PSCI_CPU_ON_64 => {
            Call::CpuOn { target: vcpu_index(a).unwrap_or(NO_VCPU), entry: b, argument: c }
        }
        psci::PSCI_AFFINITY_INFO_32 | psci::PSCI_AFFINITY_INFO_64 => match (vcpu_index(a), b) {
            (Some(target), 0) => Call::AffinityInfo { target },
            _ => Call::Answer(INVALID_PARAMETERS),
        },
        SMCCC_ARCH_WORKAROUND_1 | SMCCC_ARCH_WORKAROUND_3 => Call::WorkAround { function },
        psci::PSCI_SYSTEM_OFF => Call::SystemOff,
        psci::PSCI_SYSTEM_RESET => Call::SystemReset,
        _ => Call::Answer(NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As run.rs does it, on firmware that has workaround 1 for a CPU that does not need it.
    fn call(x0: u64, args: [u64; 3]) -> Call {
        let offers = |function| if function == SMCCC_ARCH_WORKAROUND_1 { 1 } else { NOT_SUPPORTED };
        answer(x0 as u32, args[0] as u32, offers).map_or_else(|| decode(x0, args), Call::Answer)
    }

    #[test]
    fn workarounds_are_the_firmwares() {
        assert_eq!(call(0x8000_0001, [0x8000_8000, 0, 0]), Call::Answer(1));
        assert_eq!(call(0x8000_0001, [0x8000_3fff, 0, 0]), Call::Answer(NOT_SUPPORTED));
        for function in [0x8000_8000, 0x8000_3fff] {
            assert_eq!(call(function.into(), [0; 3]), Call::WorkAround { function });
        }
    }

    #[test]
    fn versions_are_1_1() {
        assert_eq!(call(0x8400_0000, [0; 3]), Call::Answer(0x1_0001));
        assert_eq!(call(0x8000_0000, [0; 3]), Call::Answer(0x1_0001));
    }

    #[test]
    fn features_tell_what_decode_does() {
        for function in 0x8400_0000..=0x8400_0020u64 {
            let told = call(0x8400_000a, [function, 0, 0]);
            // An argument that makes sense to PSCI_FEATURES too.
            let does = call(function, [0x8400_0000, 0, 0]);
            assert_eq!(told == Call::Answer(0), does != Call::Answer(NOT_SUPPORTED), "{function:#x}");
        }
    }

    #[test]
    fn a_32_bit_call_passes_32_bits() {
        let on = call(0x8400_0003, [0xffff_0000_0000_0001, 0x1_4000_0000, u64::MAX]);
        assert_eq!(on, Call::CpuOn { target: 1, entry: 0x4000_0000, argument: 0xffff_ffff });
        let on = call(0xc400_0003, [0x101, 0x1_4000_0000, 7]);
        assert_eq!(on, Call::CpuOn { target: 17, entry: 0x1_4000_0000, argument: 7 });
    }

    #[test]
    fn strange_affinities_are_no_vcpu() {
        for affinity in [16, 0x1_0000, 1 << 32, u64::MAX] {
            assert_eq!(call(0xc400_0003, [affinity, 0, 0]), Call::CpuOn { target: NO_VCPU, entry: 0, argument: 0 });
        }
        assert_eq!(call(0xc400_0004, [0, 1, 0]), Call::Answer(INVALID_PARAMETERS));
    }

    #[test]
    fn a_suspended_vcpu_keeps_or_loses_its_state() {
        let suspend = |function, state| call(function, [state, 0x1_4000_0000, 7]);
        let lost = |entry| Call::PowerDown { entry, argument: 7 };
        assert_eq!(suspend(0xc400_0001, 0x0000_0003), Call::Standby);
        assert_eq!(suspend(0xc400_0001, 0x0201_0000), lost(0x1_4000_0000));
        assert_eq!(suspend(0x8400_0001, 0x0001_ffff), lost(0x4000_0000));
        // The state is a word in both conventions; its reserved bits are parameters that nobody knows.
        assert_eq!(suspend(0xc400_0001, 0xffff_ffff_0000_0000), Call::Standby);
        for bit in [17, 23, 26, 31] {
            assert_eq!(suspend(0xc400_0001, 1 << bit), Call::Answer(INVALID_PARAMETERS), "bit {bit}");
        }
    }

    #[test]
    fn what_debian_asks_for() {
        let features = |function| call(0x8400_000a, [function, 0, 0]);
        let known = [0x8000_0000, 0xc400_0001, 0x8400_000a];
        assert!(known.iter().all(|function| features(*function) == Call::Answer(0)));
        // SYSTEM_SUSPEND and SYSTEM_RESET2, both conventions.
        for function in [0x8400_000e, 0xc400_000e, 0x8400_0012, 0xc400_0012] {
            assert_eq!(features(function), Call::Answer(NOT_SUPPORTED), "{function:#x}");
            assert_eq!(call(function, [0; 3]), Call::Answer(NOT_SUPPORTED), "{function:#x}");
        }
        let arch = |function| call(0x8000_0001, [function, 0, 0]);
        assert!([0x8000_0000, 0x8000_0001].iter().all(|call| arch(*call) == Call::Answer(0)));
        // Workarounds 2 and 3, stolen time.
        for function in [0x8000_7fff, 0x8000_3fff, 0xc500_0020] {
            assert_eq!(arch(function), Call::Answer(NOT_SUPPORTED), "{function:#x}");
        }
    }

    #[test]
    fn unknown_calls_are_not_supported() {
        // Random numbers, the vendor's identification, trusted services, and what is none.
        for function in [0x8400_0050u64, 0x8600_ff01, 0x8000_7fff, 0xb200_0000, 0, u64::MAX] {
            assert_eq!(call(function, [0; 3]), Call::Answer(NOT_SUPPORTED));
        }
    }
}
