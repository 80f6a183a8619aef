//! `cargo xtask bench io`: what a stock guest's requests to its disk and its network cost, by the same program in the same
//! kernel: without a hypervisor through virtio, through the I/O domain, and on the peer through its domain 0. What is counted is
//! what the guest, the hypervisor and the back end need together.
//!
//! Disks: the clock is one for all levels, and there is no idle time, as the emulated disk answers within the instruction that
//! asks it, so that somebody always has something to do.
//!
//! Networks: the counterpart is a server on this host, which costs the machine nothing, behind the emulator's translation of
//! addresses. While its answers are under way the machine is idle, and how long is not ours to say. So instructions are counted,
//! not time: the emulator knows how many all CPUs have executed, and the program asks the counterpart for that number. What
//! comes from the host comes in bursts, one each 10 ms of virtual time, with all that the host answered to the last one, a
//! window of TCP or 32 packets; so the machine does the same in each run, if the host is not 10 ms late. No offload is
//! measured but that of guest and back end between themselves: behind this network card nobody cuts large packets or makes
//! checksums. The host acknowledges each segment by itself.

mod instructions;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use linux_programs::counterpart::Counterpart;
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
use crate::scenario::{self, HOST, Scenario};
use crate::{paths, setup};
use instructions::Instructions;

/// What is measured, and the peer's figures.
const TABLE: &str = include_str!("io.toml");
/// What a request to a disk may cost of the peer's, percent.
const SHARE: u64 = 60;
/// What a network shall do of what it does without a hypervisor, percent.
const NETWORK_SHARE: u64 = 70;

/// Options of `cargo xtask bench io`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure the peer too, Debian's Xen 4.17 with a domain 0, instead of quoting it
    #[arg(long)]
    peer: bool,
    /// Measure only one of the columns, and print its figures
    #[arg(long, value_enum, conflicts_with = "peer")]
    only: Option<Column>,
    /// Measure only one of the parts
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Print the report for tools instead
    #[arg(long, conflicts_with = "only")]
    json: bool,
}

/// Who serves the device.
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

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The disk
    Disk,
    /// The network card
    Network,
}

impl Part {
    /// Its machine, in `tests/qemu/bench`.
    fn scenario(self) -> Result<Scenario> {
        let name = match self {
            Self::Disk => "io",
            Self::Network => "net",
        };
        scenario::single(&paths::root().join("tests/qemu/bench"), name)
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Unit {
    /// Instructions a request: less is better.
    #[default]
    Instructions,
    /// Bytes in a million instructions: more is better.
    BytesPerMillion,
}

/// A kind of request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As the measuring program prints it.
    name: String,
    /// For people.
    what: String,
    #[serde(default)]
    unit: Unit,
    /// The peer's figure, if it was ever measured.
    peer: Option<u64>,
}

#[derive(Deserialize)]
struct Rows {
    disk: Vec<Row>,
    network: Vec<Row>,
}

impl Rows {
    fn read() -> Result<Self> {
        toml::from_str(TABLE).context("bench/io.toml")
    }

