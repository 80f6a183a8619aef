//! `cargo xtask bench`: what operations cost, beside what they cost on the peer and what they shall cost. The guest
//! `measure` counts instructions; this puts its lines together to a table, a file for tools, and a page.

mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::build::{self, Built};
use crate::console::Paint;
use crate::events::Event;
use crate::paths;
use crate::qemu::{self, Clock, Qemu};
use crate::report::{aligned, grouped};
use crate::run::session::{Ended, Machine, Session};
use crate::scenario;

/// The peer's figures and the goals.
const TABLE: &str = include_str!("bench/micro.toml");
/// The machines that are measured, in `tests/qemu/bench`.
const MACHINES: [&str; 3] = ["alone", "domains", "processors"];

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What a guest's operations cost, in instructions.
    #[command(
        after_help = "Writes target/reports/bench-micro.json and target/reports/bench-micro.html. The status is 0 \
        whether goals are reached or not; SPECIFICATION.md and `cargo xtask size` hold the figures."
    )]
    Micro,
}

/// What is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As the measuring guest prints it.
    name: String,
    /// For people.
    what: String,
    /// Instructions on the peer.
    peer: u64,
    /// Instructions that are wanted.
    goal: u64,
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

/// Runs the command.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(crate) fn main(args: Args) -> Result<()> {
    match args.what {
        What::Micro => micro(),
    }
}

fn micro() -> Result<()> {
    qemu::watch_interrupts();
    let rows = toml::from_str::<Rows>(TABLE).context("bench/micro.toml")?.row;
    let built = build::everything()?;
    let qemu = Qemu::find()?;
    let mut measured = BTreeMap::new();
    for machine in MACHINES {
        measure(&qemu, machine, &built, &mut measured)?;
    }
    let figures = together(rows, &measured)?;
    let [json, html] = write(&figures)?;
    print!("{}", table(&figures, Paint::stdout()));
    let above = figures.iter().filter(|(row, insns)| *insns > row.goal).count();
    println!("{above} of {} rows above goal", figures.len());
    println!("report: {} and {}", paths::shown(&json), paths::shown(&html));
    Ok(())
}

/// Runs one machine and collects what its guests print.
fn measure(qemu: &Qemu, name: &str, built: &Built, measured: &mut BTreeMap<String, u64>) -> Result<()> {
    let scenario = scenario::single(&paths::root().join("tests/qemu/bench"), name)?;
    let machine = Machine::new(qemu, &scenario, built, Clock::Instructions, &paths::target().join("bench"))?;
    let session = machine.run(&mut |_, _| {})?;
    check(&session).with_context(|| format!("machine `{name}`; log: {}", paths::shown(&session.log)))?;
    for said in &session.said {
        match &said.event {
            Event::Micro { name, insns } => {
                measured.insert(name.clone(), *insns);
            }
            Event::FirstGuest { ns } if name == "alone" => {
                measured.insert("first_guest".to_owned(), *ns);
            }
            _ => {}
        }
    }
    Ok(())
}

fn check(session: &Session) -> Result<()> {
    if let Some(problem) = session.problems.first() {
        bail!("{problem}");
    }
    ensure!(session.ended == Ended::PoweredOff, "it did not power off: {:?}", session.ended);
    Ok(())
}

/// Each row with what was measured.
fn together(rows: Vec<Row>, measured: &BTreeMap<String, u64>) -> Result<Vec<(Row, u64)>> {
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

fn write(figures: &[(Row, u64)]) -> Result<[PathBuf; 2]> {
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let paths = [folder.join("bench-micro.json"), folder.join("bench-micro.html")];
    let named =
        |(row, insns): &(Row, u64)| (row.name.clone(), Figure { insns: *insns, peer: row.peer, goal: row.goal });
    let json: BTreeMap<String, Figure> = figures.iter().map(named).collect();
    let texts = [serde_json::to_string_pretty(&json)? + "\n", page::page(figures)];
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(paths)
}

/// Reached goals are green, others red.
fn table(figures: &[(Row, u64)], paint: Paint) -> String {
    let head = ["instructions", "ours", "goal", "peer"].map(str::to_owned).to_vec();
    let row = |(row, insns): &(Row, u64)| vec![row.what.clone(), grouped(*insns), grouped(row.goal), grouped(row.peer)];
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

    use super::{Row, Rows, TABLE, page, table, together};
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
        assert!(page::page(&figures).contains("var(--bad)"));
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
}
