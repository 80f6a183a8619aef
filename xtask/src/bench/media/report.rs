//! The reports' files: figures for tools, and a page for people.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;

use super::cell::name;
use super::share::Share;
use super::{Outcome, Run, against, page, perfetto};
use crate::board::Board;
use crate::paths;
use crate::report::Quantiles;

/// The contents of `bench-media.json`.
#[derive(Serialize)]
struct Report {
    cells: Vec<Entry>,
}

/// A cell; without figures where there is an error.
#[derive(Serialize)]
struct Entry {
    board: &'static str,
    sched: String,
    load: String,
    cpus: u32,
    seconds: u64,
    seed: u64,
    error: Option<Vec<String>>,
    frames_total: Option<u64>,
    /// Ready after the next one's release, dropped ones among them.
    frames_late: Option<u64>,
    /// More than one period late.
    frames_dropped: Option<u64>,
    audio_total: Option<u64>,
    audio_late: Option<u64>,
    /// From the next release to the completion of what was latest.
    worst_late_ns: Option<u64>,
    /// The player's.
    wakeup_ns: Option<Quantiles>,
    probe_wakeup_ns: Option<Quantiles>,
    share_error: Option<f64>,
    shares: Option<Vec<Share>>,
    /// Of a peer's cell: how many times its wake-up p99.9 is ours beside the same load, and whose of ours.
    times_ours: Option<f64>,
    ours: Option<String>,
    /// `kept`, `broken` or `none`.
    promise: Option<&'static str>,
    /// How to repeat it.
    command: String,
    /// How the emulator was started.
    emulator: Option<String>,
}

impl Entry {
    fn new(outcome: &Outcome, all: &[Outcome]) -> Self {
        let against = against::of(outcome, all);
        let cell = &outcome.cell;
        let run = outcome.run.as_ref().ok();
        let measured = run.map(|run| &run.measured);
        Self {
            board: cell.board.name(),
            sched: name(cell.sched),
            load: name(cell.load),
            cpus: cell.cpus,
            seconds: cell.seconds,
            seed: cell.seed,
            error: outcome.run.as_ref().err().cloned(),
            frames_total: measured.map(|measured| measured.frames.len() as u64),
            frames_late: measured.map(super::Measured::late),
            frames_dropped: measured.map(super::Measured::dropped),
            audio_total: measured.map(|measured| measured.audio.len() as u64),
            audio_late: measured.map(super::Measured::audio_late),
            worst_late_ns: measured.map(super::Measured::worst_late),
            wakeup_ns: measured.and_then(super::Measured::wake),
            probe_wakeup_ns: measured.and_then(super::Measured::probe_wake),
            share_error: measured.and_then(super::Measured::share_error).map(rounded),
            shares: measured.map(|measured| measured.shares.iter().map(shown).collect()),
            times_ours: against.as_ref().map(|against| rounded(against.times)),
            ours: against.map(|against| name(against.sched)),
            promise: run.map(promise),
            command: cell.command(),
            emulator: run.map(|run| run.command.clone()),
        }
    }
}

fn promise(run: &Run) -> &'static str {
    match run.verdict {
        super::Verdict::None(_) => "none",
        super::Verdict::Kept => "kept",
        super::Verdict::Broken(_) => "broken",
    }
}

/// Six digits: enough for any use, and no noise of binary fractions in the file.
fn rounded(part: f64) -> f64 {
    (part * 1e6).round() / 1e6
}

fn shown(share: &Share) -> Share {
    Share { guest: share.guest.clone(), entitled: rounded(share.entitled), got: share.got.map(rounded) }
}

/// Text of `bench-media.json`.
pub(super) fn json(outcomes: &[Outcome]) -> Result<String> {
    Ok(serde_json::to_string_pretty(&Report {
        cells: outcomes.iter().map(|outcome| Entry::new(outcome, outcomes)).collect(),
    })? + "\n")
}

/// Writes `bench-media.json` and `bench-media.html`, of another board than usual with its name; their paths.
///
/// # Errors
/// A file cannot be written, or a chart not be drawn.
pub(super) fn write(board: Board, outcomes: &[Outcome]) -> Result<[PathBuf; 2]> {
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let stem = if board == Board::default() { String::new() } else { format!("-{}", board.name()) };
    let paths = ["json", "html"].map(|kind| folder.join(format!("bench-media{stem}.{kind}")));
    for (path, text) in paths.iter().zip([json(outcomes)?, page::page(outcomes)?]) {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

/// Writes a trace for each cell that tells who ran when; their paths.
///
/// # Errors
/// A file cannot be written.
pub(super) fn traces(outcomes: &[Outcome]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for Outcome { cell, run } in outcomes {
        if let Ok(run) = run {
            let path = paths::reports().join(format!("bench-media-{}.trace.json", cell.name()));
            std::fs::write(&path, perfetto::trace(run)?).with_context(|| format!("cannot write {}", path.display()))?;
            paths.push(path);
        }
    }
    Ok(paths)
}
