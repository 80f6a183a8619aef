//! The longest stretch that the hypervisor ran in one go, over all scenarios of a run of tests: no interrupt reaches a
//! guest in that time, so SPECIFICATION.md limits it. Only machines with one CPU count: with more, the emulator lets the
//! others run in between, and the clock goes on.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Outcome;
use crate::board::Board;
use crate::events::Event;
use crate::paths;
use crate::run::session::Session;
use crate::scenario::Scenario;
use crate::size::budget;

/// The limit's key in SPECIFICATION.md.
const KEY: &str = "el2_longest_ns";

/// What began the stretch, and how long it was at most, and where.
#[derive(Debug, Serialize)]
struct Stretch {
    cause: String,
    ns: u64,
    scenario: String,
}

/// All of a run.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    all: Vec<Stretch>,
    /// Scenarios that said something.
    scenarios: usize,
}

#[derive(Serialize)]
struct Report<'s> {
    el2_longest_ns: u64,
    scenarios: usize,
    causes: &'s [Stretch],
}

/// Whether a scenario's stretches are measured.
pub(super) fn measures(scenario: &Scenario) -> bool {
    scenario.machine.board == Board::QemuVirt && scenario.machine.cpus == 1
}

impl Stretches {
    /// Takes what a machine said at its end.
    pub(super) fn add(&mut self, scenario: &Scenario, session: &Session) {
        let mut said = false;
        for event in &session.said {
            let Event::Stretch { cause, number, ns } = &event.event else { continue };
            said = true;
            let (cause, scenario) = (named(cause, *number), scenario.name().to_owned());
            self.all.push(Stretch { cause, ns: *ns, scenario });
        }
        self.scenarios += usize::from(said);
    }

    /// Writes `el2-longest.json`, and says whether the limit is kept; `None` if nothing was measured.
    ///
    /// # Errors
    /// The report cannot be written, or SPECIFICATION.md has no such limit.
    pub(super) fn finish(self) -> Result<Option<Outcome>> {
        let mut causes = self.all;
        causes.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| (&a.cause, &a.scenario).cmp(&(&b.cause, &b.scenario))));
        let mut longer = BTreeSet::new();
        causes.retain(|stretch| longer.insert(stretch.cause.clone()));
        let Some(Stretch { cause, ns, scenario }) = causes.first() else { return Ok(None) };
        let limits = budget::limits()?;
        let limit = limits.iter().find(|limit| limit.key == KEY);
        let limit = limit.with_context(|| format!("SPECIFICATION.md has no {KEY}"))?;
        let failed = u64::from(!limit.holds(*ns));
        let details = vec![format!("{ns} ns after {cause} in {scenario}, limit {}", limit.shown())];
        let report = Report { el2_longest_ns: *ns, scenarios: self.scenarios, causes: &causes };
        let folder = paths::reports();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("el2-longest.json");
        fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let name = "qemu: longest stretch in the hypervisor".to_owned();
        Ok(Some(Outcome { name, passed: 1 - failed, failed, details }))
    }
}

/// A cause for people: hypercalls by their names (public/xen.h), exceptions by their class.
fn named(cause: &str, number: u64) -> String {
    const CALLS: [(u64, &str); 13] = [
        (12, "memory_op"),
        (13, "multicall"),
        (17, "xen_version"),
        (18, "console_io"),
        (20, "grant_table_op"),
        (21, "vm_assist"),
        (24, "vcpu_op"),
        (29, "sched_op"),
        (32, "event_channel_op"),
        (33, "physdev_op"),
        (34, "hvm_op"),
        (35, "sysctl"),
        (36, "domctl"),
    ];
    const CLASSES: [(u64, &str); 7] = [
        (0x01, "WFI or WFE"),
        (0x07, "first use of the float unit"),
        (0x16, "firmware call"),
        (0x17, "firmware call by SMC"),
        (0x18, "system register"),
        (0x20, "instruction abort"),
        (0x24, "data abort"),
    ];
    let look_up =
        |table: &[(u64, &str)]| table.iter().find(|(of, _)| *of == number).map(|(_, name)| (*name).to_owned());
    match cause {
        "hypercall" => look_up(&CALLS).unwrap_or_else(|| format!("hypercall {number}")),
        "exception" => look_up(&CLASSES).unwrap_or_else(|| format!("exception of class {number:#x}")),
        other => other.to_owned(),
    }
}
