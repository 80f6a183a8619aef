//! What a cell's run gave, from what its guests said. The same events from the same guests are read under every
//! hypervisor; what only ours tells (who ran when) is for the timeline alone.

use std::collections::BTreeMap;

use super::cell::{Cell, Load, PROBE_PERIOD};
use super::share::{self, Share, Wish};
use super::work::RATES;
use crate::events::{Audio, Event, Frame, Source};
use crate::report::{Quantiles, quantiles};
use crate::run::session::{Ended, Session};

const SECOND: u64 = 1_000_000_000;

/// Figures of one cell.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) frames: Vec<Frame>,
    pub(super) audio: Vec<Audio>,
    /// How late the player woke up, ns, each time that it slept.
    pub(super) wakes: Vec<u64>,
    /// How late the probe woke up, ns, at each of its releases.
    pub(super) probe: Vec<u64>,
    pub(super) shares: Vec<Share>,
    /// By how much the machine's clock is before the player's, ns.
    pub(super) offset: i64,
}

/// What one guest said.
#[derive(Default)]
struct Guest {
    frames: Vec<Frame>,
    audio: Vec<Audio>,
    wakes: Vec<u64>,
    ran: Vec<(u64, u64)>,
    summary: Option<[u64; 5]>,
    offset: i64,
}

impl Measured {
    /// Reads a session.
    ///
    /// # Errors
    /// Everything that makes it no measurement, a sentence each.
    pub(super) fn new(cell: &Cell, session: &Session) -> Result<Self, Vec<String>> {
        let mut guests: BTreeMap<String, Guest> = BTreeMap::new();
        let mut failures: Vec<String> = session.problems.iter().map(ToString::to_string).collect();
        for said in &session.said {
            let Source::Guest(name) = &said.source else {
                if let Event::Fault { domain, what, .. } = &said.event {
                    failures.push(format!("{domain} did what it does not survive: {what}"));
                }
                continue;
            };
            let guest = guests.entry(name.clone()).or_default();
            match &said.event {
                Event::Frame(frame) => guest.frames.push(frame.clone()),
                Event::Audio(period) => guest.audio.push(period.clone()),
                Event::Wake { ns } => guest.wakes.extend(ns),
                Event::Ran { at_ns, ran_ns, clock_ns } => {
                    guest.ran.push((*at_ns, *ran_ns));
                    guest.offset = *at_ns as i64 - *clock_ns as i64;
                }
                Event::Summary { frames, late, dropped, audio, audio_late } => {
                    guest.summary = Some([*frames, *late, *dropped, *audio, *audio_late]);
                }
                Event::Check { name: check, pass: false, detail } => {
                    failures.push(format!("{name}: check {check} failed: {}", detail.clone().unwrap_or_default()));
                }
                _ => {}
            }
        }
        let ended = if cell.sched.is_peers() { Ended::Event } else { Ended::PoweredOff };
        if session.ended != ended {
            failures.push(format!("the machine did not end well: {:?}", session.ended));
        }
        let shares = shares(cell, &guests);
        let player = guests.remove("player").unwrap_or_default();
        let probe = guests.remove("probe").unwrap_or_default();
        let Guest { frames, audio, wakes, summary, offset, .. } = player;
        let measured = Self { frames, audio, wakes, probe: probe.wakes, shares, offset };
        failures.extend(measured.incomplete(cell, summary));
        if failures.is_empty() { Ok(measured) } else { Err(failures) }
    }

    /// What is not there.
    fn incomplete(&self, cell: &Cell, told: Option<[u64; 5]>) -> Vec<String> {
        let mut failures = Vec::new();
        let seen = [self.frames.len() as u64, self.late(), self.dropped(), self.audio.len() as u64, self.audio_late()];
        if told != Some(seen) {
            failures.push(format!("the player's @summary tells {told:?}, its events tell {seen:?}"));
        }
        let [pictures, sounds] = RATES.map(|rate| rate * cell.seconds);
        let wakes = cell.seconds * SECOND / PROBE_PERIOD;
        for (what, seen, wanted) in [
            ("frames", seen[0], pictures),
            ("sound periods", seen[3], sounds),
            ("wake-ups of the probe", self.probe.len() as u64, wakes),
        ] {
            if seen != wanted {
                failures.push(format!("{seen} of {wanted} {what} were told"));
            }
        }
        failures
    }

