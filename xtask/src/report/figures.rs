//! Figures from events. Each is taken from the one event that tells it, and compared where two tell the same; a
//! difference is a failure of the run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::devices::Told;
use super::{GuestShare, Quantiles, Summary};
use crate::events::{Audio, Event, Frame, Switch, Usage};
use crate::run::session::{Ended, Session};
use crate::scenario::{Guest, Program, Scenario};

/// All that a report shows.
pub(crate) struct Figures {
    /// The contents of `run.json`.
    pub(crate) summary: Summary,
    /// The pictures in order.
    pub(crate) frames: Vec<Frame>,
    /// Wake-up latencies, ns.
    pub(crate) wakes: Vec<u64>,
    /// Context switches by physical CPU.
    pub(crate) trace: BTreeMap<u32, Vec<Switch>>,
    /// Names of the vCPUs by global number.
    pub(crate) vcpus: BTreeMap<u8, String>,
    /// Time of the whole run, ns.
    pub(crate) elapsed_ns: u64,
    /// Why the run is not good; empty if it is.
    pub(crate) failures: Vec<String>,
}

/// Events sorted by kind.
#[derive(Default)]
struct Sorted {
    frames: Vec<Frame>,
    audio: Vec<Audio>,
    wakes: Vec<u64>,
    usage: Vec<Usage>,
    trace: BTreeMap<u32, Vec<Switch>>,
    next_records: BTreeMap<u32, u64>,
    vcpus: BTreeMap<u8, String>,
    boot: Option<(u32, u64, u64)>,
    first_guest: Option<u64>,
    elapsed: Option<u64>,
    summary: Option<[u64; 5]>,
    checks_failed: u64,
    devices: Told,
    end: bool,
    failures: Vec<String>,
}

impl Figures {
    /// Computes the figures of a session. `reference` are the CRCs of the clip's pictures as ffmpeg decodes them.
    pub(crate) fn new(session: &Session, scenario: &Scenario, reference: &[u32]) -> Self {
        let mut sorted = Sorted::default();
        for said in &session.said {
            sorted.take(said.event.clone());
        }
        let mut failures = std::mem::take(&mut sorted.failures);
        failures.extend(how_it_ended(&session.ended, scenario));
        failures.extend(session.problems.iter().map(ToString::to_string));
        if session.ended == Ended::PoweredOff {
            failures.extend(sorted.incomplete());
        }
        let crc_mismatches = mismatches(&sorted.frames, reference);
        if let Some(player) = scenario.guests.iter().find(|guest| guest.program == Some(Program::Player)) {
            let wanted = frames_of(player).unwrap_or(reference.len());
            failures.extend(sorted.judge_player(wanted, crc_mismatches, scenario.expects_losses()));
            failures.extend(sorted.devices.failures(player, &sorted.frames, sorted.audio.len()));
        }
        let summary = sorted.summary(scenario, crc_mismatches);
        let Sorted { frames, wakes, trace, vcpus, elapsed, .. } = sorted;
        Self { summary, frames, wakes, trace, vcpus, elapsed_ns: elapsed.unwrap_or_default(), failures }
    }
}

impl Sorted {
    fn take(&mut self, event: Event) {
        self.devices.take(&event);
        match event {
            Event::Boot { cpus, image_bytes, ram_bytes, .. } => self.boot = Some((cpus, image_bytes, ram_bytes)),
            Event::FirstGuest { ns } => self.first_guest = self.first_guest.or(Some(ns)),
            Event::Vcpu { id, domain, vcpu } => {
                self.vcpus.insert(id, format!("{domain}/{vcpu}"));
            }
            Event::Usage(usage) => self.usage.push(usage),
            Event::Elapsed { ns } => self.elapsed = Some(ns),
            Event::Trace { cpu, first, switches } => self.trace(cpu, first, switches),
            Event::End => self.end = true,
            Event::Frame(frame) => self.frames.push(frame),
            Event::Audio(audio) => self.audio.push(audio),
            Event::Wake { ns } => self.wakes.extend(ns),
            Event::Summary { frames, late, dropped, audio, audio_late } => {
                self.summary = Some([frames, late, dropped, audio, audio_late]);
            }
            Event::Checks { failed, .. } => self.checks_failed += failed,
            Event::Domain { .. }
            | Event::Stretch { .. }
            | Event::Fault { .. }
            | Event::Check { .. }
            | Event::Hog { .. }
            | Event::Ran { .. }
            | Event::Micro { .. }
            | Event::Done
            | Event::Linux { .. }
            | Event::Verify { .. }
            | Event::Io { .. }
            | Event::Clock { .. }
            | Event::LeftOut { .. }
            | Event::Shown { .. }
            | Event::Forgotten { .. }
            | Event::Ahead { .. }
            | Event::Played { .. } => {}
        }
    }

    /// Appends a piece of a trace; a gap between pieces is a lost line. The ring may have lost its oldest records, so
    /// the first piece may start anywhere.
    fn trace(&mut self, cpu: u32, first: u64, switches: Vec<Switch>) {
        let next = self.next_records.entry(cpu).or_insert(first);
        if *next != first {
            self.failures.push(format!("the trace of CPU {cpu} has a gap: record {next} expected, {first} came"));
        }
        *next = first + switches.len() as u64;
        self.trace.entry(cpu).or_default().extend(switches);
    }

