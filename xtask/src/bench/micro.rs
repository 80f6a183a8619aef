//! `cargo xtask bench micro`: the guest `measure` counts instructions, a stock kernel says when its first program came, and
//! the files have their sizes; this puts them together to a table, a file for tools, and a page. The peer's figures are
//! quoted, or measured in the same run by the same guests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{page, x86};
use crate::board::Board;
use crate::build::{self, Built, Form};
use crate::compose::Whose;
use crate::console::Paint;
use crate::events::{Event, Source};
use crate::qemu::{self, Clock, Qemu};
use crate::report::{aligned, grouped};
use crate::run::session::{Ended, Machine, Session};
use crate::scenario::{self, End, Vendor};
use crate::{paths, peer, setup};

/// The peer's figures and the goals.
const TABLE: &str = include_str!("micro.toml");
/// The machines that are measured, in `tests/qemu/bench`. The first says when a domain is made, which others build on.
const MACHINES: [&str; 6] = ["alone", "domains", "domains-2", "grants", "processors", LAST];
/// The one that a stock kernel starts.
const LAST: &str = "init";
/// From power-on to the making of the first domain: no row, but the zero of its clock.
const MADE: &str = "domain_made";
/// Nanoseconds, which are instructions, of a tick of the counter (62.5 MHz).
const TICK: u64 = 16;

/// Options of `cargo xtask bench micro`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure the peer too, Debian's Xen 4.17 for arm64, instead of quoting it
    #[arg(long)]
    peer: bool,
    /// Also boot the kernel of the row `init` on the bare machine, without any hypervisor
    #[arg(long)]
    bare: bool,
    /// The board
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["peer", "bare"])]
    board: Board,
    /// On x86: whose CPU
    #[arg(long, value_enum, default_value = "amd")]
    vendor: Vendor,
}

/// What is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// As the measuring guest prints it.
    pub(super) name: String,
    /// For people.
    pub(super) what: String,
    /// What is counted; instructions if absent.
    pub(super) unit: Option<String>,
    /// What the peer needs.
    pub(super) peer: u64,
    /// What is wanted.
    pub(super) goal: u64,
    /// Why it cannot be measured on the peer.
    not_on_peer: Option<String>,
}

impl Row {
    /// The operation, with its unit where that is no instruction.
    pub(super) fn title(&self) -> String {
        self.unit.as_ref().map_or_else(|| self.what.clone(), |unit| format!("{} ({unit})", self.what))
    }
}

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

/// A figure in `bench-micro.json`.
#[derive(Serialize)]
struct Figure {
    insns: u64,
    peer: u64,
    goal: u64,
}

type Measured = BTreeMap<String, u64>;

/// Runs the command.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(super) fn main(args: &Args) -> Result<()> {
    qemu::watch_interrupts();
    if args.board == Board::X86 {
        return x86::run(args.vendor);
    }
    let mut rows = toml::from_str::<Rows>(TABLE).context("bench/micro.toml")?.row;
    setup::ensure(&setup::for_runs(Board::QemuVirt))?;
    let built = build::everything(Board::QemuVirt)?;
    let qemu = Qemu::find(Board::QemuVirt)?;
    let bare = args.bare.then(|| bare(&qemu)).transpose()?;
    let ours = all(Whose::Ours, &qemu, &built)?;
    let quoted = if args.peer { replace(&mut rows, &all(Whose::Peers, &qemu, &built)?) } else { Vec::new() };
    let figures = together(rows, &ours)?;
    let origin = if args.peer { "Xen 4.17, measured in this run" } else { "Xen 4.17, quoted" };
    let [json, html] = write(&figures, origin)?;
    print!("{}", table(&figures, Paint::stdout()));
    for (name, why) in quoted {
        println!("not measured on the peer, but quoted: {name}: {why}");
    }
    if let Some(insns) = bare {
        println!("{LAST} without any hypervisor: {}", grouped(insns));
    }
    let above = figures.iter().filter(|(row, insns)| *insns > row.goal).count();
    println!("{above} of {} rows above goal; peer: {origin}", figures.len());
    println!("report: {} and {}", paths::shown(&json), paths::shown(&html));
    Ok(())
}

