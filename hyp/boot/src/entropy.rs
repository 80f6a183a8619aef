//! Random bytes for each guest's start, drawn from those that the loader gave the machine.
//!
//! A kernel that has just started knows nothing that others could not guess, and until its interrupts have told it enough
//! it goes through its whole pool for each random number that it needs. Loaders therefore leave random bytes in the tree
//! (`/chosen/rng-seed`). The hypervisor does not hand these on, as guests would know each other's: it draws from a ChaCha20
//! generator that is keyed with them, anew for each life of each guest. Each draw replaces the key, so that whoever finds
//! the key later knows nothing of what was drawn before.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// Bytes of a seed, which Linux counts as 256 random bits.
pub const SEED: usize = 32;

/// A source of seeds.
pub struct Entropy {
    key: [u8; SEED],
    /// Are there enough random bytes in the key?
    ready: bool,
}

impl Entropy {
    /// A source that has nothing yet.
    pub const fn new() -> Self {
        Self { key: [0; SEED], ready: false }
    }

    /// Takes random bytes in. Fewer than [`SEED`] are not enough to promise anything to a guest, and are left alone.
    pub fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(SEED) {
            self.key.iter_mut().zip(chunk).for_each(|(key, byte)| *key ^= byte);
            self.ready = true;
            // So that equal pieces do not cancel each other out.
            let _ = self.draw();
        }
    }

    /// Can it give seeds?
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// A seed that nobody else gets; `None` when nothing random is known.
    pub fn draw(&mut self) -> Option<[u8; SEED]> {
        let mut generator = ChaCha20Rng::from_seed(self.key);
        let mut seed = [0; SEED];
        generator.fill_bytes(&mut self.key);
        generator.fill_bytes(&mut seed);
        self.ready.then_some(seed)
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::{Entropy, SEED};

    fn fed(bytes: &[u8]) -> Entropy {
        let mut entropy = Entropy::new();
        entropy.feed(bytes);
        entropy
    }

    #[test]
    fn without_enough_random_bytes_there_is_no_seed() {
        assert!(!Entropy::new().is_ready());
        assert_eq!(Entropy::new().draw(), None);
        assert_eq!(fed(&[7; SEED - 1]).draw(), None);
        assert!(fed(&[7; SEED]).is_ready());
        assert!(fed(&[7; SEED]).draw().is_some());
    }

    #[test]
    fn no_two_seeds_are_equal_and_none_is_what_was_fed() {
        let mut seen = vec![[9; SEED]];
        for fed in [&mut fed(&[9; SEED]), &mut fed(&[9; 2 * SEED]), &mut fed(&[8; SEED])] {
            seen.extend((0..10).filter_map(|_| fed.draw()));
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((all, seen.len()), (31, 31));
    }

    #[test]
    fn every_byte_fed_counts() {
        let bytes = [3; 2 * SEED];
        let usual = fed(&bytes).draw();
        for at in 0..bytes.len() {
            let mut other = bytes;
            other[at] ^= 1;
            assert_ne!(fed(&other).draw(), usual, "byte {at}");
        }
    }

    #[test]
    fn the_key_is_the_generators_first_bytes_and_the_seed_the_next() {
        // RFC 8439, A.1, test vector 1: the keystream of a key of zeros.
        let mut entropy = Entropy { key: [0; SEED], ready: true };
        let seed = entropy.draw().unwrap();
        assert_eq!(entropy.key[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(seed[..8], [0xda, 0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d]);
    }
}
