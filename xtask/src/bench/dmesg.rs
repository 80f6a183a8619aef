//! `cargo xtask bench dmesg`: what one kernel says on our hypervisor and on the peer's, line by line. A kernel's log is its
//! own account of the machine that it found, so a line that only the peer's has is something that we do not give, or
//! give in another way. Every difference is explained in `hyp/docs/dmesg.md`; one that is not there fails the command.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::board::Board;
use crate::build::{self, Built};
use crate::compose::Whose;
use crate::events::{Event, Source};
use crate::qemu::{self, Clock, Qemu};
use crate::run::session::{Ended, Machine};
use crate::{paths, scenario, setup};

/// Where differences are explained, a line of the log in each item's code.
const EXPLAINED: &str = "hyp/docs/dmesg.md";
/// Length of a full piece of a guest's line on Xen's console.
const PIECE: usize = 126;
/// Shorter words of hexadecimal digits are numbers that count.
const ADDRESS: usize = 8;

/// A line of the two logs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Both(String),
    Ours(String),
    Peers(String),
}

/// Runs the command.
///
/// # Errors
/// A machine that does not end well, or a difference that nobody has explained.
pub(super) fn main() -> Result<()> {
    qemu::watch_interrupts();
    setup::ensure(&setup::for_runs(Board::QemuVirt))?;
    let built = build::everything(Board::QemuVirt)?;
    let qemu = Qemu::find(Board::QemuVirt)?;
    let ours = log(Whose::Ours, &qemu, &built)?;
    let peers = log(Whose::Peers, &qemu, &built)?;
    let lines = compare(&peers, &ours);
    let path = paths::reports().join("dmesg-diff.txt");
    fs::create_dir_all(paths::reports())?;
    fs::write(&path, text(&lines, true)).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{}", text(&lines, false));
    println!("all lines: {}; `-`: only on Xen 4.17, `+`: only on ours", paths::shown(&path));
    let explained = fs::read_to_string(paths::root().join(EXPLAINED)).unwrap_or_default();
    let open: Vec<&str> = differing(&lines).filter(|line| !explained.contains(&format!("`{line}`"))).collect();
    if !open.is_empty() {
        bail!("{EXPLAINED} does not explain:\n  {}", open.join("\n  "));
    }
    Ok(())
}

/// What the kernel's log holds when its user land is there.
fn log(whose: Whose, qemu: &Qemu, built: &Built) -> Result<Vec<String>> {
    let scenario = scenario::single(&paths::root().join("tests/qemu/bench"), "dmesg")?;
    let folder = paths::target().join(if whose == Whose::Peers { "bench/peer" } else { "bench" });
    let session = Machine::under(whose, qemu, &scenario, built, Clock::Instructions, &folder)?.run(&mut |_, _| {})?;
    let shown = paths::shown(&session.log);
    ensure!(session.ended == Ended::Event, "the kernel did not print its log: {:?}; see {shown}", session.ended);
    let is = |line: &crate::console::Line, state: &str| {
        let said = line.source.as_ref().and_then(|source| crate::events::parse(source, &line.text));
        matches!(said, Some(Ok(said)) if matches!(&said.event, Event::Linux { state: other, .. } if other == state))
    };
    let from_linux = |line: &&crate::console::Line| matches!(line.source, Some(Source::Guest(_)));
    let lines = session.lines.iter().filter(from_linux).skip_while(|line| !is(line, "ready")).skip(1);
    let pieces = lines.take_while(|line| !is(line, "done")).map(|line| line.text.as_str());
    let lines = if whose == Whose::Peers { joined(pieces) } else { pieces.map(str::to_owned).collect() };
    Ok(lines.iter().filter_map(|line| normal(line)).collect())
}

/// Xen breaks what a guest's serial port says into pieces; a full one goes on in the next.
fn joined<'a>(pieces: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if open => line.push_str(piece),
            _ => lines.push(piece.to_owned()),
        }
        open = piece.len() >= PIECE;
    }
    lines
}

