//! What guests ask of a [`Machine`] on both architectures.

use crate::Machine;

impl Machine {
    /// The value of `name=value` among the boot arguments.
    pub fn argument(&self, name: &str) -> Option<&'static str> {
        self.bootargs.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The first address of RAM that nothing is in: from the middle on, whole blocks of 2 MiB.
    pub fn middle(&self) -> u64 {
        const BLOCK: u64 = 2 << 20;
        let (start, end) = self.memory;
        (start as u64).midpoint(end as u64) / BLOCK * BLOCK
    }

    /// The RAM disk's addresses; (0, 0) where there is none.
    pub(crate) fn initrd_range(&self) -> (usize, usize) {
        self.initrd.map_or((0, 0), |bytes| (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len()))
    }
}