    fn of(&self, part: Part) -> &[Row] {
        match part {
            Part::Disk => &self.disk,
            Part::Network => &self.network,
        }
    }
}

/// A row's figures.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
struct Figure {
    unit: Unit,
    bare: u64,
    ours: u64,
    goal: u64,
    peer: Option<u64>,
}

impl Figure {
    fn reaches_its_goal(&self) -> bool {
        match self.unit {
            Unit::Instructions => self.ours <= self.goal,
            Unit::BytesPerMillion => self.ours >= self.goal,
        }
    }
}

/// Requests, bytes and instructions by the name of their kind.
type Measured = BTreeMap<String, [u64; 3]>;

/// Runs the command.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(super) fn main(args: &Args) -> Result<()> {
    qemu::watch_interrupts();
    let rows = Rows::read()?;
    setup::ensure(&setup::for_runs(Board::QemuVirt))?;
    let built = build::everything(Board::QemuVirt)?;
    let qemu = Qemu::find(Board::QemuVirt)?;
    let mut figures = Vec::new();
    for part in [Part::Disk, Part::Network].into_iter().filter(|part| args.part.is_none_or(|only| only == *part)) {
        let (scenario, rows) = (part.scenario()?, rows.of(part));
        let measure = |column| measure(column, &qemu, &scenario, &built);
        if let Some(column) = args.only {
            let measured = measure(column)?;
            for row in rows {
                println!("{:<16} {:>9}", row.name, grouped(row.figure(&measured)?));
            }
            continue;
        }
        let (bare, ours) = (measure(Column::Bare)?, measure(Column::Ours)?);
        let peer = args.peer.then(|| measure(Column::Peer)).transpose()?;
        figures.extend(together(part, rows, &bare, &ours, peer.as_ref())?);
    }
    if args.only.is_some() {
        return Ok(());
    }
    let (path, json) = write(&figures)?;
    if args.json {
        print!("{json}");
        return Ok(());
    }
    print!("{}", table(&figures, Paint::stdout()));
    let origin = if args.peer { "measured in this run" } else { "quoted" };
    let missed = figures.iter().filter(|(_, figure)| !figure.reaches_its_goal()).count();
    println!("{missed} of {} rows miss their goal; peer: Xen 4.17, {origin}", figures.len());
    println!("report: {}", paths::shown(&path));
    Ok(())
}

/// Runs the machine under one hypervisor, or under none.
fn measure(column: Column, qemu: &Qemu, scenario: &Scenario, built: &Built) -> Result<Measured> {
    eprintln!("measures requests: {}, {}", scenario.name(), column.name());
    let folder = paths::target().join("bench/io").join(column.name());
    let instructions = Arc::new(Instructions::default());
    let (count, found) = (instructions.clone(), instructions);
    let counterpart = Counterpart::start(Arc::new(move || count.count()))?;
    let mut scenario = scenario.clone();
    for guest in scenario.guests.iter_mut().filter(|guest| !guest.nics.is_empty()) {
        guest.bootargs += &format!(" mk.host={HOST}:{}", counterpart.address().port());
    }
    let mut machine = match column.whose() {
        Whose::Nobody => Machine::bare(qemu, &scenario, Clock::Instructions, &folder)?,
        whose => Machine::under(whose, qemu, &scenario, built, Clock::Instructions, &folder)?,
    };
    machine.at_monitor(move |place| found.found(place));
    let session = machine.run(&mut |_, _| {})?;
    let measured = check(&session, true).and_then(|()| requests(&session));
    measured.with_context(|| format!("the log is {}", paths::shown(&session.log)))
}

/// What was measured of each kind.
fn requests(session: &Session) -> Result<Measured> {
    let mut measured = Measured::new();
    for said in &session.said {
        if let Event::Io { name, requests, bytes, ns } = &said.event {
            ensure!(*requests > 0 && *ns > 0, "`{name}` was measured by no request");
            measured.insert(name.clone(), [*requests, *bytes, *ns]);
        }
    }
    Ok(measured)
}

impl Row {
    /// Its figure, of what was measured.
    fn figure(&self, measured: &Measured) -> Result<u64> {
        let measured = measured.get(&self.name).with_context(|| format!("nobody measured `{}`", self.name))?;
        let [requests, bytes, instructions] = *measured;
        Ok(match self.unit {
            Unit::Instructions => instructions / requests,
            Unit::BytesPerMillion => bytes * 1_000_000 / instructions,
        })
    }

    /// What ours shall be.
    ///
    /// # Errors
    /// That depends on the peer, which was not measured.
    fn goal(&self, part: Part, bare: u64, peer: Option<u64>) -> Result<u64> {
        Ok(match (part, self.unit) {
            (Part::Disk, _) => {
                peer.with_context(|| format!("`{}` has no figure of the peer's", self.name))? * SHARE / 100
            }
            (Part::Network, Unit::BytesPerMillion) => bare * NETWORK_SHARE / 100,
            (Part::Network, Unit::Instructions) => bare * 100 / NETWORK_SHARE,
        })
    }
}

