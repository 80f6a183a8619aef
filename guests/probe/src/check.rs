//! Results: a line for each check, a sum at the end.

use core::fmt::{Debug, Display};

use rt::front::PATIENCE;
use rt::{println, timer};

/// Counts results as it prints them.
#[derive(Default)]
pub(crate) struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    /// A check that either holds or does not; `detail` is printed where it does not.
    pub(crate) fn that(&mut self, name: &str, holds: bool, detail: impl Display) {
        if holds {
            self.passed += 1;
            println!("@check name={name} result=pass");
        } else {
            self.failed += 1;
            println!("@check name={name} result=fail detail={detail}");
        }
    }

    /// A value that must be what is expected.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, name: &str, found: T, expected: T) {
        let holds = found == expected;
        if !holds {
            println!("probe: {name}: found {found:?}, expected {expected:?}");
        }
        self.that(name, holds, "see-the-line-before");
    }

    /// The last line.
    pub(crate) fn print_sum(&self) {
        println!("@checks passed={} failed={}", self.passed, self.failed);
    }
}

/// Waits for another guest; whether it did its part in time.
pub(crate) fn comes(happened: impl Fn() -> bool) -> bool {
    let end = timer::now() + PATIENCE;
    while !happened() {
        if timer::now() > end {
            return false;
        }
        timer::wait_until(timer::now() + 200_000);
    }
    true
}
