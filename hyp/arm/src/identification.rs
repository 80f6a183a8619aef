//! What identification registers show to guests.
//!
//! A guest sees the processor it runs on, less what needs the hypervisor and does not get it: state that nobody saves
//! at a switch (SVE, SME, memory tags), what belongs to EL2 and EL3, counters and traces of the whole machine. The
//! fields that are shown are listed, not those that are hidden, because a field that does not exist yet is one that
//! nobody saves.
//!
//! Pure, tested on the host. Fields: Arm ARM D24.2, "ID_AA64*_EL1"; G8.2, "ID_*".

/// Breakpoints and watchpoints that a vCPU can have: what every core known to us has. A core with more shows no more.
pub const BREAKPOINTS: u8 = 6;
/// See [`BREAKPOINTS`].
pub const WATCHPOINTS: u8 = 4;

/// Lowers the field at bit `low` to `most`.
const fn at_most(value: u64, low: u32, most: u64) -> u64 {
    let field = value >> low & 0xf;
    if field > most { value & !(0xf << low) | most << low } else { value }
}

/// What a guest sees of the register S3_0_C0_C`crm`_`op2`, of which the processor says `value`.
pub const fn shown(crm: u16, op2: u16, value: u64) -> u64 {
    match (crm, op2) {
        // ID_PFR0: neither RAS nor activity monitors. ID_PFR1: neither security nor virtualization.
        (1, 0) => value & 0x0f0f_ffff,
        (1, 1) => value & 0xf00f_0f0f,
        // ID_DFR0: 32-bit code is at EL0, where it has no debug registers and no counters.
        (1, 2) => 0,
        (1..=3, _) => value,
        // ID_AA64PFR0: EL0, EL1, float, vectors, GIC registers, DIT, CSV2, CSV3. CSV2 above 1 promises SCXTNUM.
        (4, 0) => at_most(at_most(value & 0xff0f_0000_0fff_00ff, 56, 1), 24, 1),
        // ID_AA64PFR1: BTI, SSBS.
        (4, 1) => value & 0xff,
        (5, 0) => debug(value),
        // ID_AA64ISAR0: no transactions. ISAR1: no 64-byte accesses. ISAR2: no WFI with a time-out, no memory copies.
        (6, 0) => value & !(0xf << 24),
        (6, 1) => value & !(0xf << 60),
        (6, 2) => value & 0x00ff_0f00_fff0_fff0,
        // ID_AA64MMFR0: no more than 40 bits of address; granules of the first stage; ECV without the offset, which is
        // EL2's.
        (7, 0) => at_most(at_most(value & 0xf000_f000_ffff_0fff, 0, 2), 60, 1),
        // ID_AA64MMFR1: HAFDBS, HPDS, PAN, SpecSEI, ETS, AFP, nTLBPA, TIDCP1, ECBHB.
        (7, 1) => value & 0xf0ff_f0f0_0ff0_f00f,
        // ID_AA64MMFR2: CnP, UAO, LSM, VARange, CCIDX, ST, AT, IDS, TTL, BBM, E0PD.
        (7, 2) => value & 0xf0ff_00ff_f0ff_0fff,
        _ => 0,
    }
}

