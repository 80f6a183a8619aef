//! One run of a machine, from power-on to its end: starts the emulator, takes its serial stream apart, collects events
//! and problems, keeps the full log, and stops at the scenario's end or limit. `run` and `test` differ only in what
//! they make of the [`Session`].

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::emulator::Emulator;
use super::hold::Hold;
use super::operator::{self, Operator};
use super::typist::{Hands, Typist};
use crate::build::{Built, Form};
use crate::compose::{Sources, Whose};
use crate::console::{Demultiplexer, Frames, Line};
use crate::devices::Files;
use crate::events::{self, Event, Problem, Said, Source};
use crate::kernel::{self, Flavour};
use crate::peer;
use crate::qemu::{self, Child, Clock, Finished, Output, Place, Qemu};
use crate::scenario::Scenario;

/// How often the virtual clock is read while nothing else happens.
const LOOK: Duration = Duration::from_millis(500);

/// Host time for a machine that does not even run: start, plus this often its virtual limit.
const PATIENCE: (Duration, u32) = (Duration::from_secs(120), 30);

/// Why a machine stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The hypervisor powered it off.
    PoweredOff,
    /// The scenario's `[end]` event came.
    Event,
    /// The scenario's limit of virtual time passed.
    Limit,
    /// It made no progress in a long time of the host's.
    Stuck,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The emulator failed; its message.
    Failed(String),
}

/// What a run gave.
pub(crate) struct Session {
    /// All events in order.
    pub(crate) said: Vec<Said>,
    /// Lines that tools must not ignore.
    pub(crate) problems: Vec<Problem>,
    /// All lines in order, events included.
    pub(crate) lines: Vec<Line>,
    /// Why it stopped.
    pub(crate) ended: Ended,
    /// The emulator's command line.
    pub(crate) command: String,
    /// Where the full log is.
    pub(crate) log: PathBuf,
    /// What is behind the machine's devices; disks are gone when this is.
    pub(crate) files: Files,
}

/// A machine that is ready to start.
pub(crate) struct Machine<'s> {
    emulator: Emulator<'s>,
    scenario: &'s Scenario,
    console: Demultiplexer,
    log: PathBuf,
    files: Files,
    /// Lets go of the files when the machine is gone.
    _hold: Hold,
    hands: Hands,
    /// Who is to know where the machine's second monitor is.
    at_monitor: Option<Box<dyn FnOnce(Place)>>,
}

impl<'s> Machine<'s> {
    /// Composes the machine of a scenario; its files go to `folder`.
    ///
    /// # Errors
    /// Names what is missing or does not fit.
    pub(crate) fn new(
        qemu: &'s Qemu,
        scenario: &'s Scenario,
        built: &Built,
        clock: Clock,
        folder: &Path,
    ) -> Result<Self> {
        let whose = if scenario.hypervisor.none { Whose::Nobody } else { Whose::Ours };
        Self::under(whose, qemu, scenario, built, clock, folder)
    }