    /// What a machine that powered off must have said.
    fn incomplete(&self) -> Vec<String> {
        let needed = [
            (self.boot.is_some(), "@boot"),
            (self.first_guest.is_some(), "@first_guest"),
            (!self.usage.is_empty(), "@usage"),
            (self.elapsed.is_some(), "@elapsed"),
            (self.end, "@end"),
        ];
        let missing = needed.iter().filter(|(there, _)| !there).map(|(_, name)| *name).collect::<Vec<_>>();
        let mut failures = Vec::new();
        if !missing.is_empty() {
            failures.push(format!("the hypervisor did not say {}", missing.join(", ")));
        }
        if self.checks_failed > 0 {
            failures.push(format!("{} checks failed", self.checks_failed));
        }
        failures
    }

    fn late(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.late).count() as u64
    }

    fn dropped(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.dropped).count() as u64
    }

    fn audio_late(&self) -> u64 {
        self.audio.iter().filter(|period| period.late).count() as u64
    }

    /// Why the player's part is not good. What is late is no fault where the scenario itself says how much shall be.
    fn judge_player(&self, wanted: usize, mismatches: u64, losses: bool) -> Vec<String> {
        let mut failures = Vec::new();
        let seen = [self.frames.len() as u64, self.late(), self.dropped(), self.audio.len() as u64, self.audio_late()];
        match self.summary {
            None => failures.push("the player did not finish: no @summary".to_owned()),
            Some(told) if told != seen => {
                failures.push(format!("the player's @summary tells {told:?}, its events tell {seen:?}"));
            }
            Some(_) => {}
        }
        if seen[0] != wanted as u64 {
            failures.push(format!("{} of {wanted} frames decoded", seen[0]));
        }
        let counts = [(seen[1], "late frames"), (seen[2], "dropped frames"), (seen[4], "late sound periods")];
        failures.extend(
            counts.iter().filter(|(count, _)| *count > 0 && !losses).map(|(count, what)| format!("{count} {what}")),
        );
        if mismatches > 0 {
            failures.push(format!("{mismatches} pictures differ from ffmpeg's decode"));
        }
        failures
    }

    fn summary(&self, scenario: &Scenario, crc_mismatches: u64) -> Summary {
        let (cpus, image_bytes, hypervisor_ram_bytes) = self.boot.unwrap_or_default();
        let all = self.elapsed.unwrap_or_default().saturating_mul(u64::from(cpus));
        let guests = scenario.guests.iter().map(|guest| self.guest(&guest.name, all)).collect();
        Summary {
            scenario: scenario.name(),
            board: scenario.machine.board.name(),
            frames_total: self.frames.len() as u64,
            frames_late: self.late(),
            frames_dropped: self.dropped(),
            audio_total: self.audio.len() as u64,
            audio_late: self.audio_late(),
            crc_mismatches,
            devices: self.devices.figures(&self.frames),
            wakeup_ns: quantiles(&self.wakes),
            guests,
            image_bytes,
            hypervisor_ram_bytes,
            boot_to_first_guest_insns: self.first_guest.unwrap_or_default(),
        }
    }

    fn guest(&self, name: &str, all_cpus_ns: u64) -> GuestShare {
        let mut cpu_ns = 0;
        let mut exits = BTreeMap::new();
        for usage in self.usage.iter().filter(|usage| usage.domain == name) {
            cpu_ns += usage.cpu_ns;
            for (reason, count) in &usage.exits {
                *exits.entry(reason.clone()).or_insert(0) += count;
            }
        }
        // Six digits: enough for any use, and no noise of binary fractions in the file.
        let share = if all_cpus_ns == 0 { 0.0 } else { cpu_ns as f64 / all_cpus_ns as f64 };
        GuestShare { name: name.to_owned(), cpu_share: (share * 1e6).round() / 1e6, exits }
    }
}

fn how_it_ended(ended: &Ended, scenario: &Scenario) -> Option<String> {
    match ended {
        Ended::PoweredOff | Ended::Event => None,
        Ended::Limit => Some(format!("the machine did not end within {} virtual ns", scenario.limit_ns)),
        Ended::Stuck => Some("the machine made no progress for a long time of the host's clock".into()),
        Ended::Interrupted => Some("interrupted".into()),
        Ended::Failed(why) => Some(why.clone()),
    }
}

/// How many frames a player is told to play, where it is told.
fn frames_of(player: &Guest) -> Option<usize> {
    player.bootargs.split_whitespace().find_map(|word| word.strip_prefix("frames=")?.parse().ok())
}

/// Pictures that are not what ffmpeg decodes; one that ffmpeg does not have counts too.
fn mismatches(frames: &[Frame], reference: &[u32]) -> u64 {
    let same = |frame: &&Frame| {
        let wanted = usize::try_from(frame.n).ok().and_then(|n| reference.get(n));
        wanted == Some(&frame.crc)
    };
    frames.iter().filter(|frame| !same(frame)).count() as u64
}

/// Quantiles with an error below one part in a thousand; the maximum is exact.
pub(crate) fn quantiles(values: &[u64]) -> Option<Quantiles> {
    let max = *values.iter().max()?;
    let mut histogram = Histogram::<u64>::new(3).ok()?;
    for &value in values {
        histogram.record(value).ok()?;
    }
    let at = |quantile| histogram.value_at_quantile(quantile).min(max);
    Some(Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
}
