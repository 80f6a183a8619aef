//! How the interrupt controller names CPUs.
//!
//! MPIDR_EL1 and ICC_SGI1R_EL1 hold the same four affinity numbers in different layouts. The conversion is here, free
//! of hardware, because a wrong shift sends an interrupt to the wrong CPU and shows nowhere.

/// The four affinity numbers of a CPU, 8 bits each, packed as Aff3.Aff2.Aff1.Aff0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity(u32);

impl Affinity {
    /// From MPIDR_EL1 (Arm ARM D19.2.101): Aff3 in bits 39:32, Aff2..Aff0 in bits 23:0.
    pub const fn from_mpidr(mpidr: u64) -> Self {
        Self(((mpidr >> 8) & 0xff00_0000) as u32 | (mpidr & 0x00ff_ffff) as u32)
    }

    /// The packed form.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What to write to ICC_SGI1R_EL1 (IHI 0069, 12.2.17) to send SGI `sgi` (0 to 15) to this CPU alone. `None` when
    /// the number is no SGI.
    pub const fn sgi1r(self, sgi: u32) -> Option<u64> {
        if sgi > 15 {
            return None;
        }
        let [aff3, aff2, aff1, aff0] = self.0.to_be_bytes();
        // A target list covers 16 CPUs; RS says which 16 of the 256 that Aff0 can name.
        let range = (aff0 >> 4) as u64;
        let list = 1u64 << (aff0 & 15);
        Some((aff3 as u64) << 48 | range << 44 | (aff2 as u64) << 32 | (sgi as u64) << 24 | (aff1 as u64) << 16 | list)
    }
}

#[cfg(test)]
mod tests {
    use super::Affinity;

    #[test]
    fn mpidr_flags_are_no_part_of_the_affinity() {
        // Bit 31 is RES1, bit 30 U, bit 24 MT.
        assert_eq!(Affinity::from_mpidr(0x0000_0012_c134_5678).bits(), 0x1234_5678);
        assert_eq!(Affinity::from_mpidr(0x8000_0003), Affinity::from_mpidr(3));
    }

    #[test]
    fn sgi_goes_to_one_cpu() {
        assert_eq!(Affinity::from_mpidr(0x8000_0002).sgi1r(1), Some(1 << 24 | 1 << 2));
        assert_eq!(
            Affinity::from_mpidr(0x0000_00aa_00bb_cc25).sgi1r(15),
            Some(0xaa << 48 | 2 << 44 | 0xbb << 32 | 15 << 24 | 0xcc << 16 | 1 << 5)
        );
        assert_eq!(Affinity::from_mpidr(0).sgi1r(16), None);
    }
}
