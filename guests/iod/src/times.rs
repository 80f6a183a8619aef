//! When a display has shown which update of a guest's picture: kept in memory while the guest plays, told when it asks.
//!
//! A time is that of the machine's own counter, [`timer::system_time`], the same in all guests: a guest that knows by how much its
//! own is behind ([`timer::offset`]) can compare. It is taken when we learn that the device is done, so it is late rather than
//! early.

use alloc::vec::Vec;

use rt::timer;

/// How many are kept; those that come later are counted.
const MOST: usize = 8192;
/// How many are told in one go; others have their turn in between.
const LINES: usize = 16;

/// The times.
#[derive(Default)]
pub(crate) struct Times {
    /// How many updates there had been since the connection, and when the last of them was shown, in ns.
    shown: Vec<(u64, u64)>,
    forgotten: u64,
    told: usize,
}

impl Times {
    /// So many updates are shown by now.
    pub(crate) fn note(&mut self, updates: u64) {
        if self.shown.len() < MOST {
            self.shown.push((updates, timer::system_time()));
        } else {
            self.forgotten += 1;
        }
    }

    /// Tells some. Returns whether those were the last ones; from then on nothing is left of them.
    pub(crate) fn tell(&mut self, domain: u16) -> bool {
        for (updates, at) in self.shown.iter().skip(self.told).take(LINES) {
            rt::println!("@shown domain={domain} updates={updates} ns={at}");
        }
        self.told += LINES;
        let done = self.told >= self.shown.len();
        if done {
            rt::println!("@forgotten domain={domain} updates={}", self.forgotten);
            *self = Self::default();
        }
        done
    }
}
