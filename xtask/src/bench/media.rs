//! `cargo xtask bench media`: the latency lab. The player with a known work in every period, and a probe that wakes up each
//! millisecond, under each scheduler beside each load, on one CPU and on two; the peer's schedulers beside ours, under the
//! same files. Time is virtual, so that a figure is the same in every run of the same seed.

mod against;
mod cell;
mod cyclictest;
mod measured;
mod page;
mod perfetto;
mod promise;
mod report;
mod share;
mod table;
mod work;

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use cell::{Cell, Load, Sched};
use measured::Measured;
use promise::Verdict;

use crate::board::Board;
use crate::build::{self, Built, Form};
use crate::compose::Whose;
use crate::console::Paint;
use crate::progress::Steps;
use crate::qemu::{self, Clock, Qemu};
use crate::report::Figures;
use crate::run::session::{Machine, Session};
use crate::scenario::Scenario;
use crate::{paths, setup};

/// Options of `cargo xtask bench media`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Schedulers; all of ours if absent
    #[arg(long, value_enum, value_delimiter = ',')]
    sched: Vec<Sched>,
    /// Loads; all if absent
    #[arg(long, value_enum, value_delimiter = ',')]
    load: Vec<Load>,
    /// Numbers of CPUs
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u32).range(1..=2))]
    cpus: Vec<u32>,
    /// Seconds of virtual time that the player plays; figures to quote have 10 or more
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The board; x86 is a PC with AMD-V
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// Where in their periods the player and the probe start
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also the peer's schedulers: the same guests on Debian's Xen 4.17, under its credit and credit2
    #[arg(long)]
    peer: bool,
    /// In place of the player: Debian's cyclictest in Linux, for so many seconds of virtual time [60 if no number is said];
    /// without --sched under `client` and `reserve`, without --load beside `hogs`, and writes bench-cyclictest.json
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", conflicts_with = "trace")]
    cyclictest: Option<u64>,
    /// Also write target/reports/bench-media-CELL.trace.json, which Perfetto (ui.perfetto.dev) opens
    #[arg(long)]
    trace: bool,
}

/// A cell and what became of it.
struct Outcome {
    cell: Cell,
    /// The figures, or why there are none.
    run: Result<Run, Vec<String>>,
}

/// A cell that was measured.
struct Run {
    measured: Measured,
    verdict: Verdict,
    /// For who ran when.
    figures: Figures,
    /// The emulator's command.
    command: String,
}

impl Outcome {
    fn verdict(&self) -> Option<&Verdict> {
        self.run.as_ref().ok().map(|run| &run.verdict)
    }

