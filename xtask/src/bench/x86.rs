//! `cargo xtask bench micro --board x86`: what a bare guest's operations cost on AMD-V or VT-x. Goals are set for four of
//! them, and of the peer two are known.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::micro::check;
use crate::board::Board;
use crate::build;
use crate::console::Paint;
use crate::events::{Event, Source};
use crate::qemu::{Clock, Qemu};
use crate::report::{aligned, grouped};
use crate::run::session::Machine;
use crate::scenario::{self, End, Vendor};
use crate::{paths, setup};

const TABLE: &str = include_str!("x86.toml");
/// The machines that are measured, in `tests/qemu/bench`; they are ARM's, on another board.
const MACHINES: [&str; 3] = ["alone", "domains", "grants"];
/// What each has, MiB.
const MEMORY: u64 = 256;
/// What the hypervisor keeps of it beside the guests, the most that any of them shows.
const MEMORY_ROW: &str = "hypervisor_bytes";

#[derive(Deserialize)]
struct Rows {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// As the measuring guest prints it.
    name: String,
    /// For people.
    what: String,
    /// What is wanted.
    goal: Option<u64>,
    /// What the peer needs.
    peer: Option<u64>,
}

/// A figure in `bench-micro-VENDOR.json`.
#[derive(Serialize)]
struct Figure {
    insns: u64,
    goal: Option<u64>,
    peer: Option<u64>,
}

/// Measures, and prints and writes what came out.
///
/// # Errors
/// A build that fails, a machine that does not end well, or a figure that nobody printed.
pub(super) fn run(vendor: Vendor) -> Result<()> {
    setup::ensure(&setup::for_runs(Board::X86))?;
    let rows = rows()?;
    let (built, qemu) = (build::everything(Board::X86)?, Qemu::find(Board::X86)?);
    let mut measured = BTreeMap::new();
    for name in MACHINES {
        let mut scenario = scenario::single(&paths::root().join("tests/qemu/bench"), name)?;
        scenario.machine.board = Board::X86;
        scenario.machine.memory_mib = MEMORY;
        scenario.machine.set_cpu(vendor.cpu());
        // What the hypervisor says at its end takes a serial port of 115,200 baud longer than all the rest.
        scenario.end = End { event: Some("done".to_owned()), ..End::default() };
        scenario.guests.iter_mut().for_each(|guest| guest.vpl011 = false);
        eprintln!("measures {name}");
        let folder = paths::target().join("bench/x86");
        let session = Machine::new(&qemu, &scenario, &built, Clock::Instructions, &folder)?.run(&mut |_, _| {})?;
        check(&session, true).with_context(|| format!("machine `{name}`; log: {}", paths::shown(&session.log)))?;
        for said in &session.said {
            let (name, value) = match &said.event {
                Event::Micro { name, insns } => (name.as_str(), *insns),
                Event::Boot { ram_bytes, .. } if said.source == Source::Hypervisor => (MEMORY_ROW, *ram_bytes),
                _ => continue,
            };
            let figure = measured.entry(name.to_owned()).or_insert(value);
            *figure = value.max(*figure);
        }
    }
    let figures = together(&rows, &measured)?;
    print!("{}", table(&rows, &figures));
    let missed = rows.iter().filter(|row| row.goal.is_some_and(|goal| figures[&row.name].insns > goal)).count();
    println!("{missed} of {} goals missed", rows.iter().filter(|row| row.goal.is_some()).count());
    let path = paths::reports().join(format!("bench-micro-{}.json", vendor.name()));
    std::fs::create_dir_all(paths::reports())?;
    std::fs::write(&path, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("report: {}", paths::shown(&path));
    Ok(())
}

fn rows() -> Result<Vec<Row>> {
    Ok(toml::from_str::<Rows>(TABLE).context("bench/x86.toml")?.row)
}

/// Each row's figure, by its name.
fn together(rows: &[Row], measured: &BTreeMap<String, u64>) -> Result<BTreeMap<String, Figure>> {
    if let Some(name) = measured.keys().find(|name| !rows.iter().any(|row| row.name == **name)) {
        bail!("the measuring guest printed `{name}`, which bench/x86.toml does not know");
    }
    let figure = |row: &Row| match measured.get(&row.name) {
        Some(&insns) => Ok((row.name.clone(), Figure { insns, goal: row.goal, peer: row.peer })),
        None => bail!("nobody measured `{}`", row.name),
    };
    rows.iter().map(figure).collect()
}

fn table(rows: &[Row], figures: &BTreeMap<String, Figure>) -> String {
    let shown = |number: Option<u64>| number.map_or_else(String::new, grouped);
    let head = ["instructions", "ours", "goal", "peer"].map(str::to_owned).to_vec();
    let lines = rows.iter().map(|row| {
        let insns = figures.get(&row.name).map(|figure| figure.insns);
        vec![row.what.clone(), shown(insns), shown(row.goal), shown(row.peer)]
    });
    aligned(&[head].into_iter().chain(lines).collect::<Vec<_>>(), Paint::stdout())
}

#[cfg(test)]
mod tests {
    use super::{rows, table, together};

    #[test]
    fn every_row_has_its_figure_and_every_figure_its_row() {
        let rows = rows().unwrap();
        let mut measured = rows.iter().zip(1..).map(|(row, number)| (row.name.clone(), number * 1_000)).collect();
        let figures = together(&rows, &measured).unwrap();
        assert_eq!(figures[&rows[1].name].insns, 2_000);
        assert!(table(&rows, &figures).contains("5,490"));
        measured.insert("surprise".into(), 1);
        assert!(together(&rows, &measured).err().unwrap().to_string().contains("`surprise`"));
        measured.remove("surprise");
        measured.remove("cpuid");
        assert!(together(&rows, &measured).err().unwrap().to_string().contains("`cpuid`"));
    }
}
