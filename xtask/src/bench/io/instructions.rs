//! The count of instructions that a running machine has executed, for who asks when the machine waits for the answer.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::qemu::{Monitor, Place};

/// A machine that waits executes nothing: its count stands still for as many looks, and so long each.
const LOOKS: u32 = 3;
const LOOK: Duration = Duration::from_millis(1);
/// Looks until it is not to be believed that it waits.
const MOST: u32 = 2_000;

/// The instructions of a machine, once it is known where it tells them.
#[derive(Default)]
pub(super) struct Instructions {
    place: OnceLock<Place>,
    monitor: Mutex<Option<Monitor>>,
}

impl Instructions {
    /// The machine has started.
    pub(super) fn found(&self, place: Place) {
        // A machine starts once.
        let _ = self.place.set(place);
    }

    /// How many were executed until the machine began to wait; nothing if it never does, or does not answer.
    pub(super) fn count(&self) -> Option<u64> {
        let place = self.place.get()?;
        let mut monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        if monitor.is_none() {
            *monitor = Monitor::connect(place);
        }
        let monitor = monitor.as_mut()?;
        settled(|| {
            std::thread::sleep(LOOK);
            monitor.instructions()
        })
    }
}

/// A count that stands still.
fn settled(mut look: impl FnMut() -> Option<u64>) -> Option<u64> {
    let (mut last, mut same) = (look()?, 1);
    for _ in 0..MOST {
        if same == LOOKS {
            return Some(last);
        }
        let count = look()?;
        same = if count == last { same + 1 } else { 1 };
        last = count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::settled;

    #[test]
    fn a_count_is_taken_when_it_stands_still() {
        let mut counts = [3, 5, 5, 7, 7, 7, 9].into_iter();
        assert_eq!(settled(|| counts.next()), Some(7));
        assert_eq!(settled(|| None), None);
        let mut busy = 0;
        let never = settled(|| {
            busy += 1;
            Some(busy)
        });
        assert_eq!(never, None);
    }
}
