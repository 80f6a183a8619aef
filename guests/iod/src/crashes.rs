//! Crashes on purpose, to test that front ends do not notice them: `crashes=TIMES from=NS within=NS` among the boot arguments
//! has each of our first lives end at some instruction of that time, but none before that time since power-on, by the handler
//! of a timer that nothing else uses.

use rt::random::Random;
use rt::{Machine, memory, timer};

/// Sets the timer, if that was asked for.
pub(crate) fn arrange(machine: &Machine) {
    let number = |name| machine.argument(name).and_then(|text| text.parse::<u64>().ok());
    let (Some(times), Some(within)) = (number("crashes"), number("within")) else { return };
    let wait = number("from").unwrap_or(0).saturating_sub(timer::system_time());
    let Some(lives) = memory::mailbox(machine) else { return };
    let life = lives.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    if life < times {
        timer::crash_in(wait + spread(life) % within.max(1));
    }
}

/// A number that looks random, the same in each run: that of this place in their row.
fn spread(place: u64) -> u64 {
    let mut row = Random::new(0);
    (0..=place).fold(0, |_, _| row.next())
}
