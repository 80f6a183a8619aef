//! The peer's wake-ups against ours beside the same load: how many times as long the longest but one in a thousand is.

use super::Outcome;
use super::cell::{Sched, name};
use crate::report::grouped;

/// A cell of ours that a cell of the peer's is held against.
#[derive(Debug)]
pub(super) struct Against {
    pub(super) sched: Sched,
    /// How many times as long the peer's p99.9 is.
    pub(super) times: f64,
}

/// Which of ours is beside a peer's cell, the one that promises most; `None` for a cell of ours, or where nothing is to
/// compare.
pub(super) fn of(outcome: &Outcome, all: &[Outcome]) -> Option<Against> {
    let p999 = |outcome: &Outcome| Some(outcome.run.as_ref().ok()?.measured.wake()?.p999);
    let theirs = outcome.cell.sched.is_peers().then(|| p999(outcome)).flatten()?;
    [Sched::Reserve, Sched::AutoReserve, Sched::Client].into_iter().find_map(|sched| {
        let same = |other: &&Outcome| {
            (other.cell.sched, other.cell.load, other.cell.cpus) == (sched, outcome.cell.load, outcome.cell.cpus)
        };
        let ours = p999(all.iter().find(same)?)?;
        Some(Against { sched, times: theirs as f64 / ours.max(1) as f64 })
    })
}

/// A sentence for each of the peer's cells.
pub(super) fn sentences(outcomes: &[Outcome]) -> Vec<String> {
    let sentence = |outcome: &Outcome| {
        let Against { sched, times } = of(outcome, outcomes)?;
        let times = if times < 10.0 { format!("{times:.1}") } else { grouped(times as u64) };
        Some(format!("{}: wake-up p99.9 is {times} times that of `{}`", outcome.cell.name(), name(sched)))
    };
    outcomes.iter().filter_map(sentence).collect()
}
