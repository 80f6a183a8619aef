//! A made-up second of playing, and what must come out of it.

use std::fmt::Write as _;

use super::cell::{Cell, Load, Sched};
use super::{Figures, Measured, Outcome, Run, Verdict, against, page, perfetto, report, table};
use crate::board::Board;
use crate::console::Paint;
use crate::report::tests::{scenario, session};
use crate::run::session::{Ended, Session};

const SECOND: u64 = 1_000_000_000;

fn cell(sched: Sched, load: Load) -> Cell {
    Cell { sched, load, cpus: 1, seconds: 1, seed: 1, board: Board::default() }
}

/// What the machine says when the player wakes up so late each time, and its picture 7 is `late` ns late.
fn transcript(wake: u64, late: u64) -> String {
    let mut text =
        String::from("[player] @ran at_ns=5000 ran_ns=0 clock_ns=1000\n[hog-1] @ran at_ns=5000 ran_ns=0 clock_ns=0\n");
    let period = SECOND / 60;
    let (is_late, dropped) = (u8::from(late > 0), u8::from(late > period));
    for n in 0..60 {
        let due = 1_000 + n * SECOND / 60;
        let (ready, late, dropped) =
            if n == 7 { (due + period + 1 + late, is_late, dropped) } else { (due + 1_000, 0, 0) };
        let _ = writeln!(
            text,
            "[player] @frame n={n} due_ns={due} ready_ns={ready} late={late} dropped={dropped} crc=00000000"
        );
    }
    for n in 0..100 {
        let due = 1_000 + n * SECOND / 100;
        let _ = writeln!(text, "[player] @audio n={n} due_ns={due} ready_ns={} late=0 crc=00000000", due + 9);
        let _ = writeln!(text, "[player] @wake ns={wake}");
    }
    let _ = writeln!(text, "[player] @summary frames=60 late={is_late} dropped={dropped} audio=100 audio_late=0");
    for _ in 0..1_000 {
        text += "[probe] @wake ns=2000\n";
    }
    text += "[player] @ran at_ns=1000005000 ran_ns=140000000 clock_ns=1000001000\n";
    text += "[hog-1] @ran at_ns=1000006000 ran_ns=200000200 clock_ns=0\n[player] @done\n";
    text += "[hyp] @vcpu id=0 domain=player vcpu=0\n[hyp] @trace cpu=0 first=0 000000000000c800 00000000000190ff\n";
    text + "[hyp] @elapsed ns=1100000000\n[hyp] @end\n"
}

fn run(cell: Cell, session: &Session) -> Result<Run, Vec<String>> {
    let scenario = scenario(&cell.scenario());
    Measured::new(&cell, session).map(|measured| Run {
        verdict: Verdict::of(&cell, &measured),
        measured,
        figures: Figures::new(session, &scenario, &[]),
        command: "qemu <virt>".into(),
    })
}

fn outcome(cell: Cell, transcript: &str) -> Outcome {
    Outcome { cell, run: run(cell, &session(transcript)) }
}

#[test]
fn a_promise_is_kept_or_said_to_be_broken() {
    let client = |load, transcript: &str| outcome(cell(Sched::Client, load), transcript);
    let good = client(Load::Half, &transcript(9_000, 0));
    assert_eq!(good.verdict(), Some(&Verdict::Kept), "{:?}", good.reasons());
    let broken = client(Load::Half, &transcript(12_000, 20_000_000)).reasons().join("; ");
    assert!(broken.contains("dropped frames: 1, at most 0") && broken.contains("p99.9, ns: 12,00"), "{broken}");
    // Three hogs leave a quarter of the CPU, and it wants more.
    let without = client(Load::Hogs, &transcript(12_000, 1));
    assert!(matches!(without.verdict(), Some(Verdict::None(_))) && without.reasons().is_empty());
    assert!(matches!(outcome(cell(Sched::Reserve, Load::Hogs), &transcript(0, 1)).verdict(), Some(Verdict::Broken(_))));
}