/// ID_AA64DFR0: debug architecture, breakpoints and watchpoints as many as are switched, double lock.
const fn debug(value: u64) -> u64 {
    /// Armv8.2; later ones add what needs a hypervisor's help.
    const DEBUG_8_2: u64 = 8;
    let value = at_most(value & 0x0000_00f0_f0f0_f00f, 0, DEBUG_8_2);
    let value = at_most(value, 12, BREAKPOINTS as u64 - 1);
    let value = at_most(value, 20, WATCHPOINTS as u64 - 1);
    // Breakpoints that compare contexts are among them.
    at_most(value, 28, value >> 12 & 0xf)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cortex-A57 r1p0, Neoverse N1 and QEMU 10's `max`, as QEMU models them: ID_AA64PFR0, PFR1, DFR0, ISAR1, MMFR0,
    /// MMFR1, MMFR2.
    const A57: [u64; 7] = [0x0100_2222, 0, 0x1030_5106, 0, 0x1124, 0, 0];
    const N1: [u64; 7] = [0x1100_0000_1111_1112, 0x10, 0x1_1030_5408, 0x10_0001, 0x10_1125, 0x1021_2122, 0x1011];
    const MAX: [u64; 7] = [
        0x1201_1011_2130_1222,
        0x0000_0000_0111_0322,
        0xf0_0305_108b,
        0x0011_1111_1021_1052,
        0x1000_0322_1122,
        0x1101_1011_2122_1122,
        0x1221_0111_2221_1011,
    ];
    const PLACES: [(u16, u16); 7] = [(4, 0), (4, 1), (5, 0), (6, 1), (7, 0), (7, 1), (7, 2)];

    fn seen(values: [u64; 7]) -> [u64; 7] {
        core::array::from_fn(|n| shown(PLACES[n].0, PLACES[n].1, values[n]))
    }

    fn nibble(value: u64, low: u32) -> u64 {
        value >> low & 0xf
    }

    #[test]
    fn nobody_sees_what_nobody_saves() {
        for values in [A57, N1, MAX, [u64::MAX; 7]] {
            let [pfr0, pfr1, dfr0, isar1, mmfr0, mmfr1, mmfr2] = seen(values);
            for (low, name) in
                [(8, "EL2"), (12, "EL3"), (28, "RAS"), (32, "SVE"), (36, "SEL2"), (40, "MPAM"), (44, "AMU")]
            {
                assert_eq!(nibble(pfr0, low), 0, "{name}");
            }
            assert!(nibble(pfr0, 56) <= 1, "SCXTNUM");
            for (low, name) in
                [(8, "MTE"), (12, "RAS fraction"), (16, "MPAM fraction"), (24, "SME"), (32, "CSV2 fraction")]
            {
                assert_eq!(nibble(pfr1, low), 0, "{name}");
            }
            for (low, name) in [(4, "trace"), (8, "PMU"), (32, "profiling"), (40, "trace filter"), (44, "trace buffer")]
            {
                assert_eq!(nibble(dfr0, low), 0, "{name}");
            }
            assert_eq!(nibble(isar1, 60), 0, "64-byte accesses");
            assert!(nibble(mmfr0, 0) <= 2 && nibble(mmfr0, 56) == 0, "addresses, fine-grained traps");
            for (low, name) in [(4, "VMIDs"), (8, "VHE"), (16, "limited order"), (40, "HCX")] {
                assert_eq!(nibble(mmfr1, low), 0, "{name}");
            }
            assert_eq!((nibble(mmfr2, 24), nibble(mmfr2, 56)), (0, 0), "nested virtualization, enhanced traps");
        }
    }

    #[test]
    fn what_needs_nobody_stays() {
        let [pfr0, _, dfr0, _, mmfr0, ..] = seen(A57);
        assert_eq!((pfr0, dfr0, mmfr0), (0x0100_0022, 0x1030_5006, 0x0122));
        let [pfr0, pfr1, dfr0, isar1, _, mmfr1, mmfr2] = seen(N1);
        assert_eq!((pfr0, pfr1, dfr0, isar1), (0x1100_0000_0111_0012, 0x10, 0x1030_5008, 0x10_0001));
        assert_eq!((mmfr1, mmfr2), (0x0020_2002, 0x11));
        assert_eq!(shown(6, 2, 0x1), 0, "WFI with a time-out");
    }

    #[test]
    fn no_more_breakpoints_than_are_switched() {
        let [_, _, dfr0, ..] = seen([u64::MAX; 7]);
        assert_eq!((nibble(dfr0, 12), nibble(dfr0, 20), nibble(dfr0, 28)), (5, 3, 5));
        assert_eq!(nibble(dfr0, 0), 8);
    }

    #[test]
    fn unknown_registers_are_zero() {
        for (crm, op2) in [(4, 4), (4, 5), (5, 1), (5, 4), (6, 3), (7, 3), (7, 4), (1, 2)] {
            assert_eq!(shown(crm, op2, u64::MAX), 0);
        }
    }
}