    /// The same under the hypervisor that is named.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn under(
        whose: Whose,
        qemu: &'s Qemu,
        scenario: &'s Scenario,
        built: &Built,
        clock: Clock,
        folder: &Path,
    ) -> Result<Self> {
        let hold = Hold::take(folder, &scenario.name())?;
        let sources = Sources {
            whose,
            program: &|name| built.guests.join(name),
            clip: &|| Ok(built.clip.archive.clone()),
            clip_start: &|| Ok(built.clip.start.clone()),
            kernel: &Flavour::kernel,
            busybox: &kernel::initramfs,
            pv: &kernel::pv,
            bench_io: &kernel::bench_io,
            domain0: &kernel::domain0,
            cyclictest: &kernel::cyclictest,
        };
        let [image, elf] = built.hypervisor(Form::of(scenario).unwrap_or(Form::Usual));
        // Where the peer has a domain 0 in an I/O domain's place, that is no number of theirs.
        let guests = || scenario.guests.iter().filter(|guest| whose != Whose::Peers || !guest.io_domain);
        let names = || guests().map(|guest| guest.name.clone()).collect();
        let console = match whose {
            Whose::Ours => {
                Demultiplexer::new(Frames::read(&elf)?).through(scenario.io_domain().map(|guest| guest.name.as_str()))
            }
            Whose::Peers | Whose::Nobody => Demultiplexer::of_peer(names()),
        };
        let files = Files::make(scenario, &folder.join(scenario.name()))?;
        let emulator = match whose {
            Whose::Nobody => Emulator::without_hypervisor(qemu, scenario, &sources, clock)?,
            Whose::Peers => Emulator::new(&peer::image()?, scenario, qemu, &sources, (clock, folder), &files)?,
            Whose::Ours => Emulator::new(&image, scenario, qemu, &sources, (clock, folder), &files)?,
        };
        let log = folder.join(format!("{}.log", scenario.name()));
        Ok(Self { emulator, scenario, console, log, files, hands: Hands::Scenario, at_monitor: None, _hold: hold })
    }

    /// The machine of a scenario without any hypervisor: its only guest beside an I/O domain, a stock kernel, has what the guest
    /// would have of processors and memory, and the devices themselves; the emulator is its loader.
    ///
    /// # Errors
    /// The scenario is no such thing, or a file is missing.
    pub(crate) fn bare(qemu: &'s Qemu, scenario: &'s Scenario, clock: Clock, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let hold = Hold::take(folder, &scenario.name())?;
        let guests: Vec<_> = scenario.guests.iter().filter(|guest| !guest.io_domain).collect();
        let [guest] = guests[..] else { bail!("{}: only one guest can be bare", scenario.path.display()) };
        let flavour = guest.image.as_ref().and_then(|image| Flavour::of_word(image.to_str()?));
        let kernel = flavour.context("only a stock kernel can be bare")?.kernel(scenario.machine.board)?;
        let measures = guest.ramdisk.as_ref().is_some_and(|word| word.as_os_str() == "bench-io");
        let ramdisk = if measures { kernel::bench_io } else { kernel::initramfs };
        let mut arguments = qemu::bare(&scenario.machine, guest, &kernel, &ramdisk(scenario.machine.board)?);
        arguments.extend(qemu::clock(clock, &scenario.machine, guest.vcpus));
        let files = Files::make(scenario, &folder.join(scenario.name()))?;
        arguments.extend(qemu::devices(scenario, &files));
        let console = Demultiplexer::of_peer(vec![guest.name.clone()]);
        let log = folder.join(format!("{}.log", scenario.name()));
        let emulator = Emulator::Qemu(qemu, arguments);
        Ok(Self { emulator, scenario, console, log, files, hands: Hands::Scenario, at_monitor: None, _hold: hold })
    }

    /// Lets a person type at a guest's console instead of the scenario.
    pub(crate) fn attach(&mut self, guest: &str) {
        self.hands = Hands::person(self.scenario, guest);
    }

    /// Starts it with a monitor, and tells somebody where that is, who alone may use it: nobody else operates this machine.
    pub(crate) fn at_monitor(&mut self, tell: impl FnOnce(Place) + 'static) {
        self.at_monitor = Some(Box::new(tell));
    }

    /// Runs it to its end; `watch` sees every line as it comes, with its event if it is one.
    ///
    /// # Errors
    /// If the emulator cannot be started or the log not be written.
    pub(crate) fn run(self, watch: &mut dyn FnMut(&Line, Option<&Said>)) -> Result<Session> {
        let operated = operator::is_needed(self.scenario) || self.at_monitor.is_some();
        let mut child = self.emulator.start(self.hands.need_keyboard(self.scenario), operated)?;
        if let (Some(tell), Some(place)) = (self.at_monitor, child.operators_monitor()) {
            tell(place);
        }
        let mut operator = Operator::new(self.scenario, &self.files, &child);
        let mut typist = Typist::new(self.hands, self.scenario, child.keyboard());
        let mut log =
            BufWriter::new(File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?);
        let mut recorder = Recorder::new(self.scenario);
        let mut console = self.console;
        let ended = loop {
            let (lines, over) = match child.next(LOOK) {
                Output::Bytes(bytes) => (console.push(&bytes), None),
                Output::Quiet => (Vec::new(), None),
                Output::Ended => (console.finish(), Some(Ended::PoweredOff)),
            };
            for line in lines {
                write_line(&mut log, &line)?;
                typist.hear(&line);
                operator.hear(&line);
                recorder.take(line, watch);
            }
            if let Some(ended) = over.or_else(|| recorder.over(&child)) {
                break ended;
            }
        };
        log.flush().with_context(|| format!("cannot write {}", self.log.display()))?;
        operator.finish();
        let ended = finish(child, ended)?;
        let command = self.emulator.shown();
        let Recorder { said, problems, lines, .. } = recorder;
        Ok(Session { said, problems, lines, ended, command, log: self.log, files: self.files })
    }
}