#[test]
fn shares_are_of_the_time_in_which_the_player_played() {
    let good = outcome(cell(Sched::Client, Load::Half), &transcript(1, 0));
    let measured = &good.run.as_ref().unwrap().measured;
    let share = |name: &str| measured.shares.iter().find(|share| share.guest == name).unwrap();
    assert!((share("player").got.unwrap() - 0.14).abs() < 1e-6);
    assert!((share("hog-1").got.unwrap() - 0.2).abs() < 1e-6 && (share("hog-1").entitled - 0.86 / 3.0).abs() < 1e-6);
    assert_eq!(share("hog-2").got, None);
    // A player that needed less than its work is told to cost is no error; one that got as little and was late is one.
    let error = |late| {
        let text = transcript(1, late)
            .replace("ran_ns=140000000", "ran_ns=70000000")
            .replace("ran_ns=200000200", "ran_ns=286666953");
        outcome(cell(Sched::Client, Load::Half), &text).run.unwrap().measured.share_error().unwrap()
    };
    assert!(error(0) < 0.001 && (error(5) - 0.5).abs() < 0.001, "{} {}", error(0), error(5));
    assert!((measured.share_error().unwrap() - (1.0 - 0.6 / 0.86)).abs() < 1e-6);
}

#[test]
fn what_is_missing_or_wrong_gives_no_figures() {
    for (from, to, expected) in [
        ("[player] @audio n=99", "[player] audio n=99", "99 of 100 sound periods"),
        ("late=0 dropped=0 audio=100", "late=1 dropped=0 audio=100", "its events tell"),
        ("[probe] @wake ns=2000\n[player] @ran", "[player] @ran", "999 of 1000 wake-ups"),
        ("[player] @done", "[player] @done x", "x"),
        ("[hyp] @end", "[hyp] @fault domain=player vcpu=0 what=bad\n[hyp] @end", "player did what it does not survive"),
    ] {
        let text = transcript(1, 0);
        assert!(text.contains(from), "{from}");
        let outcome = outcome(cell(Sched::Client, Load::Half), &text.replace(from, to));
        assert!(outcome.run.is_err() && outcome.reasons().join("; ").contains(expected), "{:?}", outcome.reasons());
    }
}

#[test]
fn the_peer_is_held_against_ours_beside_the_same_load() {
    let ended = |cell: Cell| {
        let mut peers = session(&transcript(9_000, 0));
        peers.ended = Ended::Event;
        Outcome { cell, run: run(cell, &peers) }
    };
    let outcomes = [
        outcome(cell(Sched::Client, Load::Half), &transcript(2_000, 0)),
        ended(cell(Sched::XenCredit, Load::Half)),
        ended(cell(Sched::XenCredit, Load::Idle)),
    ];
    let sentences = against::sentences(&outcomes);
    assert_eq!(sentences, ["xen-credit-half-1: wake-up p99.9 is 4.5 times that of `client`"]);
}

#[test]
fn reports_have_every_cell_and_the_promised_keys() {
    let pc = Cell { board: Board::X86, ..cell(Sched::Sedf, Load::Idle) };
    let missing = Outcome { cell: pc, run: Err(vec!["there is none".into()]) };
    let outcomes = [outcome(cell(Sched::Client, Load::Half), &transcript(2_000, 5)), missing];
    let table = table::table(&outcomes, Paint::off());
    assert!(
        table.lines().nth(1).is_some_and(|line| line.starts_with("client     half") && line.ends_with("BROKEN")),
        "{table}"
    );
    assert!(table.contains("x86-sedf-idle-1: there is none"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&report::json(&outcomes).unwrap()).unwrap();
    let first = &json["cells"][0];
    for key in ["sched", "load", "cpus", "frames_late", "frames_dropped", "audio_late", "wakeup_ns", "share_error"] {
        assert!(!first[key].is_null(), "{key}");
    }
    assert_eq!((&first["worst_late_ns"], &first["wakeup_ns"]["p999"]), (&6.into(), &2_000.into()));
    assert_eq!((&first["board"], &json["cells"][1]["board"]), (&"qemu-virt".into(), &"x86".into()));
    assert!(json["cells"][1]["frames_late"].is_null() && json["cells"][1]["error"][0] == "there is none");
    let page = page::page(&outcomes).unwrap();
    assert!(
        page.matches("viewBox=\"0 0 960 320\"").count() == 4
            && page.matches("<details").count() == 2
            && !page.contains("src=")
    );
    assert!(page.contains("player/0 on CPU 0") && page.contains("--load half --cpus 1 --seconds 1 --seed 1"));
    let trace: serde_json::Value =
        serde_json::from_str(&perfetto::trace(outcomes[0].run.as_ref().unwrap()).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    assert_eq!((named("player/0"), named("picture"), named("late"), named("sound")), (1, 59, 1, 100));
    // The player's clock is 4 us behind the machine's.
    let frame = events.iter().find(|event| event["name"] == "picture").unwrap();
    assert_eq!(frame["ts"], 5.0);
}
