//! A part of each experiment, in the time that a test may take. `cargo xtask bench schedule` runs them at length.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use hyp_core::sched::Scheduler;
use hyp_core::time::SECOND;
use simulate::{attack, automatic, changing, fairness, sets};

#[test]
fn whoever_is_admitted_is_never_late() {
    let tally = sets::admitted_sets(1, 400, SECOND);
    assert!(tally.jobs > 20_000, "{tally:?}");
    assert_eq!((tally.missed, tally.first_missed), (0, None), "{tally:?}");
}

#[test]
fn whoever_is_admitted_is_never_late_while_others_change() {
    let (mut changes, mut jobs) = (0, 0);
    for seed in 0..200 {
        if let Some((changed, done, missed)) = changing::run(seed, SECOND) {
            (changes, jobs) = (changes + changed, jobs + done);
            assert_eq!(missed, 0, "seed {seed}");
        }
    }
    assert!(changes > 5_000 && jobs > 5_000, "{changes} changes, {jobs} jobs");
}

#[test]
fn sets_that_do_not_fit_would_be_late() {
    let (accepted, missed) = sets::acceptance(1.3, 10, false, SECOND);
    assert_eq!(accepted, 0.0);
    assert!(missed > 0.05, "{missed}");
    let (accepted, missed) = sets::acceptance(0.6, 10, false, SECOND);
    assert_eq!((accepted, missed), (1.0, 0.0));
}

#[test]
fn credit_gives_what_weights_say() {
    for seed in 0..20 {
        let shares = fairness::hogs(Scheduler::Client, seed, 30 * SECOND);
        assert!(shares.error < 0.01, "seed {seed}: {shares:?}");
        assert!(shares.starved < 2 * SECOND, "seed {seed}: {shares:?}");
    }
}

#[test]
fn hiding_from_the_tick_pays_under_stock_only() {
    let client = attack::best_gain(Scheduler::Client, 30 * SECOND);
    assert!(client < 0.01, "{client}");
    let stock = attack::best_gain(Scheduler::Stock, 30 * SECOND);
    assert!(stock > 0.3, "{stock}");
}

#[test]
fn stock_loses_frames_that_client_does_not() {
    let (client, _) = fairness::player(Scheduler::Client, 0.2, 3, 60 * SECOND);
    let (stock, latency) = fairness::player(Scheduler::Stock, 0.24, 3, 60 * SECOND);
    assert_eq!(client, 0.0);
    assert!(stock > 0.01 && latency > SECOND / 50, "{stock} {latency}");
}

#[test]
fn a_new_rate_is_followed_within_ten_periods() {
    let ms = SECOND / 1000;
    for (before, after, work) in [(33, 16, 4), (16, 33, 4), (20, 40, 9), (40, 10, 3), (10, 20, 2)] {
        let followed = automatic::follow(before * ms, after * ms, work * ms, 3);
        let followed = followed.unwrap_or_else(|| panic!("{before} to {after} ms: no reservation"));
        assert!(followed.periods <= 10, "{before} to {after} ms: {followed:?}");
        assert_eq!(followed.late, 0, "{before} to {after} ms: {followed:?}");
        // What it needs, the margin, and not much more.
        let needed = work as f64 / after as f64;
        assert!(followed.part > needed && followed.part < needed * 1.3, "{before} to {after} ms: {followed:?}");
    }
}
