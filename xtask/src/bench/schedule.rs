//! `cargo xtask bench schedule`: the scheduler in the simulator, at length: whether whoever is promised time gets it, what
//! admission costs, whether weights hold, and what it brings to hide from the tick.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::console::Paint;
use crate::report::{aligned, chart, document, grouped, section};
use crate::{paths, process};

/// What the simulator prints, as `bench-schedule.json` has it.
#[derive(Deserialize, Serialize)]
struct Figures {
    sets: Sets,
    bound: f64,
    acceptance: Vec<Point>,
    fairness: Vec<Fairness>,
    attack: Vec<Attack>,
    player: Vec<Player>,
    simulated_ns: u64,
}

/// Random sets that admission took in.
#[derive(Deserialize, Serialize)]
struct Sets {
    drawn: u64,
    admitted: u64,
    jobs: u64,
    missed: u64,
    first_missed: Option<u64>,
}

/// Random sets of one utilization; `early` ones have deadlines before the end of their periods.
#[derive(Deserialize, Serialize)]
struct Point {
    utilization: f64,
    early: bool,
    accepted: f64,
    missed: f64,
}

/// Hogs of random weights.
#[derive(Deserialize, Serialize)]
struct Fairness {
    scheduler: String,
    worst_error: f64,
    starved_ns: u64,
}

/// Sleeping just before the tick.
#[derive(Deserialize, Serialize)]
struct Attack {
    scheduler: String,
    hogs: usize,
    asleep_ns: u64,
    gain: f64,
}

/// A player that nothing is promised.
#[derive(Deserialize, Serialize)]
struct Player {
    scheduler: String,
    part: f64,
    hogs: usize,
    late: f64,
    latency_ns: u64,
}

/// Largest difference between what a hog gets and what its weight says, under `client`, of a CPU.
const FAIR: f64 = 0.01;
/// Most that hiding from the tick may bring under `client`, of a CPU.
const GAIN: f64 = 0.01;

