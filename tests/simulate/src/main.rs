//! All experiments at length; prints what came of them as JSON, for `cargo xtask bench schedule`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a mistake of the experiment")]

use hyp_core::sched::Scheduler;
use hyp_core::time::{MICROSECOND, Nanos, SECOND};
use serde::Serialize;
use simulate::sets::Tally;
use simulate::{attack, fairness, sets};

/// Sets that must be admitted and never late.
const SETS: u64 = 10_000;
/// How long each of them runs, ns.
const SET_TIME: Nanos = 2 * SECOND;
/// Sets at each utilization of the acceptance experiment.
const DRAWN: u64 = 200;
/// How long the others run, ns.
const LONG: Nanos = 600 * SECOND;
/// Sets of hogs.
const HOGS: u64 = 200;

/// Everything.
#[derive(Serialize)]
struct Report {
    sets: Tally,
    bound: f64,
    acceptance: Vec<Point>,
    fairness: Vec<Fairness>,
    attack: Vec<Attack>,
    player: Vec<Player>,
    simulated_ns: Nanos,
}

/// Random sets at a utilization.
#[derive(Serialize)]
struct Point {
    utilization: f64,
    early: bool,
    accepted: f64,
    missed: f64,
}

/// Hogs of random weights.
#[derive(Serialize)]
struct Fairness {
    scheduler: String,
    worst_error: f64,
    starved_ns: Nanos,
}

/// Sleeping just before the tick.
#[derive(Serialize)]
struct Attack {
    scheduler: String,
    hogs: usize,
    asleep_ns: Nanos,
    gain: f64,
}

/// A player that is promised nothing.
#[derive(Serialize)]
struct Player {
    scheduler: String,
    part: f64,
    hogs: usize,
    late: f64,
    latency_ns: Nanos,
}

const ALL: [Scheduler; 3] = [Scheduler::Client, Scheduler::Stock, Scheduler::Sedf];

fn name(scheduler: Scheduler) -> String {
    format!("{scheduler:?}").to_lowercase()
}

fn acceptance() -> Vec<Point> {
    let utilizations = (10..=26).map(|step| f64::from(step) / 20.0);
    let points = utilizations.flat_map(|utilization| [false, true].map(|early| (utilization, early)));
    let measure = |(utilization, early)| {
        let (accepted, missed) = sets::acceptance(utilization, DRAWN, early, SET_TIME);
        Point { utilization, early, accepted, missed }
    };
    points.map(measure).collect()
}

fn fair(scheduler: Scheduler) -> Fairness {
    let mut worst = fairness::Shares::default();
    for seed in 0..HOGS {
        let shares = fairness::hogs(scheduler, seed, LONG / 10);
        worst.error = worst.error.max(shares.error);
        worst.starved = worst.starved.max(shares.starved);
    }
    Fairness { scheduler: name(scheduler), worst_error: worst.error, starved_ns: worst.starved }
}

fn attacks(scheduler: Scheduler) -> Vec<Attack> {
    let tries = (1..=4).flat_map(|hogs| [1, 10, 100, 500].map(|asleep| (hogs, asleep * MICROSECOND)));
    let gain = |(hogs, asleep)| attack::gain(scheduler, hogs, asleep, LONG);
    tries
        .map(|(hogs, asleep_ns)| Attack { scheduler: name(scheduler), hogs, asleep_ns, gain: gain((hogs, asleep_ns)) })
        .collect()
}

fn players(scheduler: Scheduler) -> Vec<Player> {
    let parts = (1..=5).map(|step| f64::from(step) * 0.05);
    let play = |part| {
        let (late, latency_ns) = fairness::player(scheduler, part, 3, LONG);
        Player { scheduler: name(scheduler), part, hogs: 3, late, latency_ns }
    };
    parts.map(play).collect()
}

fn main() {
    eprintln!("{SETS} admitted sets of 1 to 20 servers, {} s each", SET_TIME / SECOND);
    let sets = sets::admitted_sets(1, SETS, SET_TIME);
    eprintln!("acceptance and misses by utilization");
    let acceptance = acceptance();
    eprintln!("shares, attacks, players");
    let fairness: Vec<_> = ALL.map(fair).into();
    let attack: Vec<_> = ALL.into_iter().flat_map(attacks).collect();
    let player: Vec<_> = ALL.into_iter().flat_map(players).collect();
    let simulated_ns = sets.admitted * SET_TIME
        + acceptance.len() as u64 * DRAWN * SET_TIME
        + fairness.len() as u64 * HOGS * LONG / 10
        + (attack.len() + player.len()) as u64 * LONG;
    let bound = sets::bound();
    let report = Report { sets, bound, acceptance, fairness, attack, player, simulated_ns };
    println!("{}", serde_json::to_string_pretty(&report).expect("numbers and words"));
}
