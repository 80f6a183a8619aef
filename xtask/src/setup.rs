//! `cargo xtask setup`: brings a machine to working order, or says what to type where it may not. The other commands
//! ask for what they need by [`ensure`], so that `cargo xtask run` on a fresh machine is enough.

mod apt;
mod sources;
mod toolchain;

use anyhow::{Result, bail};

use crate::process;
use crate::qemu::Qemu;

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
    /// `qemu-system-aarch64`, version 10 or newer.
    Qemu,
    /// The device-tree compiler.
    Dtc,
    /// ffmpeg, which makes the media.
    Ffmpeg,
    /// The public headers of Xen, against which `tests/abi` checks.
    XenHeaders,
}

/// Everything, in the order in which it is reported.
pub(crate) const ALL: [Need; 5] = [Need::Toolchain, Need::Qemu, Need::Dtc, Need::Ffmpeg, Need::XenHeaders];

/// What a run needs: asked for before anything is built, so that one message names all that is missing.
pub(crate) const FOR_RUNS: [Need; 3] = [Need::Toolchain, Need::Qemu, Need::Ffmpeg];

impl Need {
    /// `None` if it is there, or what is wrong.
    fn problem(self) -> Result<Option<String>> {
        let program = |name: &str| (!process::is_installed(name)).then(|| format!("`{name}` is not installed"));
        Ok(match self {
            Self::Toolchain => toolchain::problem()?,
            Self::Qemu => Qemu::find().err().map(|error| error.to_string()),
            Self::Dtc => program("dtc"),
            Self::Ffmpeg => program("ffmpeg"),
            Self::XenHeaders => {
                let dir = std::env::var_os("XEN_PUBLIC_HEADERS").unwrap_or_else(|| "/usr/include/xen".into());
                let there = std::path::Path::new(&dir).join("xen.h").is_file();
                (!there).then(|| "Xen's public headers are not installed".to_owned())
            }
        })
    }

    /// Debian's package, for what comes from one.
    fn package(self) -> Option<apt::Package> {
        let stock = |name| Some(apt::Package { name, backports: false });
        match self {
            Self::Toolchain => None,
            Self::Qemu => Some(apt::Package { name: "qemu-system-arm", backports: true }),
            Self::Dtc => stock("device-tree-compiler"),
            Self::Ffmpeg => stock("ffmpeg"),
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
    println!("Everything is there: toolchain and targets, QEMU {}, dtc, ffmpeg, Xen's headers.", Qemu::find()?.version);
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
    let packages: Vec<_> = missing.iter().filter_map(|(need, _)| need.package()).collect();
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
