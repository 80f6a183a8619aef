//! Copies and comparisons of memory: on ARM they are our own, below all that a guest does, and a byte too few or too many would
//! show as anything else.

use core::hint::black_box;

use crate::check::Checks;

/// Longer than what is moved in one round of any loop.
const MOST: usize = 400;
/// Bytes around what is copied, which must stay.
const GUARD: usize = 16;

pub(crate) fn run(checks: &mut Checks) {
    let wrong = (0..=MOST).find(|size| [(0, 0), (0, 8), (1, 0), (5, 11)].iter().any(|places| !holds(*size, *places)));
    checks.same("copies-of-all-sizes", wrong, None);
}

/// A copy of `size` bytes, from and to places that lie so far behind multiples of 16.
fn holds(size: usize, (from, to): (usize, usize)) -> bool {
    const ROOM: usize = MOST + 2 * GUARD;
    #[repr(align(16))]
    struct Memory([u8; ROOM]);
    let mut source = Memory([0; ROOM]);
    source.0.iter_mut().zip((0..251).cycle()).for_each(|(byte, value)| *byte = value);
    let mut target = Memory([0xff; ROOM]);
    // The compiler must not know the size, or it would copy by itself.
    let size = black_box(size);
    target.0[to..to + size].copy_from_slice(&source.0[from..from + size]);
    let (before, rest) = target.0.split_at(to);
    let (copied, behind) = rest.split_at(size);
    let same = copied.iter().zip(&source.0[from..]).all(|(one, other)| one == other);
    let kept = before.iter().chain(behind).all(|byte| *byte == 0xff);
    same && kept && black_box(copied) == &source.0[from..from + size]
}