/// Runs the command.
///
/// # Errors
/// The simulator does not build or run, or a promise is broken; the reports are there then.
pub(super) fn main() -> Result<()> {
    let mut simulator = process::cargo();
    simulator.args(["run", "--quiet", "--release", "--package", "simulate"]);
    eprintln!("simulates");
    let output = process::quiet(&mut simulator)?;
    let figures: Figures =
        serde_json::from_slice(&output.stdout).context("what the simulator prints is not understood")?;
    let folder = paths::reports();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (json, html) = (folder.join("bench-schedule.json"), folder.join("bench-schedule.html"));
    for (path, text) in [(&json, serde_json::to_string_pretty(&figures)? + "\n"), (&html, page(&figures)?)] {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{}", table(&figures));
    println!("report: {} and {}", paths::shown(&json), paths::shown(&html));
    let broken = broken(&figures);
    ensure!(broken.is_empty(), "broken promises:\n  {}", broken.join("\n  "));
    Ok(())
}

/// What is not as it must be.
fn broken(figures: &Figures) -> Vec<String> {
    let mut broken = Vec::new();
    let Sets { missed, jobs, first_missed, .. } = figures.sets;
    if missed != 0 {
        broken.push(format!("{missed} of {jobs} jobs of admitted sets were late, first in set {first_missed:?}"));
    }
    for fair in figures.fairness.iter().filter(|fair| fair.scheduler == "client" && fair.worst_error > FAIR) {
        broken.push(format!("a hog is {} away from what its weight says", percent(fair.worst_error)));
    }
    for attack in figures.attack.iter().filter(|attack| attack.scheduler == "client" && attack.gain > GAIN) {
        let (gain, hogs, asleep) = (percent(attack.gain), attack.hogs, attack.asleep_ns);
        broken.push(format!("hiding from the tick for {asleep} ns beside {hogs} hogs brings {gain}"));
    }
    broken
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// The most that hiding from the tick brings under each scheduler.
fn gains(figures: &Figures) -> BTreeMap<&str, f64> {
    let mut gains = BTreeMap::new();
    for attack in &figures.attack {
        let most: &mut f64 = gains.entry(attack.scheduler.as_str()).or_insert(f64::MIN);
        *most = most.max(attack.gain);
    }
    gains
}

fn rows(figures: &Figures) -> Vec<[String; 2]> {
    let Sets { drawn, admitted, jobs, missed, .. } = figures.sets;
    let seconds = figures.simulated_ns / 1_000_000_000;
    let mut rows = vec![
        ["simulated".to_owned(), format!("{} s", grouped(seconds))],
        [
            "sets of 1 to 20 servers: admitted of drawn".to_owned(),
            format!("{} of {}", grouped(admitted), grouped(drawn)),
        ],
        ["their jobs: late".to_owned(), format!("{missed} of {}", grouped(jobs))],
    ];
    for fair in &figures.fairness {
        let name = format!("{}: furthest from the weights", fair.scheduler);
        rows.push([name, format!("{}, longest wait {} ms", percent(fair.worst_error), fair.starved_ns / 1_000_000)]);
    }
    for (scheduler, gain) in gains(figures) {
        rows.push([format!("{scheduler}: hiding from the tick brings"), percent(gain)]);
    }
    for player in figures.player.iter().filter(|player| player.part <= 0.2001) {
        let name = format!("{}: player of {}, {} hogs: late", player.scheduler, percent(player.part), player.hogs);
        rows.push([name, format!("{}, longest wake-up {} us", percent(player.late), player.latency_ns / 1000)]);
    }
    rows
}

fn table(figures: &Figures) -> String {
    let head = ["experiment".to_owned(), "outcome".to_owned()];
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows(figures)).map(Into::into).collect();
    aligned(&rows, Paint::stdout())
}

fn page(figures: &Figures) -> Result<String> {
    let broken = broken(figures);
    let (class, text) =
        if broken.is_empty() { ("good", "all promises kept".to_owned()) } else { ("bad", broken.join("; ")) };
    let verdict = format!("<p class=\"verdict {class}\">{text}</p>");
    let line = |name, early: bool, marked| {
        let points = figures.acceptance.iter().filter(|point| point.early == early);
        let height = |point: &Point| if marked { point.missed } else { point.accepted };
        chart::Line { name, points: points.map(|point| (point.utilization, height(point))).collect(), marked }
    };
    let lines = [
        line("accepted", false, false),
        line("accepted, early deadlines", true, false),
        line("late if run regardless", false, true),
        line("late, early deadlines", true, true),
    ];
    let picture = chart::parts("what a set asks for, of a CPU", &lines)?;
    let note = format!(
        "200 random sets of 2 to 20 servers at each utilization. Admission takes in what asks for {} of a CPU at most, \
         counted by budget and deadline; so no set that it takes in is ever late, and of those with early deadlines it \
         refuses some that would not be.",
        percent(figures.bound)
    );
    let cells = rows(figures).into_iter().map(|[name, value]| format!("<tr><th>{name}</th><td>{value}</td></tr>"));
    let figures_table = format!("<div class=\"wide\"><table>{}</table></div>", cells.collect::<String>());
    let body = section("Admission", &note, &picture)
        + &section("Figures", "Nothing costs time in the simulator but the guests' own work.", &figures_table);
    Ok(document("bench schedule", &verdict, &body))
}

#[cfg(test)]
mod tests {
    use super::{Attack, Fairness, Figures, Sets, broken};

    #[test]
    fn a_miss_an_unfair_share_and_a_gain_are_broken_promises() {
        let attack = |scheduler: &str, gain| Attack { scheduler: scheduler.to_owned(), hogs: 1, asleep_ns: 1, gain };
        let fair =
            |scheduler: &str, worst_error| Fairness { scheduler: scheduler.to_owned(), worst_error, starved_ns: 0 };
        let mut figures = Figures {
            sets: Sets { drawn: 2, admitted: 1, jobs: 1, missed: 0, first_missed: None },
            bound: 0.95,
            acceptance: Vec::new(),
            fairness: vec![fair("client", 0.009), fair("stock", 0.5)],
            attack: vec![attack("client", 0.009), attack("stock", 0.5)],
            player: Vec::new(),
            simulated_ns: 0,
        };
        assert!(broken(&figures).is_empty());
        figures.sets.missed = 1;
        figures.fairness.push(fair("client", 0.011));
        figures.attack.push(attack("client", 0.011));
        assert_eq!(broken(&figures).len(), 3);
    }
}
