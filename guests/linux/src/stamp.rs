//! What every sector that is written says of itself: which one it is, in which run, and for how manieth time it was written.
//! A sector that comes back is compared as a whole, so that one bit is seen; then its stamp tells what happened to it.

use crate::random::Random;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

const NUMBER: usize = 8;
const GENERATION: usize = 16;
const REST: usize = 24;

/// Which contents a sector has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of the run.
    pub seed: u64,
    /// Number of the sector on the device.
    pub sector: u64,
    /// How often it has been written, from 1.
    pub generation: u64,
}

/// What was read instead of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// This sector as it was an earlier time: a later write was lost.
    Older(u64),
    /// Something else.
    Corrupt,
}

impl Stamp {
    /// Writes the contents.
    pub fn fill(self, sector: &mut [u8]) {
        let mut random = Random::new(self.seed ^ self.sector.rotate_left(20) ^ self.generation.rotate_left(44));
        let (words, _) = sector.as_chunks_mut::<8>();
        for word in words {
            *word = random.number().to_le_bytes();
        }
        for (at, value) in [(0, self.seed), (NUMBER, self.sector), (GENERATION, self.generation)] {
            if let Some(word) = sector.get_mut(at..at + 8) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Compares a sector with these contents.
    ///
    /// # Errors
    /// They differ.
    pub fn check(self, sector: &[u8]) -> Result<(), Wrong> {
        let mut expected = [0; SECTOR];
        self.fill(&mut expected);
        if sector == expected {
            return Ok(());
        }
        let generation = sector.get(GENERATION..REST).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let older = generation.filter(|&generation| generation < self.generation);
        match older {
            Some(generation) => {
                Self { generation, ..self }.fill(&mut expected);
                Err(if sector == expected { Wrong::Older(generation) } else { Wrong::Corrupt })
            }
            None => Err(Wrong::Corrupt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SECTOR, Stamp, Wrong};

    #[test]
    fn a_sector_tells_what_happened_to_it() {
        let stamp = Stamp { seed: 1, sector: 77, generation: 5 };
        let mut sector = [0; SECTOR];
        stamp.fill(&mut sector);
        assert_eq!(stamp.check(&sector), Ok(()));
        assert_eq!(Stamp { generation: 6, ..stamp }.check(&sector), Err(Wrong::Older(5)), "a write was lost");
        assert_eq!(Stamp { generation: 4, ..stamp }.check(&sector), Err(Wrong::Corrupt), "from the future");
        assert_eq!(Stamp { sector: 78, ..stamp }.check(&sector), Err(Wrong::Corrupt), "of another place");
        assert_eq!(Stamp { seed: 2, generation: 6, ..stamp }.check(&sector), Err(Wrong::Corrupt), "of another run");
        assert_eq!(stamp.check(&sector[..SECTOR / 2]), Err(Wrong::Corrupt));
        for bit in [0, 8 * 20, 8 * SECTOR - 1] {
            sector[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp { generation: 6, ..stamp }.check(&sector), Err(Wrong::Corrupt), "bit {bit}");
            sector[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