/// All figures under one hypervisor.
fn all(whose: Whose, qemu: &Qemu, built: &Built) -> Result<Measured> {
    let mut measured = Measured::new();
    for machine in MACHINES {
        measure(whose, qemu, machine, built, &mut measured)?;
    }
    let image = if whose == Whose::Ours { built.hypervisor(Form::Usual)[0].clone() } else { peer::image()? };
    let bytes = std::fs::metadata(&image).with_context(|| format!("cannot read {}", image.display()))?.len();
    measured.insert("image_bytes".to_owned(), bytes);
    measured.remove(MADE);
    Ok(measured)
}

/// Runs one machine and collects what its guests print.
fn measure(whose: Whose, qemu: &Qemu, name: &str, built: &Built, measured: &mut Measured) -> Result<()> {
    let mut scenario = scenario::single(&paths::root().join("tests/qemu/bench"), name)?;
    let mut folder = paths::target().join("bench");
    if whose == Whose::Peers {
        folder.push("peer");
        // It goes on when its guests have ended.
        if scenario.end.event.is_none() {
            scenario.end = End { event: Some("done".to_owned()), ..End::default() };
        }
    }
    eprintln!("measures {name}{}", if whose == Whose::Peers { " on the peer" } else { "" });
    let machine = Machine::under(whose, qemu, &scenario, built, Clock::Instructions, &folder)?;
    let session = machine.run(&mut |_, _| {})?;
    check(&session, scenario.end.event.is_some())
        .with_context(|| format!("machine `{name}`; log: {}", paths::shown(&session.log)))?;
    for said in &session.said {
        match &said.event {
            Event::Micro { name, insns } => {
                measured.entry(name.clone()).or_insert(*insns);
            }
            // To the instruction, and so before the guest's own figure, which is all that there is of the peer.
            Event::FirstGuest { ns } if name == MACHINES[0] => {
                measured.insert("first_guest".to_owned(), *ns);
            }
            Event::Boot { ram_bytes, .. } if name == MACHINES[0] && said.source == Source::Hypervisor => {
                measured.insert("hypervisor_bytes".to_owned(), *ram_bytes);
            }
            Event::Linux { counter: Some(ticks), .. } => {
                let made = measured.get(MADE).context("nobody said when the domain was made")?;
                measured.insert(LAST.to_owned(), made + ticks * TICK);
            }
            _ => {}
        }
    }
    Ok(())
}

/// From power-on to the kernel's first program where there is no hypervisor: what the best one could reach.
fn bare(qemu: &Qemu) -> Result<u64> {
    let scenario = scenario::single(&paths::root().join("tests/qemu/bench"), LAST)?;
    eprintln!("measures {LAST} on the bare machine");
    let folder = paths::target().join("bench/bare");
    let session = Machine::bare(qemu, &scenario, Clock::Instructions, &folder)?.run(&mut |_, _| {})?;
    check(&session, true).with_context(|| format!("the bare machine; log: {}", paths::shown(&session.log)))?;
    let counter = session.said.iter().find_map(|said| match said.event {
        Event::Linux { counter, .. } => counter,
        _ => None,
    });
    // The counter starts at power-on.
    Ok(counter.context("the kernel's first program said no time")? * TICK)
}

/// It ended as it should, and said nothing that is not understood.
pub(super) fn check(session: &Session, by_event: bool) -> Result<()> {
    if let Some(problem) = session.problems.first() {
        bail!("{problem}");
    }
    let wanted = if by_event { Ended::Event } else { Ended::PoweredOff };
    ensure!(session.ended == wanted, "it did not end well: {:?}", session.ended);
    Ok(())
}

