//! `cargo xtask setup`: brings a machine to working order, or says what to type where it may not. The other commands
//! ask for what they need by [`ensure`], so that `cargo xtask run` on a fresh machine is enough.

mod apt;
mod sources;
mod toolchain;

use anyhow::{Result, bail};

pub(crate) use toolchain::sysroot;

use crate::board::Board;
use crate::qemu::Qemu;
use crate::{bochs, disk, process};

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say what is missing; the status is not 0 if anything is
    #[arg(long)]
    check: bool,
}

/// Something that a command needs on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The targets and components of `rust-toolchain.toml`.
    Toolchain,
    /// `qemu-system-aarch64` or `qemu-system-x86_64`, version 10 or newer.
    Qemu(Board),
    /// Bochs, its text display, and the BIOS that it starts with.
    Bochs,
    /// The device-tree compiler.
    Dtc,
    /// ffmpeg, which makes the media.
    Ffmpeg,
    /// The tools of ext4, for disks.
    Ext4,
    /// The public headers of Xen, against which `tests/abi` checks.
    XenHeaders,
}

/// Everything, in the order in which it is reported.
const ALL: [Need; 8] = [
    Need::Toolchain,
    Need::Qemu(Board::QemuVirt),
    Need::Qemu(Board::X86),
    Need::Bochs,
    Need::Dtc,
    Need::Ffmpeg,
    Need::Ext4,
    Need::XenHeaders,
];

/// What the tests on the host need.
pub(crate) const FOR_HOST_TESTS: [Need; 5] = [Need::Toolchain, Need::Dtc, Need::Ffmpeg, Need::Ext4, Need::XenHeaders];

/// What a run of a board needs: asked for before anything is built, so that one message names all that is missing.
pub(crate) fn for_runs(board: Board) -> Vec<Need> {
    let mut needs = vec![Need::Toolchain, Need::Qemu(board), Need::Ffmpeg, Need::Ext4];
    if board == Board::X86 {
        needs.push(Need::Bochs);
    }
    needs
}

impl Need {
    /// `None` if it is there, or what is wrong.
    fn problem(self) -> Result<Option<String>> {
        let program = |name: &str| (!process::is_installed(name)).then(|| format!("`{name}` is not installed"));
        Ok(match self {
            Self::Toolchain => toolchain::problem()?,
            Self::Qemu(board) => Qemu::find(board).err().map(|error| error.to_string()),
            Self::Bochs => bochs::problem(),
            Self::Dtc => program("dtc"),
            Self::Ffmpeg => program("ffmpeg"),
            Self::Ext4 => disk::problem(),
            Self::XenHeaders => {
                let dir = std::env::var_os("XEN_PUBLIC_HEADERS").unwrap_or_else(|| "/usr/include/xen".into());
                let there = std::path::Path::new(&dir).join("xen.h").is_file();
                (!there).then(|| "Xen's public headers are not installed".to_owned())
            }
        })
    }

    /// Debian's packages, for what comes from some.
    fn packages(self) -> Vec<apt::Package> {
        let stock = |name| vec![apt::Package { name, backports: false }];
        match self {
            Self::Toolchain => Vec::new(),
            Self::Qemu(Board::QemuVirt) => vec![apt::Package { name: "qemu-system-arm", backports: true }],
            Self::Qemu(Board::X86) => vec![apt::Package { name: "qemu-system-x86", backports: true }],
            Self::Bochs => bochs::PACKAGES.map(|name| apt::Package { name, backports: false }).to_vec(),
            Self::Dtc => stock("device-tree-compiler"),
            Self::Ffmpeg => stock("ffmpeg"),
            Self::Ext4 => stock("e2fsprogs"),
            Self::XenHeaders => stock("libxen-dev"),
        }
    }
}

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    if args.check {
        let problems = problems(&ALL)?;
        if !problems.is_empty() {
            bail!("{}; `cargo xtask setup` brings it in", told(&problems));
        }
    } else {
        ensure(&ALL)?;
    }
    let version = Qemu::find(Board::QemuVirt)?.version;
    println!(
        "Everything is there: toolchain and targets, QEMU {version}, Bochs, dtc, ffmpeg, ext4's tools, Xen's headers."
    );
    Ok(())
}

/// Installs what is missing of `needs`; does nothing, and fast, if nothing is.
///
/// # Errors
/// Something cannot be installed from here; the message says what to type.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing = problems(needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("setup: {}", told(&missing));
    if missing.iter().any(|(need, _)| *need == Need::Toolchain) {
        toolchain::install()?;
    }
    let packages: Vec<_> = missing.iter().flat_map(|(need, _)| need.packages()).collect();
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    let still = problems(needs)?;
    if still.is_empty() {
        return Ok(());
    }
    bail!("after the installation still: {}", told(&still))
}

fn problems(needs: &[Need]) -> Result<Vec<(Need, String)>> {
    let mut found = Vec::new();
    for &need in needs {
        found.extend(need.problem()?.map(|problem| (need, problem)));
    }
    Ok(found)
}

fn told(problems: &[(Need, String)]) -> String {
    problems.iter().map(|(_, problem)| problem.as_str()).collect::<Vec<_>>().join("; ")
}
