//! `cargo xtask run`: builds everything, runs a scenario in the emulator, shows its consoles, and reports how late each
//! frame was. Its status is 0 only if the run was a good one.

mod emulator;
mod hold;
mod operator;
mod record;
mod screen;
pub(crate) mod session;
mod typist;

use anyhow::{Result, bail, ensure};

use crate::board::Board;
use crate::build::{self, Form};
use crate::console::Paint;
use crate::qemu::{self, Clock, Qemu};
use crate::report::{self, Figures, promises};
use crate::scenario::{self, Vendor};
use crate::{after, http, paths, setup};
use screen::Screen;
use session::Machine;

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
#[command(after_help = "\
Writes target/reports/run.json and target/reports/run.html, and the full log to target/run/NAME.log; with --record also
target/reports/NAME.wav and NAME-WHEN.png, what came out of the machine's sound card and display.
Status 0 means a good run: it ended by itself, all frames were decoded as ffmpeg decodes them, and none was late.
NO_COLOR=1 turns colours off; QEMU=/path/to/qemu-system-aarch64 takes another emulator, QEMU_X86 another for x86.")]
pub(crate) struct Args {
    /// A name in the board's folder of scenarios, or the path of a scenario file
    #[arg(long, default_value = "media", value_name = "NAME|PATH")]
    scenario: String,
    /// The board, whose scenarios are in boards/BOARD/scenarios
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// On x86: whose CPU, in place of the scenario's
    #[arg(long, value_enum)]
    vendor: Option<Vendor>,
    /// Play in real time; figures then depend on this machine and are not to be quoted
    #[arg(long)]
    wall: bool,
    /// Leave what comes out of the machine's sound card and display in target/reports; of `media`, which has neither, the same
    /// with devices (`record`)
    #[arg(long)]
    record: bool,
    /// Print only the contents of run.json to standard output
    #[arg(long)]
    json: bool,
    /// Show only this console: `hyp` or a guest's name (may be repeated); a single guest with a serial port (vpl011) gets
    /// the keyboard, and the machine then runs in real time
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    console: Vec<String>,
    /// Show event lines (`@...`) on the consoles too
    #[arg(long, conflicts_with = "json")]
    events: bool,
}

/// Runs the scenario.
///
/// # Errors
/// Bad input, a build that fails, or a run that is not a good one.
pub(crate) fn main(args: Args) -> Result<()> {
    qemu::watch_interrupts();
    let name = if args.record { record::variant(args.board, &args.scenario) } else { &args.scenario };
    let mut scenario = scenario::single(&args.board.scenarios(), name)?;
    let board = scenario.machine.board;
    if let Some(vendor) = args.vendor {
        ensure!(board == Board::X86, "--vendor is about x86; {} is a scenario of {}", scenario.name(), board.name());
        scenario.machine.set_cpu(vendor.cpu());
    }
    if args.record {
        record::prepare(&mut scenario)?;
    }
    let _server = http::serve(&mut scenario)?;
    setup::ensure(&setup::for_runs(board))?;
    let built = build::some(board, Form::of(&scenario).as_slice())?;
    let qemu = Qemu::find(board)?;
    // A person types in real time, so the machine's clock must not run ahead.
    let attached = match args.console.as_slice() {
        [name] => scenario.guests.iter().find(|guest| guest.vpl011 && guest.name == *name),
        _ => None,
    };
    let clock = if args.wall || attached.is_some() { Clock::Wall } else { Clock::Instructions };
    let mut machine = Machine::new(&qemu, &scenario, &built, clock, &paths::target().join("run"))?;
    if let Some(guest) = attached {
        machine.attach(&guest.name);
    }
    let paint = if args.json { Paint::off() } else { Paint::stdout() };
    let mut screen = Screen::new(&scenario, built.clip.picture_crcs.len() as u64, paint, !args.json);
    screen.choose(&args.console, args.events)?;
    if attached.is_some() {
        screen.leave_out_bar();
    }
    let session = machine.run(&mut |line, said| screen.show(line, said))?;
    screen.close();
    let mut figures = Figures::new(&session, &scenario, &built.clip.picture_crcs);
    if promises::concern(&scenario) && clock == Clock::Instructions {
        figures.failures.extend(promises::broken(&figures.summary)?);
    }
    figures.failures.extend(after::failures(&session, &scenario));
    let [json, page] = report::write(&figures, &scenario, &session.command, &paths::reports())?;
    let recorded = if args.record { record::leave(&session, &scenario, &paths::reports())? } else { Vec::new() };
    if args.json {
        print!("{}", report::json(&figures)?);
    } else {
        println!("\n{}", report::table(&figures, paint));
        println!("report: {} and {}; log: {}", paths::shown(&json), paths::shown(&page), paths::shown(&session.log));
        if !recorded.is_empty() {
            println!("recorded: {}", recorded.iter().map(|path| paths::shown(path)).collect::<Vec<_>>().join(" "));
        }
    }
    if figures.failures.is_empty() {
        return Ok(());
    }
    bail!("not a good run: {}", figures.failures.join("\n  "))
}
