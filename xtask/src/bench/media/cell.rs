//! A cell of the matrix: who schedules, what else runs, and on how many CPUs. A cell is a scenario like any other, written
//! as text into a file, so that one of them can be repeated and changed by hand.

use clap::ValueEnum;
use linux_programs::random::Random;

use super::work::Work;
use crate::board::Board;

/// Who schedules: our classes, or the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sched {
    /// Credit as in Xen of 2008: 30 ms slices, accounted every 10 ms
    Stock,
    /// Credit accounted by time stamps, short slices while several wait
    Client,
    /// The simple EDF of old Xen
    Sedf,
    /// The player and the probe have reservations
    Reserve,
    /// The hypervisor finds out by itself what to reserve
    AutoReserve,
    /// Xen 4.17's credit; `--peer` adds it
    XenCredit,
    /// Xen 4.17's credit2; `--peer` adds it
    XenCredit2,
}

impl Sched {
    /// The peer's.
    pub(super) const PEERS: [Self; 2] = [Self::XenCredit, Self::XenCredit2];

    /// Ours.
    pub(super) fn ours() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|sched| !sched.is_peers()).collect()
    }

    /// Whether it is the peer's.
    pub(super) fn is_peers(self) -> bool {
        Self::PEERS.contains(&self)
    }

    /// Whether it is only in the image that is built to compare with.
    pub(super) fn is_for_comparison(self) -> bool {
        matches!(self, Self::Stock | Self::Sedf)
    }

    /// Whether the guests that need it have a reservation, given or found.
    pub(super) fn reserves(self) -> bool {
        matches!(self, Self::Reserve | Self::AutoReserve)
    }

    /// What it adds to the options of a scenario's hypervisor, as lines.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Stock => "scheduler = \"stock\"\n",
            Self::Sedf => "scheduler = \"sedf\"\n",
            Self::XenCredit => "peer = \"sched=credit\"\n",
            Self::XenCredit2 => "peer = \"sched=credit2\"\n",
            Self::Client | Self::Reserve | Self::AutoReserve => "",
        }
    }

    /// What a guest that it promises something has in a scenario, as lines.
    pub(super) fn keys(self, budget_ns: u64, period_ns: u64) -> String {
        match self {
            Self::Reserve => format!("sched = \"reserve\"\nbudget_ns = {budget_ns}\nperiod_ns = {period_ns}\n"),
            Self::Sedf => format!("sched = \"sedf\"\nbudget_ns = {budget_ns}\nperiod_ns = {period_ns}\n"),
            Self::AutoReserve => "auto_reserve = true\n".into(),
            Self::Stock | Self::Client | Self::XenCredit | Self::XenCredit2 => String::new(),
        }
    }
}

/// What runs beside the player and the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Load {
    /// Nothing
    Idle,
    /// Three guests that compute and never sleep
    Hogs,
    /// The same, and the player has half the work: well inside a fair share
    Half,
    /// One that computes under 20,000 interrupts a second of its own timer
    Interrupts,
    /// One that computes and sends 20,000 events a second to another, which sleeps in between
    Events,
    /// One that writes 8 MiB again and again
    Memory,
    /// Debian's kernel, which boots and then computes
    Linux,
}

/// The word for a value on the command line and in reports.
pub(super) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) sched: Sched,
    pub(super) load: Load,
    /// Physical CPUs.
    pub(super) cpus: u32,
    /// How long the player plays, seconds of virtual time.
    pub(super) seconds: u64,
    /// Where in their periods player and probe start.
    pub(super) seed: u64,
    /// The machine.
    pub(super) board: Board,
}

impl Cell {
    /// Every combination, in the order of a table.
    pub(super) fn all(
        scheds: &[Sched],
        loads: &[Load],
        cpus: &[u32],
        seconds: u64,
        seed: u64,
        board: Board,
    ) -> Vec<Self> {
        let mut cells = Vec::new();
        for &cpus in cpus {
            for &load in loads {
                cells.extend(scheds.iter().map(|&sched| Self { sched, load, cpus, seconds, seed, board }));
            }
        }
        cells
    }

    /// Its name, which is its scenario's too.
    pub(super) fn name(&self) -> String {
        let board = if self.board == Board::default() { String::new() } else { format!("{}-", self.board.name()) };
        format!("{board}{}-{}-{}", name(self.sched), name(self.load), self.cpus)
    }

    /// What the player does.
    pub(super) fn work(&self) -> Work {
        Work::new(self.load, self.cpus)
    }

    /// The command that measures this cell alone.
    pub(super) fn command(&self) -> String {
        let Self { sched, load, cpus, seconds, seed, board } = *self;
        let board = if board == Board::default() { String::new() } else { format!(" --board {}", board.name()) };
        format!(
            "cargo xtask bench media{board} --sched {} --load {} --cpus {cpus} --seconds {seconds} --seed {seed}",
            name(sched),
            name(load)
        )
    }