/// A line without its time and with one word for all addresses, which say where and not what, and one for all durations.
/// `None` for an empty one.
fn normal(line: &str) -> Option<String> {
    let (time, text) = line.strip_prefix('[')?.split_once("] ")?;
    time.trim().parse::<f64>().ok()?;
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let digits = word.strip_prefix("0x").unwrap_or(&word);
        let address = digits.len() >= ADDRESS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let duration = word.strip_suffix("ms").is_some_and(|number| number.parse::<u32>().is_ok());
        out.push_str(match (address, duration) {
            (true, _) => "#",
            (_, true) => "#ms",
            _ => &word,
        });
        word.clear();
        out.push(letter);
    }
    let out = out.trim_end();
    (!out.is_empty()).then(|| out.to_owned())
}

/// The longest common part of two logs, and what each has besides, in order.
fn compare(peers: &[String], ours: &[String]) -> Vec<Line> {
    // Length of the longest common part of what follows in each.
    let mut longest = vec![vec![0usize; ours.len() + 1]; peers.len() + 1];
    for (at, line) in peers.iter().enumerate().rev() {
        for (other, theirs) in ours.iter().enumerate().rev() {
            longest[at][other] = if line == theirs {
                longest[at + 1][other + 1] + 1
            } else {
                longest[at + 1][other].max(longest[at][other + 1])
            };
        }
    }
    let (mut at, mut other) = (0, 0);
    let mut lines = Vec::new();
    while at < peers.len() || other < ours.len() {
        match (peers.get(at), ours.get(other)) {
            (Some(line), Some(same)) if line == same => {
                lines.push(Line::Both(line.clone()));
                (at, other) = (at + 1, other + 1);
            }
            (Some(line), rest) if rest.is_none() || longest[at + 1][other] >= longest[at][other + 1] => {
                lines.push(Line::Peers(line.clone()));
                at += 1;
            }
            (_, Some(line)) => {
                lines.push(Line::Ours(line.clone()));
                other += 1;
            }
            (_, None) => break,
        }
    }
    lines
}

/// The lines with a mark each; those of both only if `all`.
fn text(lines: &[Line], all: bool) -> String {
    let shown = |line: &Line| match line {
        Line::Both(text) => all.then(|| format!("  {text}\n")),
        Line::Ours(text) => Some(format!("+ {text}\n")),
        Line::Peers(text) => Some(format!("- {text}\n")),
    };
    lines.iter().filter_map(shown).collect()
}

fn differing(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| match line {
        Line::Both(_) => None,
        Line::Ours(text) | Line::Peers(text) => Some(text.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Line, PIECE, compare, joined, normal};

    #[test]
    fn full_pieces_go_on() {
        let long = "x".repeat(PIECE);
        assert_eq!(joined(["a", &long, "b", "c"].into_iter()), ["a".to_owned(), long.clone() + "b", "c".to_owned()]);
    }

    #[test]
    fn times_and_addresses_do_not_count() {
        let line = "[    0.000000] NODE_DATA [mem 0x4fdb2380-0x4fdb4fff] on 2 of 0x10";
        assert_eq!(normal(line).unwrap(), "NODE_DATA [mem #-#] on 2 of 0x10");
        assert_eq!(normal("[    0.2] node 0 done in 14ms, forms 2").unwrap(), "node 0 done in #ms, forms 2");
        assert_eq!(normal("/ # dmesg"), None);
        assert_eq!(normal("[    0.1] "), None);
    }

    #[test]
    fn what_only_one_has_is_marked() {
        let log = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let lines = compare(&log("a b c d"), &log("a c x d"));
        let [both, ours, peers] = [Line::Both, Line::Ours, Line::Peers].map(|kind| move |text: &str| kind(text.into()));
        assert_eq!(lines, [both("a"), peers("b"), both("c"), ours("x"), both("d")]);
    }
}
