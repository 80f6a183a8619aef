//! Tests on the emulator: each is a scenario with expectations. Two run at a time; each is alone in its virtual time, so
//! that neither can make the other late.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use anyhow::{Result, ensure};

use super::stretches::{self, Stretches};
use super::{Outcome, judge};
use crate::board::Board;
use crate::build::{self, Built, Form};
use crate::console::Line;
use crate::qemu::{self, Clock, Qemu};
use crate::report::{Figures, promises};
use crate::run::session::{Machine, Session};
use crate::scenario::{self, Program, Scenario};
use crate::{after, http, paths, setup};

/// More at a time would not be faster on a small machine, and nothing else would be.
const AT_ONCE: usize = 2;

/// Lines of each console that are shown of a failed test.
const SHOWN: usize = 12;

/// The scenarios that are wanted: those with a name or path among `named`, or all if there are none and `all` is said; long
/// ones only by their full name.
///
/// # Errors
/// If one cannot be found or read: no test starts then.
pub(super) fn select(all: bool, named: &[&String]) -> Result<Vec<Scenario>> {
    let folder = paths::root().join("tests/qemu");
    if named.is_empty() {
        let short = |found: Vec<Scenario>| found.into_iter().filter(|scenario| !scenario.long).collect();
        return if all { scenario::all(&folder).map(short) } else { Ok(Vec::new()) };
    }
    let mut scenarios: Vec<Scenario> = Vec::new();
    for name in named {
        let mut found = scenario::named(&folder, name)?;
        let names: Vec<String> = found.iter().map(Scenario::name).collect();
        found.retain(|found| !found.long || found.name() == **name);
        ensure!(!found.is_empty(), "`{name}` takes long, and is run by its full name only: {}", names.join(", "));
        for found in found {
            if !scenarios.iter().any(|known| known.name() == found.name()) {
                scenarios.push(found);
            }
        }
    }
    Ok(scenarios)
}

/// Runs them; `show` sees each outcome as it comes. The outcomes are in the order of the scenarios.
///
/// # Errors
/// If the images cannot be built or the emulator is missing.
pub(super) fn run(scenarios: &[Scenario], show: &mut dyn FnMut(&Outcome)) -> Result<Vec<Outcome>> {
    let mut boards: BTreeMap<Board, (Built, Qemu)> = BTreeMap::new();
    for board in scenarios.iter().map(|scenario| scenario.machine.board) {
        if let Entry::Vacant(place) = boards.entry(board) {
            setup::ensure(&setup::for_runs(board))?;
            let on_board = scenarios.iter().filter(|one| one.machine.board == board);
            let forms: Vec<Form> = on_board.filter_map(Form::of).collect();
            place.insert((build::some(board, &forms)?, Qemu::find(board)?));
        }
    }
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let longest = Mutex::new(Stretches::default());
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(scenarios.len()) {
            let sender = sender.clone();
            let (next, boards, longest) = (&next, &boards, &longest);
            scope.spawn(move || {
                while let Some((number, scenario)) = take(next, scenarios) {
                    if let Some((built, qemu)) = boards.get(&scenario.machine.board) {
                        let _ = sender.send((number, test(qemu, scenario, built, longest)));
                    }
                }
            });
        }
        drop(sender);
        for (number, outcome) in receiver {
            show(&outcome);
            outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((number, outcome));
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);
    let longest = longest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).finish()?;
    longest.iter().for_each(show);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).chain(longest).collect())
}

fn take<'s>(next: &AtomicUsize, scenarios: &'s [Scenario]) -> Option<(usize, &'s Scenario)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    if qemu::interrupted() {
        return None;
    }
    scenarios.get(number).map(|scenario| (number, scenario))
}

fn test(qemu: &Qemu, scenario: &Scenario, built: &Built, longest: &Mutex<Stretches>) -> Outcome {
    let mut scenario = scenario.clone();
    scenario.hypervisor.measure_stretches |= stretches::measures(&scenario);
    let name = format!("qemu: {}", scenario.name());
    let details = session(qemu, &mut scenario, built).map(|session| {
        longest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(&scenario, &session);
        let mut failures = judge::judge(&session, &scenario);
        failures.extend(played(&session, &scenario, built));
        failures.extend(after::failures(&session, &scenario));
        if failures.is_empty() { Vec::new() } else { explained(failures, session) }
    });
    let details = details.unwrap_or_else(|error| vec![format!("{error:#}")]);
    let failed = u64::from(!details.is_empty());
    Outcome { name, passed: 1 - failed, failed, details }
}

/// One run, with the files that the host serves.
fn session(qemu: &Qemu, scenario: &mut Scenario, built: &Built) -> Result<Session> {
    let _server = http::serve(scenario)?;
    let folder = paths::target().join("tests");
    Machine::new(qemu, scenario, built, Clock::Instructions, &folder)?.run(&mut |_, _| {})
}

/// What is wrong with what the player shows, where there is one: lateness, pictures that ffmpeg decodes differently, and in
/// the scenario that SPECIFICATION.md is about, a promise that is not kept.
fn played(session: &Session, scenario: &Scenario, built: &Built) -> Vec<String> {
    if !scenario.guests.iter().any(|guest| guest.program == Some(Program::Player)) {
        return Vec::new();
    }
    let figures = Figures::new(session, scenario, &built.clip.picture_crcs);
    let mut failures = figures.failures;
    if promises::concern(scenario) {
        failures.extend(promises::broken(&figures.summary).unwrap_or_else(|error| vec![format!("{error:#}")]));
    }
    failures
}

/// The failures, then the end of every console, then where to read on.
fn explained(failures: Vec<String>, mut session: Session) -> Vec<String> {
    let mut details = failures;
    let mut speakers: Vec<_> = session.lines.iter().map(|line| &line.source).collect();
    speakers.sort();
    speakers.dedup();
    for speaker in speakers {
        let wanted = |line: &&Line| line.source == *speaker && !line.text.starts_with("@trace");
        let lines: Vec<&Line> = session.lines.iter().filter(wanted).collect();
        let name = speaker.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            details.push(format!("[{name}] {}", line.text));
        }
    }
    match session.files.keep() {
        Ok(kept) => details.extend(kept.iter().map(|path| format!("disk: {}", paths::shown(path)))),
        Err(error) => details.push(format!("{error:#}")),
    }
    details.push(format!("full log: {}", paths::shown(&session.log)));
    details.push(format!("command: {}", session.command));
    details
}

#[cfg(test)]
mod tests {
    use super::select;

    #[test]
    fn what_takes_long_is_run_by_its_full_name_only() {
        let all = select(true, &[]).unwrap();
        assert!(all.len() > 50 && !all.iter().any(|scenario| scenario.long));
        let of = |name: &str| select(false, &[&name.to_owned()]);
        assert!(!of("x86").unwrap().iter().any(|scenario| scenario.long));
        assert!(of("x86-bochs-linux-corei7_skylake_x").unwrap().iter().all(|scenario| scenario.long));
        let error = of("x86-bochs-linux").unwrap_err().to_string();
        assert!(error.contains("full name only") && error.contains("x86-bochs-linux-corei7_skylake_x"), "{error}");
    }
}
