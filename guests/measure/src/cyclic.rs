//! A cyclic test: sleeps to one release after the other, does nothing there, and keeps how late each wake-up was. It says
//! what a guest with little to do may hope for beside its neighbours.

extern crate alloc;

use alloc::vec::Vec;

use rt::{Machine, console, println, runstate, timer};

/// Runs from `lead_ns` after now on, every `period_ns`, `times` times; tells the latencies when it is done.
pub(crate) fn run(machine: &Machine) {
    let number = |name| machine.argument(name).and_then(|text| text.parse::<u64>().ok());
    let (Some(lead), Some(period), Some(times)) = (number("lead_ns"), number("period_ns"), number("times")) else {
        println!("measure: mode cyclic needs lead_ns, period_ns and times");
        return;
    };
    let _ = runstate::register();
    runstate::print_running();
    let start = timer::now() + lead;
    let mut wakes = Vec::with_capacity(times as usize);
    let mut missed = 0u64;
    for round in 0..times {
        let release = start + round * period;
        // One that the last wake-up has slept through is no wake-up, but is as late as it is.
        let late = timer::wait_until(release).unwrap_or_else(|| {
            missed += 1;
            timer::now().saturating_sub(release)
        });
        wakes.push(late);
    }
    runstate::print_running();
    console::print_numbers("@wake ns=", &wakes);
    println!("measure: {missed} of {times} releases had passed before the one before them was over");
}
