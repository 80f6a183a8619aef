//! Lines of guests and messages of the hypervisor on their way into one ring.
//!
//! The rule that everything follows from: only whole things enter the ring. A guest's bytes gather in its own line
//! buffer until a newline, so that two guests never share a line and neither breaks up a log frame. The last 2 KiB of
//! the ring are the hypervisor's alone: a guest that floods its console must not silence the log that says so.

use heapless::Vec;

use crate::DOMAINS;
use crate::message::{Text, printable};
use crate::ring::Ring;

/// Longest line of a guest; a longer one is printed in pieces, each with the prefix.
const LINE: usize = 256;
/// Longest name in a prefix.
const NAME: usize = 16;
/// Part of the ring that guests cannot fill.
const RESERVE: usize = 2048;

/// One guest's unfinished line.
struct Line {
    name: Vec<u8, NAME>,
    text: Vec<u8, LINE>,
    /// The text so far was printed because the buffer was full: a newline right now ends that line, not an empty one.
    broken: bool,
}

impl Line {
    const fn new() -> Self {
        Self { name: Vec::new(), text: Vec::new(), broken: false }
    }
}

/// All consoles and the ring.
pub(crate) struct Console<const RING: usize> {
    ring: Ring<RING>,
    lines: [Line; DOMAINS],
    /// Messages of the hypervisor that did not fit since the last one that did.
    lost: u32,
}

impl<const RING: usize> Console<RING> {
    pub(crate) const fn new() -> Self {
        Self { ring: Ring::new(), lines: [const { Line::new() }; DOMAINS], lost: 0 }
    }

    /// Sets the prefix of a domain.
    pub(crate) fn name(&mut self, domain: usize, name: &str) {
        if let Some(line) = self.lines.get_mut(domain) {
            line.name.clear();
            for byte in name.bytes().filter(|byte| byte.is_ascii_graphic()).take(NAME) {
                // Cannot fail: `take` keeps to the capacity.
                let _ = line.name.push(byte);
            }
        }
    }

    /// Takes bytes of a guest until the ring is full; returns how many. A domain that cannot exist has everything
    /// taken and nothing printed.
    pub(crate) fn write_guest(&mut self, domain: usize, bytes: &[u8]) -> usize {
        let Some(line) = self.lines.get_mut(domain) else { return bytes.len() };
        let ring = &mut self.ring;
        for (taken, &byte) in bytes.iter().enumerate() {
            if byte == b'\n' {
                if line.broken && line.text.is_empty() {
                    line.broken = false;
                } else if !print_line(ring, line, RESERVE) {
                    return taken;
                } else {
                    line.broken = false;
                }
                continue;
            }
            if !printable(byte) {
                continue;
            }
            if line.text.is_full() {
                if !print_line(ring, line, RESERVE) {
                    return taken;
                }
                line.broken = true;
            }
            // Cannot fail: a full line was printed above.
            let _ = line.text.push(byte);
        }
        bytes.len()
    }

    /// Prints a domain's unfinished line. `false`: the ring has no room for it now.
    pub(crate) fn finish_line(&mut self, domain: usize) -> bool {
        match self.lines.get_mut(domain) {
            Some(line) if !line.text.is_empty() => {
                line.broken = false;
                print_line(&mut self.ring, line, 0)
            }
            _ => true,
        }
    }

    /// Takes a whole message of the hypervisor, or counts it as lost.
    pub(crate) fn message(&mut self, bytes: &[u8]) {
        let mut apology = Text::new("[hyp] warning: ");
        let mut apology_bytes: &[u8] = &[];
        if self.lost > 0 {
            // Writing to `Text` cannot fail.
            let _ = core::fmt::write(&mut apology, format_args!("{} messages lost, output ring full", self.lost));
            apology_bytes = apology.finish();
        }
        if put_all(&mut self.ring, &[apology_bytes, bytes], 0) {
            self.lost = 0;
        } else {
            self.lose();
        }
    }

    /// Counts a message that could not even be made.
    pub(crate) fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// Is there anything for [`Console::drain`]?
    pub(crate) fn has_waiting(&self) -> bool {
        self.ring.len() != 0
    }

    /// Offers up to `limit` bytes to `put`, which says how many it took, until it takes fewer than it was offered.
    /// Returns how many are left.
    pub(crate) fn drain(&mut self, limit: usize, mut put: impl FnMut(&[u8]) -> usize) -> usize {
        let mut limit = limit;
        loop {
            let front = self.ring.front();
            let offered = front.get(..limit).unwrap_or(front);
            let taken = put(offered);
            let all = taken >= offered.len() && !offered.is_empty();
            self.ring.consume(taken);
            limit = limit.saturating_sub(taken);
            if !all {
                return self.ring.len();
            }
        }
    }
}

/// Moves a line into the ring, with prefix and newline, if `reserve` bytes stay free.
fn print_line<const RING: usize>(ring: &mut Ring<RING>, line: &mut Line, reserve: usize) -> bool {
    let printed = put_all(ring, &[b"[", &line.name, b"] ", &line.text, b"\n"], reserve);
    if printed {
        line.text.clear();
    }
    printed
}

/// Appends all parts, or nothing when fewer than `reserve` bytes would stay free.
fn put_all<const RING: usize>(ring: &mut Ring<RING>, parts: &[&[u8]], reserve: usize) -> bool {
    let wanted: usize = parts.iter().map(|part| part.len()).sum();
    if wanted > ring.free().saturating_sub(reserve) {
        return false;
    }
    for part in parts {
        ring.push(part);
    }
    true
}

#[cfg(test)]
mod tests;
