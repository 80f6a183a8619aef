//! `cargo xtask build`: the hypervisor for its board, the guests and their media, as the files that a loader takes.
//! The compiler's output is kept back unless it failed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::board::Board;
use crate::progress::Steps;
use crate::scenario::{Scenario, Scheduler};
use crate::setup::Need;
use crate::{clip, image, kernel, paths, process, setup};

/// The guests that are built.
const GUESTS: &[&str] = &["player", "hog", "probe", "measure", "iod"];

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to build; everything if nothing is named
    parts: Vec<Part>,
    /// The board it is for
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// The hypervisor with the schedulers that are there only to be compared with, into a folder of its own
    #[arg(long)]
    comparison: bool,
}

/// What can be built by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Hypervisor,
    Guests,
    Media,
    /// What stock guests with devices start from: an initial RAM disk, and the files of a root file system.
    Linux,
}

/// What a build needs on this machine.
const NEEDS: &[Need] = &[Need::Toolchain, Need::Ffmpeg];

/// Which build of the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// What is flashed, and measured.
    Usual,
    /// With the schedulers that are there only to be compared with.
    Comparison,
}

impl Form {
    /// The one that a scenario runs on; none where there is no hypervisor.
    pub(crate) fn of(scenario: &Scenario) -> Option<Self> {
        let compares = scenario.hypervisor.scheduler.is_some_and(Scheduler::is_for_comparison);
        (!scenario.hypervisor.none).then_some(if compares { Self::Comparison } else { Self::Usual })
    }
}

/// What a build made.
pub(crate) struct Built {
    board: Board,
    /// Folder of the guests: arm64 Images, or x86 ELF files.
    pub(crate) guests: PathBuf,
    /// The player's media.
    pub(crate) clip: clip::Clip,
}

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    setup::ensure(NEEDS)?;
    let steps = Steps::new(parts.len());
    let mut made = Vec::new();
    for part in parts {
        match part {
            Part::Hypervisor => {
                let form = if args.comparison { Form::Comparison } else { Form::Usual };
                made.push(steps.step("hypervisor", || hypervisor(args.board, form))?.0);
            }
            Part::Guests => {
                let dir = steps.step("guests", || guests(args.board))?;
                made.extend(GUESTS.iter().map(|guest| dir.join(guest)));
            }
            Part::Media => made.push(steps.step("media", clip::ensure_made)?.archive),
            Part::Linux => made.extend(steps.step("files for Linux", || linux(args.board))?),
        }
    }
    drop(steps);
    for path in made {
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        println!("{bytes:>9} bytes  {}", paths::shown(&path));
    }
    Ok(())
}

impl Built {
    /// The hypervisor in one of its forms: a flat arm64 Image, on x86 the ELF file itself; and the same with symbols and log
    /// strings. It is there if the build was asked for it.
    pub(crate) fn hypervisor(&self, form: Form) -> [PathBuf; 2] {
        hypervisor_files(self.board, form)
    }
}

/// Builds all that a run needs, and says on standard error how far it is.
///
/// # Errors
/// Something that a build needs is missing, does not compile, or gives no Image.
pub(crate) fn everything(board: Board) -> Result<Built> {
    some(board, &[Form::Usual])
}

/// The same, with the hypervisor in those forms that somebody needs.
///
/// # Errors
/// The same.
pub(crate) fn some(board: Board, forms: &[Form]) -> Result<Built> {
    setup::ensure(NEEDS)?;
    let wanted = [(Form::Usual, "hypervisor"), (Form::Comparison, "hypervisor with schedulers to compare")];
    let wanted: Vec<_> = wanted.into_iter().filter(|(form, _)| forms.contains(form)).collect();
    let steps = Steps::new(2 + wanted.len());
    for (form, name) in wanted {
        steps.step(name, || hypervisor(board, form))?;
    }
    let guests = steps.step("guests", || guests(board))?;
    let clip = steps.step("media", clip::ensure_made)?;
    Ok(Built { board, guests, clip })
}

