//! Writes that stream through more memory than caches hold. Where a CPU has caches and a bus, neighbours feel it; on an
//! emulator that has neither it is one more way to burn the CPU.

extern crate alloc;

use alloc::vec;

use crate::Clock;

/// Words that are written in a round: 8 MiB.
const WORDS: usize = 1 << 20;
/// Words between two looks at the clock.
const PIECE: usize = 1 << 15;

pub(crate) fn run(mut clock: Clock) {
    let mut words = vec![0u64; WORDS];
    let mut loops: u64 = 0;
    loop {
        for piece in words.chunks_mut(PIECE) {
            piece.fill(loops);
            core::hint::black_box(piece);
            clock.look(loops);
        }
        loops += 1;
    }
}
