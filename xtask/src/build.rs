//! `cargo xtask build`: the hypervisor for its board, the guests and their media, as the files that a loader takes.
//! The compiler's output is kept back unless it failed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::progress::Steps;
use crate::setup::Need;
use crate::{clip, image, paths, process, setup};

/// EL2 never touches the floating-point registers, which belong to the guests.
pub(crate) const HYPERVISOR_TARGET: &str = "aarch64-unknown-none-softfloat";
/// Guests use floating point as real ones do (ADR 0003).
pub(crate) const GUEST_TARGET: &str = "aarch64-unknown-none";
/// The guests that are built.
pub(crate) const GUESTS: [&str; 4] = ["player", "hog", "probe", "measure"];
/// The board that is built.
pub(crate) const BOARD: &str = "qemu-virt";

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to build; everything if nothing is named
    parts: Vec<Part>,
}

/// What can be built by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Hypervisor,
    Guests,
    Media,
}

/// What a build needs on this machine.
const NEEDS: &[Need] = &[Need::Toolchain, Need::Ffmpeg];

/// What a build made.
pub(crate) struct Built {
    /// The hypervisor: a flat arm64 Image.
    pub(crate) image: PathBuf,
    /// The same with symbols and log strings.
    pub(crate) elf: PathBuf,
    /// Folder of the guests' Images.
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
            Part::Hypervisor => made.push(steps.step("hypervisor", hypervisor)?.0),
            Part::Guests => {
                let dir = steps.step("guests", guests)?;
                made.extend(GUESTS.map(|guest| dir.join(guest)));
            }
            Part::Media => made.push(steps.step("media", clip::ensure_made)?.archive),
        }
    }
    drop(steps);
    for path in made {
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        println!("{bytes:>9} bytes  {}", paths::shown(&path));
    }
    Ok(())
}

/// Builds all that a run needs, and says on standard error how far it is.
///
/// # Errors
/// Something that a build needs is missing, does not compile, or gives no Image.
pub(crate) fn everything() -> Result<Built> {
    setup::ensure(NEEDS)?;
    let steps = Steps::new(3);
    let (image, elf) = steps.step("hypervisor", hypervisor)?;
    let guests = steps.step("guests", guests)?;
    let clip = steps.step("media", clip::ensure_made)?;
    Ok(Built { image, elf, guests, clip })
}

/// Builds the hypervisor; its Image and its ELF file.
///
/// # Errors
/// It does not compile or gives no Image.
pub(crate) fn hypervisor() -> Result<(PathBuf, PathBuf)> {
    compile(HYPERVISOR_TARGET, &[BOARD])?;
    let dir = paths::board_images(BOARD);
    let (flat, elf) = (dir.join("Image"), dir.join("makuhari.elf"));
    image::write(&paths::target().join(HYPERVISOR_TARGET).join("release").join(BOARD), &flat, &elf)?;
    Ok((flat, elf))
}

/// Builds the guests; the folder of their Images.
fn guests() -> Result<PathBuf> {
    compile(GUEST_TARGET, &GUESTS)?;
    let dir = paths::guest_images();
    for guest in GUESTS {
        let elf = paths::target().join(GUEST_TARGET).join("release").join(guest);
        image::write(&elf, &dir.join(guest), &dir.join(format!("{guest}.elf")))?;
    }
    Ok(dir)
}

fn compile(target: &str, packages: &[&str]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--locked", "--release", "--target", target]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.arg("--target-dir").arg(paths::target()).env("RUSTFLAGS", flags());
    process::quiet(&mut cargo)?;
    Ok(())
}

/// Compiler flags that take this machine's folders out of the binaries, so that an image has the same bytes everywhere.
fn flags() -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|dir| dir.join(".cargo"))).unwrap_or_default();
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let mut flags = OsString::from("--remap-path-prefix=");
    flags.push(paths::root());
    flags.push("=.");
    for registry in registries {
        flags.push(" --remap-path-prefix=");
        flags.push(registry.path());
        flags.push("=crates");
    }
    flags
}
