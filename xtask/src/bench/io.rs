//! `cargo xtask bench io`: what a stock guest's requests to its disk cost, by the same program in the same kernel: without a
//! hypervisor through virtio, through the I/O domain, and on the peer through its domain 0. The clock is one for all levels, so
//! that a request costs what the guest, the hypervisor and the back end need together. Idle time would be counted too, but there
//! is none: the emulated disk answers within the instruction that asks it, so that somebody always has something to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::micro::check;
use crate::board::Board;
use crate::build::{self, Built};
use crate::compose::Whose;
use crate::console::Paint;
use crate::events::Event;
use crate::qemu::{self, Clock, Qemu};
use crate::report::{aligned, grouped};
use crate::run::session::{Machine, Session};
use crate::scenario::{self, Scenario};
use crate::{paths, setup};

/// What is measured, and the peer's figures.
const TABLE: &str = include_str!("io.toml");
/// What a request may cost of the peer's, percent.
const SHARE: u64 = 60;

/// Options of `cargo xtask bench io`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure the peer too, Debian's Xen 4.17 with a domain 0, instead of quoting it
    #[arg(long)]
    peer: bool,
    /// Measure only one of the columns, and print its figures
    #[arg(long, value_enum, conflicts_with = "peer")]
    only: Option<Column>,
}

/// Who serves the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Column {
    /// The emulated machine itself, through virtio
    Bare,
    /// The I/O domain
    Ours,
    /// Xen's domain 0
    Peer,
}

impl Column {
    fn whose(self) -> Whose {
        match self {
            Self::Bare => Whose::Nobody,
            Self::Ours => Whose::Ours,
            Self::Peer => Whose::Peers,
        }
    }

    /// For people, and the name of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Ours => "ours",
            Self::Peer => "peer",
        }
    }
}

/// A kind of request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As the measuring program prints it.
    name: String,
    /// For people.
    what: String,
    /// What one costs on the peer.
    peer: u64,
}

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

/// Instructions a request.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
struct Figure {
    bare: u64,
    ours: u64,
    goal: u64,
    peer: u64,
}

type Measured = BTreeMap<String, u64>;

/// Runs the command.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(super) fn main(args: &Args) -> Result<()> {
    qemu::watch_interrupts();
    let rows = toml::from_str::<Rows>(TABLE).context("bench/io.toml")?.row;
    setup::ensure(&setup::for_runs(Board::QemuVirt))?;
    let built = build::everything(Board::QemuVirt)?;
    let qemu = Qemu::find(Board::QemuVirt)?;
    let scenario = scenario::single(&paths::root().join("tests/qemu/bench"), "io")?;
    let measure = |column| measure(column, &qemu, &scenario, &built);
    if let Some(column) = args.only {
        for (name, insns) in measure(column)? {
            println!("{name:<12} {:>9}", grouped(insns));
        }
        return Ok(());
    }
    let (bare, ours) = (measure(Column::Bare)?, measure(Column::Ours)?);
    let peer = args.peer.then(|| measure(Column::Peer)).transpose()?;
    let figures = together(&rows, &bare, &ours, peer.as_ref())?;
    let path = write(&figures)?;
    print!("{}", table(&figures, Paint::stdout()));
    let origin = if args.peer { "measured in this run" } else { "quoted" };
    let above = figures.iter().filter(|(_, figure)| figure.ours > figure.goal).count();
    println!("{above} of {} rows above {SHARE} % of the peer; peer: Xen 4.17, {origin}", figures.len());
    println!("report: {}", paths::shown(&path));
    Ok(())
}

/// Runs the machine under one hypervisor, or under none.
fn measure(column: Column, qemu: &Qemu, scenario: &Scenario, built: &Built) -> Result<Measured> {
    eprintln!("measures requests: {}", column.name());
    let folder = paths::target().join("bench/io").join(column.name());
    let machine = match column.whose() {
        Whose::Nobody => Machine::bare(qemu, scenario, Clock::Instructions, &folder)?,
        whose => Machine::under(whose, qemu, scenario, built, Clock::Instructions, &folder)?,
    };
    let session = machine.run(&mut |_, _| {})?;
    let measured = check(&session, true).and_then(|()| requests(&session));
    measured.with_context(|| format!("the log is {}", paths::shown(&session.log)))
}

/// What one request of each kind cost.
fn requests(session: &Session) -> Result<Measured> {
    let mut measured = Measured::new();
    for said in &session.said {
        if let Event::Io { name, requests, ns, .. } = &said.event {
            ensure!(*requests > 0, "`{name}` was measured by no request");
            measured.insert(name.clone(), ns / requests);
        }
    }
    Ok(measured)
}

/// Each row with its figures; the peer's are quoted where it has not been measured.
fn together(rows: &[Row], bare: &Measured, ours: &Measured, peer: Option<&Measured>) -> Result<Vec<(Row, Figure)>> {
    let of = |measured: &Measured, row: &Row| {
        measured.get(&row.name).copied().with_context(|| format!("nobody measured `{}`", row.name))
    };
    let figure = |row: &Row| {
        let peer = peer.map_or(Ok(row.peer), |peer| of(peer, row))?;
        Ok((row.clone(), Figure { bare: of(bare, row)?, ours: of(ours, row)?, goal: peer * SHARE / 100, peer }))
    };
    rows.iter().map(figure).collect()
}

fn write(figures: &[(Row, Figure)]) -> Result<PathBuf> {
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("bench-io.json");
    let json: BTreeMap<&str, Figure> = figures.iter().map(|(row, figure)| (row.name.as_str(), *figure)).collect();
    let text = serde_json::to_string_pretty(&json)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn table(figures: &[(Row, Figure)], paint: Paint) -> String {
    let head = ["instructions a request", "bare virtio", "ours", "goal", "peer"].map(str::to_owned).to_vec();
    let row = |(row, figure): &(Row, Figure)| {
        let Figure { bare, ours, goal, peer } = *figure;
        [vec![row.what.clone()], [bare, ours, goal, peer].map(grouped).to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = [head].into_iter().chain(figures.iter().map(row)).collect();
    aligned(&rows, paint)
}

#[cfg(test)]
mod tests {
    use super::{Figure, Measured, Rows, TABLE, together};

    #[test]
    fn the_goal_is_a_share_of_the_peer_as_it_was_measured() {
        let rows = toml::from_str::<Rows>(TABLE).unwrap().row;
        let all = |insns: u64| rows.iter().map(|row| (row.name.clone(), insns)).collect::<Measured>();
        let quoted = together(&rows, &all(1), &all(2), None).unwrap();
        assert_eq!(quoted[0].1, Figure { bare: 1, ours: 2, goal: rows[0].peer * 3 / 5, peer: rows[0].peer });
        let measured = together(&rows, &all(1), &all(2), Some(&all(1_000))).unwrap();
        assert!(measured.iter().all(|(_, figure)| (figure.goal, figure.peer) == (600, 1_000)));
        let mut ours = all(2);
        ours.remove("read-128k");
        let error = together(&rows, &all(1), &ours, None).unwrap_err().to_string();
        assert!(error.contains("`read-128k`"), "{error}");
    }
}