    /// Why it is not good, a sentence each.
    fn reasons(&self) -> &[String] {
        match &self.run {
            Ok(Run { verdict: Verdict::Broken(reasons), .. }) | Err(reasons) => reasons,
            Ok(_) => &[],
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A build that fails, a cell that gives no figures, or a promise that is not kept.
pub(super) fn main(args: &Args) -> Result<()> {
    qemu::watch_interrupts();
    let board = args.board;
    ensure!(
        board == Board::QemuVirt || args.cyclictest.is_none() && !args.scheds(&[]).into_iter().any(Sched::is_peers),
        "the peer's schedulers and cyclictest are measured on qemu-virt only"
    );
    setup::ensure(&setup::for_runs(board))?;
    let (built, qemu) = (build::some(board, &args.forms())?, Qemu::find(board)?);
    if let Some(seconds) = args.cyclictest {
        return run_cyclictest(&args.rows(seconds), &qemu, &built);
    }
    let (cells, mut outcomes) = (args.cells(), Vec::new());
    {
        let steps = Steps::new(cells.len());
        for cell in cells {
            let outcome = steps.step(&cell.name(), || Ok(run(cell, &qemu, &built)))?;
            if qemu::interrupted() {
                break;
            }
            outcomes.push(outcome);
        }
    }
    let [json, page] = report::write(board, &outcomes)?;
    if args.trace {
        for path in report::traces(&outcomes)? {
            println!("trace: {}", paths::shown(&path));
        }
    }
    print!("{}", table::table(&outcomes, Paint::stdout()));
    println!("report: {} and {}", paths::shown(&json), paths::shown(&page));
    ensure!(!qemu::interrupted(), "interrupted: the reports have the cells before that");
    let bad = outcomes.iter().filter(|outcome| !outcome.reasons().is_empty()).count();
    if bad > 0 {
        bail!("{bad} of {} cells keep no promise or have no figures", outcomes.len());
    }
    Ok(())
}

impl Args {
    fn cells(&self) -> Vec<Cell> {
        let scheds = self.scheds(&Sched::ours());
        let loads = if self.load.is_empty() { Load::value_variants() } else { &self.load };
        Cell::all(&scheds, loads, &self.cpus, self.seconds, self.seed, self.board)
    }

    fn rows(&self, seconds: u64) -> Vec<cyclictest::Row> {
        let loads = if self.load.is_empty() { &[Load::Hogs] } else { &self.load[..] };
        let cells =
            Cell::all(&self.scheds(&[Sched::Client, Sched::Reserve]), loads, &self.cpus, seconds, 0, self.board);
        let row = |Cell { sched, load, cpus, seconds, .. }| cyclictest::Row { sched, load, cpus, seconds };
        cells.into_iter().map(row).collect()
    }

    /// The builds of the hypervisor that it runs.
    fn forms(&self) -> Vec<Form> {
        let scheds: Vec<Sched> = match self.cyclictest {
            Some(seconds) => self.rows(seconds).iter().map(|row| row.sched).collect(),
            None => self.cells().iter().map(|cell| cell.sched).collect(),
        };
        let form = |sched: Sched| if sched.is_for_comparison() { Form::Comparison } else { Form::Usual };
        scheds.into_iter().map(form).collect()
    }

    /// Those that are said, or else `usual` ones.
    fn scheds(&self, usual: &[Sched]) -> Vec<Sched> {
        let said = if self.sched.is_empty() { usual } else { &self.sched };
        let peers = if self.peer { &Sched::PEERS[..] } else { &[] };
        [said, peers].concat()
    }
}

/// Measures with cyclictest.
fn run_cyclictest(rows: &[cyclictest::Row], qemu: &Qemu, built: &Built) -> Result<()> {
    let mut measured = Vec::new();
    {
        let steps = Steps::new(rows.len());
        for row in rows {
            measured.push(steps.step(&row.name(), || Ok(row.measure(qemu, built)))?);
            ensure!(!qemu::interrupted(), "interrupted");
        }
    }
    let bad = cyclictest::tell(rows, &measured, Paint::stdout())?;
    ensure!(bad == 0, "{bad} of {} rows keep no promise or have no figures", rows.len());
    Ok(())
}

/// Measures a cell; what goes wrong is its outcome, and the others are measured nevertheless.
fn run(cell: Cell, qemu: &Qemu, built: &Built) -> Outcome {
    let run = measure(&cell, qemu, built).unwrap_or_else(|error| Err(vec![format!("{error:#}")]));
    Outcome { cell, run }
}

/// Runs a scenario, given as the text of its file, on the hypervisor whose scheduler this is.
fn play(sched: Sched, name: &str, text: &str, qemu: &Qemu, built: &Built) -> Result<(Scenario, Session)> {
    let folder = paths::target().join("bench/media");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let scenario = Scenario::read(&path)?.pop().context("the file is one scenario")?;
    let whose = if sched.is_peers() { Whose::Peers } else { Whose::Ours };
    let session = Machine::under(whose, qemu, &scenario, built, Clock::Instructions, &folder)?.run(&mut |_, _| {})?;
    Ok((scenario, session))
}

fn measure(cell: &Cell, qemu: &Qemu, built: &Built) -> Result<Result<Run, Vec<String>>> {
    let (scenario, session) = play(cell.sched, &cell.name(), &cell.scenario(), qemu, built)?;
    Ok(match Measured::new(cell, &session) {
        Ok(measured) => {
            let verdict = Verdict::of(cell, &measured);
            let figures = Figures::new(&session, &scenario, &[]);
            Ok(Run { measured, verdict, figures, command: session.command })
        }
        Err(mut failures) => {
            failures.push(format!("log: {}", paths::shown(&session.log)));
            Err(failures)
        }
    })
}

#[cfg(test)]
mod tests;