/// Each row with its figures; the peer's are quoted where it has not been measured.
fn together(
    part: Part,
    rows: &[Row],
    bare: &Measured,
    ours: &Measured,
    peer: Option<&Measured>,
) -> Result<Vec<(Row, Figure)>> {
    let figure = |row: &Row| {
        let peer = peer.map_or(Ok(row.peer), |peer| row.figure(peer).map(Some))?;
        let (bare, ours) = (row.figure(bare)?, row.figure(ours)?);
        Ok((row.clone(), Figure { unit: row.unit, bare, ours, goal: row.goal(part, bare, peer)?, peer }))
    };
    rows.iter().map(figure).collect()
}

/// Writes the report for tools; where it is, and its text.
fn write(figures: &[(Row, Figure)]) -> Result<(PathBuf, String)> {
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("bench-io.json");
    let json: BTreeMap<&str, Figure> = figures.iter().map(|(row, figure)| (row.name.as_str(), *figure)).collect();
    let text = serde_json::to_string_pretty(&json)? + "\n";
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, text))
}

fn table(figures: &[(Row, Figure)], paint: Paint) -> String {
    let head = ["instructions a request", "bare virtio", "ours", "goal", "peer"].map(str::to_owned).to_vec();
    let row = |(row, figure): &(Row, Figure)| {
        let Figure { bare, ours, goal, peer, .. } = *figure;
        let peer = peer.map_or_else(|| "-".to_owned(), grouped);
        [vec![row.what.clone()], [bare, ours, goal].map(grouped).to_vec(), vec![peer]].concat()
    };
    let rows: Vec<Vec<String>> = [head].into_iter().chain(figures.iter().map(row)).collect();
    aligned(&rows, paint)
}

#[cfg(test)]
mod tests {
    use super::{Figure, Measured, Part, Rows, Unit, together};

    /// The same figure for each row.
    fn all(part: Part, insns: u64) -> Measured {
        Rows::read().unwrap().of(part).iter().map(|row| (row.name.clone(), [1, 1_000, insns])).collect()
    }

    #[test]
    fn the_goal_is_a_share_of_the_peer_as_it_was_measured() {
        let (part, rows) = (Part::Disk, Rows::read().unwrap().disk);
        let together = |ours: &Measured, peer: Option<&Measured>| together(part, &rows, &all(part, 1), ours, peer);
        let quoted = together(&all(part, 2), None).unwrap();
        let (unit, peer) = (Unit::Instructions, rows[0].peer);
        assert_eq!(quoted[0].1, Figure { unit, bare: 1, ours: 2, goal: peer.unwrap() * 3 / 5, peer });
        let measured = together(&all(part, 2), Some(&all(part, 1_000))).unwrap();
        assert!(measured.iter().all(|(_, figure)| (figure.goal, figure.peer) == (600, Some(1_000))));
        let mut ours = all(part, 2);
        ours.remove("read-128k");
        let error = together(&ours, None).unwrap_err().to_string();
        assert!(error.contains("`read-128k`"), "{error}");
    }

    #[test]
    fn a_network_is_compared_to_the_bare_one() {
        let (part, rows) = (Part::Network, Rows::read().unwrap().network);
        let reached = |insns: u64| {
            let figures = together(part, &rows, &all(part, 70_000), &all(part, insns), None).unwrap();
            assert_eq!((figures[0].1.unit, figures[0].1.bare), (Unit::BytesPerMillion, 1_000 * 1_000 / 70));
            figures.iter().all(|(_, figure)| figure.reaches_its_goal())
        };
        assert!(reached(99_900) && !reached(100_100));
        let none = together(part, &rows, &all(part, 70_000), &all(part, 100_100), None).unwrap();
        assert!(none.iter().all(|(_, figure)| !figure.reaches_its_goal()));
    }
}