    /// Pictures ready after the next one's release, dropped ones among them.
    pub(super) fn late(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.late).count() as u64
    }

    /// Pictures more than one period late.
    pub(super) fn dropped(&self) -> u64 {
        self.frames.iter().filter(|frame| frame.dropped).count() as u64
    }

    /// Sound periods ready after the next one's release.
    pub(super) fn audio_late(&self) -> u64 {
        self.audio.iter().filter(|period| period.late).count() as u64
    }

    /// From the next release to the completion of what was latest, ns.
    pub(super) fn worst_late(&self) -> u64 {
        let [picture, sound] = RATES.map(|rate| SECOND / rate);
        let frames = self.frames.iter().map(|frame| frame.ready_ns.saturating_sub(frame.due_ns + picture));
        let audio = self.audio.iter().map(|period| period.ready_ns.saturating_sub(period.due_ns + sound));
        // A third of a nanosecond more is in the picture's period.
        frames.chain(audio).max().filter(|worst| *worst > 1).unwrap_or(0)
    }

    /// Of the player's wake-ups.
    pub(super) fn wake(&self) -> Option<Quantiles> {
        quantiles(&self.wakes)
    }

    /// Of the probe's.
    pub(super) fn probe_wake(&self) -> Option<Quantiles> {
        quantiles(&self.probe)
    }

    /// See [`share::error`]. A player that is never late got all that it wanted, which on two CPUs may be less than it would
    /// need if both were busy: the emulator gives a CPU the time of one that sleeps.
    pub(super) fn share_error(&self) -> Option<f64> {
        let content = self.late() + self.dropped() + self.audio_late() == 0;
        let counts = |share: &&Share| !content || share.guest != "player";
        share::error(&self.shares.iter().filter(counts).cloned().collect::<Vec<_>>())
    }

    /// What the player is entitled to, as a part of one CPU.
    pub(super) fn entitled(&self) -> f64 {
        self.shares.iter().find(|share| share.guest == "player").map_or(0.0, |share| share.entitled)
    }
}

/// Shares while the player played.
fn shares(cell: &Cell, guests: &BTreeMap<String, Guest>) -> Vec<Share> {
    let told = |name: &str| guests.get(name).map_or(&[][..], |guest| &guest.ran);
    let (Some((from, _)), Some((to, _))) = (told("player").first(), told("player").last()) else { return Vec::new() };
    let got = |name: &str| share::ran_between(told(name), *from, *to);
    let mut wishes = vec![Wish {
        guest: "player".into(),
        demand: cell.work().demand(),
        reserved: cell.sched.reserves(),
        got: got("player"),
    }];
    for (name, sleeps) in cell.load.competitors() {
        let got = got(name);
        let demand = if sleeps { got.unwrap_or(0.0) } else { 1.0 };
        wishes.push(Wish { guest: name.into(), demand, reserved: false, got });
    }
    share::shares(cell.cpus, &wishes)
}

impl Load {
    /// Its guests and the probe, and whether they sleep.
    fn competitors(self) -> Vec<(&'static str, bool)> {
        let others: &[(&str, bool)] = match self {
            Self::Idle => &[],
            Self::Hogs | Self::Half => &[("hog-1", false), ("hog-2", false), ("hog-3", false)],
            Self::Interrupts => &[("interrupts", false)],
            Self::Events => &[("events", false), ("sink", true)],
            Self::Memory => &[("writer", false)],
            Self::Linux => &[("linux", false)],
        };
        others.iter().copied().chain([("probe", true)]).collect()
    }
}
