//! The table: a line for each cell, and a sentence for each promise that is not kept, each cell that has no
//! figures, and each of the peer's beside one of ours.

use super::cell::name;
use super::promise::Verdict;
use super::{Outcome, against};
use crate::console::Paint;
use crate::report::{aligned, grouped};

/// Titles of the columns.
pub(super) const HEAD: [&str; 14] = [
    "scheduler",
    "load",
    "CPUs",
    "late",
    "dropped",
    "audio late",
    "worst us",
    "wake p50 us",
    "p99",
    "p99.9",
    "max",
    "probe p99.9",
    "share error",
    "promise",
];

/// The table, ready to print. Kept promises are green, broken ones and errors red.
pub(super) fn table(outcomes: &[Outcome], paint: Paint) -> String {
    let rows: Vec<Vec<String>> =
        [HEAD.map(str::to_owned).to_vec()].into_iter().chain(outcomes.iter().map(row)).collect();
    let text = aligned(&rows, Paint::off());
    let mut lines = text.lines();
    let mut painted = lines.next().map(|line| paint.bold(line) + "\n").unwrap_or_default();
    for (line, outcome) in lines.zip(outcomes) {
        painted += &match outcome.verdict() {
            Some(Verdict::Kept) => paint.good(line),
            Some(Verdict::None(_)) => line.to_owned(),
            Some(Verdict::Broken(_)) | None => paint.bad(line),
        };
        painted.push('\n');
    }
    for outcome in outcomes {
        for why in outcome.reasons() {
            painted += &format!("{}: {why}\n", paint.bad(&outcome.cell.name()));
        }
    }
    for sentence in against::sentences(outcomes) {
        painted += &(sentence + "\n");
    }
    painted
}

/// Cells of a line; of a cell without figures only its name.
pub(super) fn row(outcome: &Outcome) -> Vec<String> {
    let cell = &outcome.cell;
    let mut row = vec![name(cell.sched), name(cell.load), cell.cpus.to_string()];
    let Ok(run) = &outcome.run else {
        row.resize(HEAD.len() - 1, String::new());
        row.push("ERROR".into());
        return row;
    };
    let measured = &run.measured;
    let us = |ns: u64| format!("{}.{}", grouped(ns / 1_000), ns % 1_000 / 100);
    row.extend([measured.late(), measured.dropped(), measured.audio_late()].map(grouped));
    row.push(us(measured.worst_late()));
    let wake = measured.wake().map(|wake| [wake.p50, wake.p99, wake.p999, wake.max].map(us));
    row.extend(wake.unwrap_or_else(|| ["-"; 4].map(str::to_owned)));
    row.push(measured.probe_wake().map_or_else(|| "-".into(), |wake| us(wake.p999)));
    row.push(measured.share_error().map_or_else(|| "-".into(), |error| format!("{:.1} %", error * 100.0)));
    row.push(run.verdict.word().into());
    row
}