/// Puts what was measured on the peer in the place of what is quoted; the rows that stay quoted, and why.
fn replace(rows: &mut [Row], measured: &Measured) -> Vec<(String, String)> {
    let mut quoted = Vec::new();
    for row in rows {
        match measured.get(&row.name) {
            Some(insns) => row.peer = *insns,
            None => {
                let why = row.not_on_peer.clone();
                quoted.push((row.name.clone(), why.unwrap_or_else(|| "its guest printed no figure".to_owned())));
            }
        }
    }
    quoted
}

/// Each row with what was measured.
fn together(rows: Vec<Row>, measured: &Measured) -> Result<Vec<(Row, u64)>> {
    if let Some(name) = measured.keys().find(|name| !rows.iter().any(|row| row.name == **name)) {
        bail!("the measuring guest printed `{name}`, which bench/micro.toml does not know");
    }
    let figure = |row: Row| match measured.get(&row.name) {
        Some(insns) => Ok((row, *insns)),
        None => {
            bail!("nobody measured `{}`; the logs are in {}", row.name, paths::shown(&paths::target().join("bench")))
        }
    };
    rows.into_iter().map(figure).collect()
}

fn write(figures: &[(Row, u64)], origin: &str) -> Result<[PathBuf; 2]> {
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let paths = [folder.join("bench-micro.json"), folder.join("bench-micro.html")];
    let named =
        |(row, insns): &(Row, u64)| (row.name.clone(), Figure { insns: *insns, peer: row.peer, goal: row.goal });
    let json: BTreeMap<String, Figure> = figures.iter().map(named).collect();
    let texts = [serde_json::to_string_pretty(&json)? + "\n", page::page(figures, origin)];
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

/// Reached goals are green, others red.
fn table(figures: &[(Row, u64)], paint: Paint) -> String {
    let head = ["instructions", "ours", "goal", "peer"].map(str::to_owned).to_vec();
    let row = |(row, insns): &(Row, u64)| vec![row.title(), grouped(*insns), grouped(row.goal), grouped(row.peer)];
    let rows: Vec<Vec<String>> = [head].into_iter().chain(figures.iter().map(row)).collect();
    let text = aligned(&rows, Paint::off());
    let mut lines = text.lines();
    let mut painted = lines.next().map(|line| paint.bold(line) + "\n").unwrap_or_default();
    for (line, (row, insns)) in lines.zip(figures) {
        painted += &if *insns <= row.goal { paint.good(line) } else { paint.bad(line) };
        painted.push('\n');
    }
    painted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Row, Rows, TABLE, page, replace, table, together};
    use crate::console::Paint;

    fn rows() -> Vec<Row> {
        toml::from_str::<Rows>(TABLE).unwrap().row
    }

    fn measured() -> BTreeMap<String, u64> {
        rows().iter().zip(1..).map(|(row, number)| (row.name.clone(), number * 1_000)).collect()
    }

    #[test]
    fn every_row_has_its_figure() {
        let figures = together(rows(), &measured()).unwrap();
        assert_eq!(figures[2].1, 3_000);
        let text = table(&figures, Paint::off());
        assert_eq!(text.lines().count(), figures.len() + 1);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains("1,000") && line.ends_with("420")));
        assert!(page::page(&figures, "quoted").contains("var(--bad)"));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let mut measured = measured();
        measured.insert("surprise".into(), 1);
        assert!(together(rows(), &measured).unwrap_err().to_string().contains("`surprise`"));
        measured.remove("surprise");
        measured.remove("domain_switch");
        assert!(together(rows(), &measured).unwrap_err().to_string().contains("`domain_switch`"));
    }

    #[test]
    fn what_the_peer_cannot_show_is_said_by_name() {
        let (mut rows, mut measured) = (rows(), measured());
        measured.remove("hypervisor_bytes");
        let quoted = replace(&mut rows, &measured);
        assert_eq!(rows[2].peer, 3_000);
        assert!(quoted.len() == 1 && quoted[0].0 == "hypervisor_bytes", "{quoted:?}");
    }
}