    /// The text of its scenario.
    pub(super) fn scenario(&self) -> String {
        let Self { sched, load, cpus, seconds, board, .. } = *self;
        let work = self.work();
        let mut text = format!(
            "about = \"The player and a probe under `{}`, beside the load `{}`.\"\nlimit_ns = {}\n\n[machine]\nboard = \"{}\"\n\
             cpus = {cpus}\n\n[hypervisor]\nlog = \"defmt\"\n",
            name(sched),
            name(load),
            (seconds + PATIENCE) * SECOND,
            board.name()
        );
        text += sched.option();
        if sched.is_peers() {
            // It goes on when its guests have ended.
            text += "\n[end]\nevent = \"done\"\nfrom = \"player\"\n";
        }
        let [player_lead, probe_lead] = self.leads();
        let arguments = format!(
            "work={},{} seconds={seconds} lead_ns={player_lead} linger_ns={LINGER}",
            work.picture_insns, work.sound_insns
        );
        text += &guest("player", "program = \"player\"", 32, &arguments);
        text += "on_poweroff = \"machine-off\"\n";
        text += &sched.keys(PLAYER_BUDGET, SECOND / 60);
        let times = seconds * SECOND / PROBE_PERIOD;
        let arguments = format!("mode=cyclic lead_ns={probe_lead} period_ns={PROBE_PERIOD} times={times}");
        text += &guest("probe", "program = \"measure\"", 16, &arguments);
        text += &sched.keys(PROBE_BUDGET, PROBE_PERIOD);
        text + &load.guests(board)
    }

    /// From their start to the first release of player and probe, ns: long enough for all others to have started, and then
    /// anywhere in the period.
    fn leads(&self) -> [u64; 2] {
        let mut random = Random::new(self.seed);
        [SECOND / 60, PROBE_PERIOD].map(|period| LEAD + random.below(period))
    }
}

impl Load {
    /// Its guests, as a scenario has them.
    pub(super) fn guests(self, board: Board) -> String {
        let hog = |name: &str, arguments: &str| guest(name, "program = \"hog\"", 16, arguments);
        match self {
            Self::Idle => String::new(),
            Self::Hogs | Self::Half => ["hog-1", "hog-2", "hog-3"].map(|name| hog(name, "mode=count")).concat(),
            Self::Interrupts => hog("interrupts", "mode=interrupts"),
            // Their numbers are their places in the file, from 1.
            Self::Events => {
                hog("events", "mode=events to=4 rate=20000") + "peers = [\"sink\"]\n" + &hog("sink", "mode=sink to=3")
            }
            // A node of the name `memory` is RAM to Xen.
            Self::Memory => guest("writer", "program = \"hog\"", 32, "mode=memory"),
            Self::Linux => {
                let console = match board {
                    Board::QemuVirt => "ttyAMA0",
                    Board::X86 => "ttyS0",
                };
                guest("linux", "image = \"linux-cloud\"", 256, &format!("console={console} mk.busy"))
                    + "ramdisk = \"busybox\"\nvpl011 = true\n"
            }
        }
    }
}

const SECOND: u64 = 1_000_000_000;
/// Virtual seconds that a cell may take longer than its player plays.
const PATIENCE: u64 = 30;
/// Between two releases of the probe, ns: what cyclictest has without options.
pub(super) const PROBE_PERIOD: u64 = 1_000_000;
/// What the player may run in each period of its pictures, ns: a picture and two sound periods, 4.8 ms, and what its
/// wake-ups cost; 30 % of a CPU.
const PLAYER_BUDGET: u64 = 5_000_000;
/// The same for the probe in its own.
const PROBE_BUDGET: u64 = 50_000;
/// From the start of a guest to its first release at least, ns.
const LEAD: u64 = 100_000_000;
/// How long the player lives on when it has told all, ns: until the others have told what they got, once a second.
const LINGER: u64 = 1_500_000_000;

/// The lines of a guest that is `what`.
pub(super) fn guest(name: &str, what: &str, memory_mib: u64, arguments: &str) -> String {
    format!("\n[[guest]]\nname = \"{name}\"\n{what}\nmemory_mib = {memory_mib}\nbootargs = \"{arguments}\"\n")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Board, Cell, Load, Sched};
    use crate::report::tests::scenario;

    #[test]
    fn every_cell_is_a_scenario_of_its_own() {
        let loads = Load::value_variants();
        let cells = Board::ALL.map(|board| Cell::all(Sched::value_variants(), loads, &[1, 2], 10, 1, board)).concat();
        assert_eq!(cells.len(), 7 * loads.len() * 2 * 2);
        for (number, cell) in cells.iter().enumerate() {
            assert!(cells.iter().take(number).all(|other| other.name() != cell.name()), "{}", cell.name());
            let read = scenario(&cell.scenario());
            assert_eq!((read.machine.cpus, read.machine.board), (cell.cpus, cell.board));
            assert_eq!(read.guests[0].name, "player");
            assert_eq!(read.hypervisor.peer.is_some(), cell.sched.is_peers());
            assert_eq!(read.guests[0].budget_ns.is_some(), matches!(cell.sched, Sched::Reserve | Sched::Sedf));
            assert_eq!(read.guests[0].auto_reserve, cell.sched == Sched::AutoReserve);
        }
    }

    #[test]
    fn a_seed_moves_the_starts() {
        let cell = |seed| Cell::all(&[Sched::Client], &[Load::Idle], &[1], 10, seed, Board::X86)[0];
        assert_eq!(cell(1).leads(), cell(1).leads());
        assert_ne!(cell(1).leads(), cell(2).leads());
        assert!(cell(3).leads()[1] < 101_000_000);
        assert!(cell(3).command().contains("--board x86") && cell(3).command().ends_with("--seed 3"));
    }
}