/// Ends the emulator; a closed serial port means power-off only if the emulator ended well.
fn finish(child: Child, ended: Ended) -> Result<Ended> {
    let alive = ended != Ended::PoweredOff;
    let finished = child.finish(alive)?;
    if qemu::interrupted() {
        // The terminal's Ctrl-C reaches the emulator too, which then ends as if the machine had powered off.
        return Ok(Ended::Interrupted);
    }
    Ok(match finished {
        _ if alive => ended,
        Finished::Well => ended,
        Finished::TimeUp => Ended::Limit,
        Finished::Badly(why) => Ended::Failed(why),
    })
}

fn write_line(log: &mut impl Write, line: &Line) -> Result<()> {
    match &line.source {
        Some(source) => writeln!(log, "[{source}] {}", line.text),
        None => writeln!(log, "{}", line.text),
    }
    .context("cannot write the log")
}

/// Collects what is said.
struct Recorder<'s> {
    scenario: &'s Scenario,
    said: Vec<Said>,
    problems: Vec<Problem>,
    lines: Vec<Line>,
    ended: bool,
    started: Instant,
    looked: Instant,
}

impl<'s> Recorder<'s> {
    fn new(scenario: &'s Scenario) -> Self {
        let now = Instant::now();
        Self {
            scenario,
            said: Vec::new(),
            problems: Vec::new(),
            lines: Vec::new(),
            ended: false,
            started: now,
            looked: now,
        }
    }

    fn take(&mut self, line: Line, watch: &mut dyn FnMut(&Line, Option<&Said>)) {
        let known = |source: &Source| match source {
            Source::Hypervisor => true,
            Source::Guest(name) => self.scenario.guests.iter().any(|guest| guest.name == *name),
        };
        let parsed = line.source.as_ref().and_then(|source| {
            let parsed = events::parse(source, &line.text)?;
            let stranger = || Problem(format!("[{source}] is no guest of the scenario, but says `{}`", line.text));
            Some(if known(source) { parsed } else { Err(stranger()) })
        });
        match parsed {
            Some(Ok(said)) => {
                watch(&line, Some(&said));
                self.ended |= self.scenario.end.fits(&said);
                self.note_late_end(&said);
                self.said.push(said);
            }
            Some(Err(problem)) => {
                watch(&line, None);
                self.problems.push(problem);
            }
            None => watch(&line, None),
        }
        self.lines.push(line);
    }

    /// The exact clock of the machine's end, beside the coarse one that is read while it runs.
    fn note_late_end(&mut self, said: &Said) {
        if let Event::Elapsed { ns } = said.event
            && ns > self.scenario.limit_ns
        {
            let limit = self.scenario.limit_ns;
            self.problems.push(Problem(format!("the machine ran for {ns} ns, the limit is {limit} ns")));
        }
    }

    fn over(&mut self, child: &Child) -> Option<Ended> {
        if self.ended {
            return Some(Ended::Event);
        }
        if qemu::interrupted() {
            return Some(Ended::Interrupted);
        }
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let seconds = self.scenario.limit_seconds();
        // The clock has whole seconds: one more than the limit has certainly passed it.
        if child.virtual_seconds().is_some_and(|now| now > seconds) {
            return Some(Ended::Limit);
        }
        let patience = PATIENCE.0 + Duration::from_secs(seconds) * PATIENCE.1;
        (self.started.elapsed() > patience).then_some(Ended::Stuck)
    }
}