/// The hypervisor's Image, which on x86 is the ELF file itself, and its ELF file.
fn hypervisor_files(board: Board, form: Form) -> [PathBuf; 2] {
    let mut dir = paths::board_images(board.name());
    if form == Form::Comparison {
        dir.push("comparison");
    }
    let elf = dir.join("makuhari.elf");
    match board {
        Board::QemuVirt => [dir.join("Image"), elf],
        Board::X86 => [elf.clone(), elf],
    }
}

/// Builds the hypervisor; its Image and its ELF file.
///
/// # Errors
/// It does not compile or gives no Image.
pub(crate) fn hypervisor(board: Board, form: Form) -> Result<(PathBuf, PathBuf)> {
    let features: &[&str] = if form == Form::Comparison { &["comparison"] } else { &[] };
    compile(board.hypervisor_target(), &[board.name()], features, &[])?;
    let [image, elf] = hypervisor_files(board, form);
    let linked = paths::target().join(board.hypervisor_target()).join("release").join(board.name());
    match board {
        Board::QemuVirt => image::write(&linked, &image, &elf)?,
        Board::X86 => image::copy(&linked, &elf)?,
    }
    Ok((image, elf))
}

/// Builds the guests; the folder of their files.
fn guests(board: Board) -> Result<PathBuf> {
    let dir = board.guest_images();
    let flags = if board == Board::X86 { X86_GUEST_FLAGS } else { &[] };
    compile(board.guest_target(), GUESTS, &[], flags)?;
    for guest in GUESTS {
        let elf = paths::target().join(board.guest_target()).join("release").join(guest);
        match board {
            Board::QemuVirt => image::write(&elf, &dir.join(guest), &dir.join(format!("{guest}.elf")))?,
            Board::X86 => image::copy_pvh(&elf, &dir.join(guest))?,
        }
    }
    Ok(dir)
}

/// The initial RAM disk for a stock kernel with devices, and the folder of its root file system.
fn linux(board: Board) -> Result<[PathBuf; 2]> {
    Ok([kernel::pv(board)?, kernel::root(board)?])
}

/// Builds the programs for stock Linux guests; the folder of their files.
///
/// # Errors
/// They do not compile.
pub(crate) fn linux_programs(board: Board) -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    compile(board.linux_target(), &["linux-programs"], &[], LINUX_FLAGS)?;
    Ok(paths::target().join(board.linux_target()).join("release"))
}

/// The linker that comes with the compiler knows every processor, that of this machine need not.
const LINUX_FLAGS: &[&str] = &["-Clinker=rust-lld", "-Clinker-flavor=ld.lld"];

/// The target is one of programs for Linux (ADR 0003): nothing of that is linked, and the addresses are the script's.
const X86_GUEST_FLAGS: &[&str] =
    &["-Crelocation-model=static", "-Clinker=rust-lld", "-Clinker-flavor=ld.lld", "-Clink-self-contained=no"];

fn compile(target: &str, packages: &[&str], features: &[&str], more_flags: &[&str]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--locked", "--release", "--target", target]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for feature in features {
        cargo.args(["--features", feature]);
    }
    cargo.arg("--target-dir").arg(paths::target()).env("RUSTFLAGS", flags(more_flags)?);
    process::quiet(&mut cargo)?;
    Ok(())
}

/// Compiler flags that take this machine's folders out of the binaries, so that an image has the same bytes everywhere.
///
/// # Errors
/// There is no compiler.
fn flags(more: &[&str]) -> Result<OsString> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|dir| dir.join(".cargo"))).unwrap_or_default();
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let mut flags = OsString::new();
    let mut remap = |folder: &Path, name: &str| {
        flags.push(" --remap-path-prefix=");
        flags.push(folder);
        flags.push(name);
    };
    remap(&paths::root(), "=.");
    registries.for_each(|registry| remap(&registry.path(), "=crates"));
    // Where the component rust-src is installed, messages name its files by their place on this machine.
    remap(&setup::sysroot()?.join("lib/rustlib/src/rust"), "=rust");
    for flag in more {
        flags.push(" ");
        flags.push(flag);
    }
    Ok(flags)
}
