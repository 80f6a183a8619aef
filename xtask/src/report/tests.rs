//! Figures and pages from a made-up transcript, which is also what the judge of scenarios is tested with.

use std::path::Path;

use super::{Figures, json, page, table};
use crate::console::{Demultiplexer, Paint};
use crate::devices::Files;
use crate::events;
use crate::run::session::{Ended, Session};
use crate::scenario::Scenario;

const MEDIA: &str = r#"
about = "a player & a hog"
limit_ns = 20_000_000_000
[[guest]]
name = "player"
program = "player"
memory_mib = 64
[[guest]]
name = "hog"
program = "hog"
memory_mib = 16
"#;

const TRANSCRIPT: &str = "\
[hyp] @boot cpus=1 image_bytes=1000 ram_bytes=2000 entered_ns=10
[hyp] @first_guest ns=500
[player] @frame n=0 due_ns=100 ready_ns=110 late=0 dropped=0 crc=00000001
[player] @frame n=1 due_ns=200 ready_ns=210 late=0 dropped=0 crc=00000002
[player] @audio n=0 due_ns=100 ready_ns=110 late=0 crc=00000001
[player] @wake ns=10,20,30,40000
[player] @summary frames=2 late=0 dropped=0 audio=1 audio_late=0
[hyp] @usage domain=player vcpu=0 cpu_ns=250 hypercall=3 idle=4
[hyp] @usage domain=hog vcpu=0 cpu_ns=500 interrupt=5
[hyp] @elapsed ns=1000
[hyp] @vcpu id=0 domain=player vcpu=0
[hyp] @vcpu id=1 domain=hog vcpu=0
[hyp] @trace cpu=0 first=0 000000000000c800 0000000000012c01
[hyp] @trace cpu=0 first=2 00000000000190ff
[hyp] @end
";

/// A scenario from its text.
pub(crate) fn scenario(text: &str) -> Scenario {
    let path =
        std::env::temp_dir().join(format!("scenario-{}-{:?}.toml", std::process::id(), std::thread::current().id()));
    std::fs::write(&path, text).unwrap();
    let scenario = Scenario::read(&path).unwrap().remove(0);
    std::fs::remove_file(&path).unwrap();
    scenario
}

/// A session that ended by power-off, from what its serial port gave.
pub(crate) fn session(transcript: &str) -> Session {
    let mut session = Session {
        said: Vec::new(),
        problems: Vec::new(),
        lines: Demultiplexer::new(None).push(transcript.as_bytes()),
        ended: Ended::PoweredOff,
        command: "qemu".into(),
        log: Path::new("log").into(),
        files: Files::default(),
    };
    for line in &session.lines {
        match line.source.as_ref().and_then(|source| events::parse(source, &line.text)) {
            Some(Ok(said)) => session.said.push(said),
            Some(Err(problem)) => session.problems.push(problem),
            None => {}
        }
    }
    session
}

fn figures(transcript: &str, reference: &[u32]) -> Figures {
    Figures::new(&session(transcript), &scenario(MEDIA), reference)
}

#[test]
fn a_good_run_has_no_failures() {
    let figures = figures(TRANSCRIPT, &[1, 2]);
    assert!(figures.failures.is_empty(), "{:?}", figures.failures);
    let summary = &figures.summary;
    assert_eq!((summary.frames_total, summary.frames_late, summary.crc_mismatches), (2, 0, 0));
    assert_eq!(summary.wakeup_ns.unwrap().max, 40_000);
    assert!((summary.guests[0].cpu_share - 0.25).abs() < 1e-9);
    assert_eq!(summary.guests[1].exits["interrupt"], 5);
    assert_eq!(summary.boot_to_first_guest_insns, 500);
}

#[test]
fn what_is_wrong_is_a_failure() {
    for (from, to, expected) in [
        ("ready_ns=210 late=0", "ready_ns=310 late=1", "1 late frames"),
        ("crc=00000002", "crc=00000003", "1 pictures differ"),
        ("[hyp] @end\n", "", "did not say @end"),
        ("first=2", "first=3", "has a gap"),
        ("@summary frames=2", "@summary frames=3", "its events tell"),
        ("[player] @frame n=1 due_ns=200 ready_ns=210 late=0 dropped=0 crc=00000002\n", "", "1 of 2 frames decoded"),
        ("@elapsed ns=1000", "@elapsed ns=x", "not a number"),
        ("[player] @summary", "[player] summary", "no @summary"),
    ] {
        let failures = figures(&TRANSCRIPT.replace(from, to), &[1, 2]).failures.join("; ");
        assert!(failures.contains(expected), "{failures}");
    }
}

#[test]
fn json_has_the_promised_keys() {
    let text = json(&figures(TRANSCRIPT, &[1, 2])).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in [
        "board",
        "frames_total",
        "frames_late",
        "frames_dropped",
        "audio_total",
        "audio_late",
        "crc_mismatches",
        "wakeup_ns",
        "guests",
        "image_bytes",
        "hypervisor_ram_bytes",
        "boot_to_first_guest_insns",
    ] {
        assert!(!value[key].is_null(), "{key}");
    }
    assert_eq!(value["wakeup_ns"]["p50"], 20);
}

#[test]
fn page_and_table_are_whole() {
    let figures = figures(TRANSCRIPT, &[1, 2]);
    let page = page::page(&figures, &scenario(MEDIA), "qemu -M <virt>").unwrap();
    assert!(page.contains("player/0 on CPU 0") && page.contains("a player &amp; a hog"));
    assert!(page.contains("<svg") && !page.contains("#010203"));
    assert!(!page.contains("http://www.w3.org/1999/xlink") && !page.contains("src="));
    let table = table(&figures, Paint::off());
    assert!(table.contains("player  25.0 %"), "{table}");
}
