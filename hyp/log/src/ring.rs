//! The bytes that wait for the UART.
//!
//! Copied in and handed out by whole slices: every byte of every console passes here under a lock with interrupts
//! masked, so the cost of a byte is the cost of everything.

/// A queue of up to `N` bytes.
pub(crate) struct Ring<const N: usize> {
    bytes: [u8; N],
    /// Where the oldest byte is; below `N`.
    head: usize,
    /// Bytes that wait; at most `N`.
    len: usize,
}

impl<const N: usize> Ring<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], head: 0, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn free(&self) -> usize {
        N.saturating_sub(self.len)
    }

    /// A position `distance` (at most `N`) behind `head`.
    const fn behind_head(&self, distance: usize) -> usize {
        let position = self.head.saturating_add(distance);
        if position >= N { position - N } else { position }
    }

    /// Appends `part`; the caller has made sure that it fits.
    pub(crate) fn push(&mut self, part: &[u8]) {
        debug_assert!(part.len() <= self.free(), "the caller checks");
        let part = part.get(..self.free()).unwrap_or(part);
        let tail = self.behind_head(self.len);
        let (before_end, from_start) = part.split_at(part.len().min(N.saturating_sub(tail)));
        copy(self.bytes.get_mut(tail..).unwrap_or_default(), before_end);
        copy(&mut self.bytes, from_start);
        self.len = self.len.saturating_add(part.len());
    }

    /// The oldest bytes, as many as lie together; empty only when the ring is.
    pub(crate) fn front(&self) -> &[u8] {
        let end = self.head.saturating_add(self.len).min(N);
        self.bytes.get(self.head..end).unwrap_or_default()
    }

    /// Drops the oldest `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.head = self.behind_head(count);
        self.len = self.len.saturating_sub(count);
    }
}

/// Copies `from` to the start of `to`.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn order_survives_every_wrap() {
        let mut ring = Ring::<7>::new();
        let (mut written, mut read, mut total) = (0u8, 0u8, 0);
        for step in 0..200usize {
            let count = (step * 5 % 8).min(ring.free());
            let part: Vec<u8> = (0..count).map(|i| written.wrapping_add(i as u8)).collect();
            ring.push(&part);
            written = written.wrapping_add(count as u8);
            total += count;
            assert_eq!(ring.len(), usize::from(written.wrapping_sub(read)));
            let take = ring.front().len().min(step % 4);
            for &byte in ring.front().iter().take(take) {
                assert_eq!(byte, read);
                read = read.wrapping_add(1);
            }
            ring.consume(take);
            assert_eq!(ring.front().is_empty(), ring.len() == 0);
        }
        assert!(total > 7 * 20, "wrapped {total} bytes only");
    }

    #[test]
    fn full_is_full() {
        let mut ring = Ring::<4>::new();
        ring.push(b"abcd");
        assert_eq!((ring.free(), ring.front()), (0, &b"abcd"[..]));
        ring.consume(3);
        ring.push(b"efg");
        assert_eq!(ring.front(), b"d");
        ring.consume(1);
        assert_eq!(ring.front(), b"efg");
        ring.consume(9);
        assert_eq!((ring.len(), ring.front()), (0, &b""[..]));
    }
}
