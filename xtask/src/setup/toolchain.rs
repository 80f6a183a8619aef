//! The toolchain of `rust-toolchain.toml`. rustup may have the toolchain without the targets and components that the
//! file lists (it adds them by itself only where automatic installation is on), so each is looked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{paths, process};

#[derive(Deserialize)]
struct File {
    toolchain: Toolchain,
}

#[derive(Deserialize)]
struct Toolchain {
    channel: String,
    components: Vec<String>,
    targets: Vec<String>,
}

fn wanted() -> Result<Toolchain> {
    let path = paths::root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(toml::from_str::<File>(&text).context("rust-toolchain.toml is not understood")?.toolchain)
}

/// The folder of the workspace's toolchain.
///
/// # Errors
/// There is no compiler.
pub(crate) fn sysroot() -> Result<PathBuf> {
    let said = process::quiet(Command::new("rustc").args(["--print", "sysroot"]).current_dir(paths::root()))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()))
}

/// `None` if all targets and components are there.
pub(super) fn problem() -> Result<Option<String>> {
    let wanted = wanted()?;
    let missing = missing(&sysroot()?, &wanted);
    if missing.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("toolchain {} lacks {}", wanted.channel, missing.join(", "))))
}

fn missing(sysroot: &Path, wanted: &Toolchain) -> Vec<String> {
    let library = sysroot.join("lib/rustlib");
    let mut missing = Vec::new();
    for target in &wanted.targets {
        if !library.join(target).join("lib").is_dir() {
            missing.push(target.clone());
        }
    }
    for component in &wanted.components {
        if !marks(&library, component).iter().any(|mark| mark.exists()) {
            missing.push(component.clone());
        }
    }
    missing
}

/// Files any of which shows that a component is there.
fn marks(library: &Path, component: &str) -> Vec<PathBuf> {
    let program = |name: &str| vec![library.join("../../bin").join(name)];
    match component {
        "rustfmt" => program("rustfmt"),
        "clippy" => program("cargo-clippy"),
        "rust-src" => vec![library.join("src/rust/library")],
        "llvm-tools" => {
            let hosts = fs::read_dir(library).into_iter().flatten().flatten();
            hosts.map(|host| host.path().join("bin/llvm-objcopy")).collect()
        }
        _ => Vec::new(),
    }
}

/// Lets rustup install what the file lists.
pub(super) fn install() -> Result<()> {
    if !process::is_installed("rustup") {
        bail!(
            "rustup is not installed, and another cargo cannot add targets; install it from https://rustup.rs, then \
             repeat the command"
        );
    }
    eprintln!("setup: rustup toolchain install (as rust-toolchain.toml says)");
    let whole = process::output(rustup().args(["toolchain", "install"]))?;
    if whole.status.success() && problem()?.is_none() {
        return Ok(());
    }
    // Before 1.28 rustup did not read the file for this command.
    let wanted = wanted()?;
    process::quiet(rustup().args(["target", "add"]).args(&wanted.targets))?;
    process::quiet(rustup().args(["component", "add"]).args(&wanted.components))?;
    Ok(())
}

/// rustup in the root, where it finds the file. Cargo names a toolchain in the environment, which would come first.
fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(paths::root()).env_remove("RUSTUP_TOOLCHAIN");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_missing_in_an_empty_sysroot() {
        let wanted = Toolchain {
            channel: "1".into(),
            components: vec!["rustfmt".into(), "llvm-tools".into()],
            targets: vec!["aarch64-unknown-none".into()],
        };
        let found = missing(Path::new("/nowhere"), &wanted);
        assert_eq!(found, ["aarch64-unknown-none", "rustfmt", "llvm-tools"]);
    }

    #[test]
    fn the_file_of_this_workspace_is_understood() {
        let wanted = wanted().unwrap();
        for board in crate::board::Board::ALL {
            for target in [board.guest_target(), board.hypervisor_target()] {
                assert!(wanted.targets.iter().any(|wanted| wanted == target), "{target}");
            }
        }
        for component in &wanted.components {
            assert!(component == "llvm-tools" || !marks(Path::new("/"), component).is_empty(), "{component}");
        }
    }
}
