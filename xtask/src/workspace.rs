//! The workspace's crates, as cargo knows them: which there are, what each depends on, and for which machine it is
//! built. A crate's machine follows from its folder, so that a new crate is linted and documented from its first day.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::board::Board;
use crate::{paths, process};

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, relative to the root, with `/` between the parts.
    pub(crate) folder: String,
    /// Names of what it is linked with; development and build dependencies are not.
    pub(crate) dependencies: Vec<String>,
}

/// Crates that are built for one machine.
pub(crate) struct Group {
    /// What a person calls it.
    pub(crate) name: &'static str,
    /// The target; `None` is the machine that types the commands.
    pub(crate) target: Option<&'static str>,
    packages: Vec<String>,
}

impl Group {
    /// Adds the arguments that select this group's crates and target.
    pub(crate) fn select(&self, cargo: &mut Command) {
        cargo.arg("--target-dir").arg(paths::target());
        for package in &self.packages {
            cargo.args(["--package", package]);
        }
        if let Some(target) = self.target {
            cargo.args(["--target", target]);
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: String,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    kind: Option<String>,
}

/// All crates of the workspace.
///
/// # Errors
/// A manifest is damaged, or `Cargo.lock` does not fit the manifests.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let output = process::quiet(process::cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    Ok(metadata.packages.into_iter().map(package).collect())
}

fn package(package: MetadataPackage) -> Package {
    let folder = Path::new(&package.manifest_path).parent().unwrap_or(Path::new(""));
    let linked = package.dependencies.into_iter().filter(|dependency| dependency.kind.is_none());
    Package {
        name: package.name,
        folder: folder.strip_prefix(paths::root()).unwrap_or(folder).display().to_string(),
        dependencies: linked.map(|dependency| dependency.name).collect(),
    }
}

/// The crates by the machine they are built for; those that are for several are in several groups.
pub(crate) fn groups(packages: &[Package]) -> Vec<Group> {
    let mut machines = vec![("host", None)];
    for board in Board::ALL {
        let names = match board {
            Board::QemuVirt => ["hypervisor", "guests"],
            Board::X86 => ["hypervisor, x86", "guests, x86"],
        };
        machines.extend(names.into_iter().zip([Some(board.hypervisor_target()), Some(board.guest_target())]));
    }
    machines
        .into_iter()
        .map(|(name, target)| {
            let members = packages.iter().filter(|package| match target {
                None => targets_of(&package.folder).is_empty(),
                Some(target) => targets_of(&package.folder).contains(&target),
            });
            Group { name, target, packages: members.map(|package| package.name.clone()).collect() }
        })
        .filter(|group| !group.packages.is_empty())
        .collect()
}

/// The targets of the crate in `folder`; none is the machine that types the commands.
fn targets_of(folder: &str) -> Vec<&'static str> {
    let [arm, x86] = Board::ALL;
    match folder.split_once('/') {
        Some(("hyp", "arm")) => vec![arm.hypervisor_target()],
        Some(("boards", "x86")) => vec![x86.hypervisor_target()],
        None if folder == "x86-port" => vec![x86.hypervisor_target()],
        Some(("hyp", "dev" | "log")) | Some(("boards", _)) => vec![arm.hypervisor_target()],
        // Programs for Linux, which the machine that types the commands has too.
        Some(("guests", "linux")) => Vec::new(),
        Some(("guests", _)) => vec![arm.guest_target(), x86.guest_target()],
        _ => Vec::new(),
    }
}

/// The crates whose builds are the hypervisor's images, and the target of each.
pub(crate) fn images(packages: &[Package]) -> Vec<(&Package, &'static str)> {
    let boards = packages.iter().filter(|package| package.folder.starts_with("boards/") && package.name != "board");
    boards.flat_map(|package| targets_of(&package.folder).into_iter().map(move |target| (package, target))).collect()
}

/// A part of the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// For every processor.
    Generic,
    /// Only in the images of one of them.
    Port(Board),
}

/// The part that the crate in `folder` is of; `None` if it runs elsewhere.
pub(crate) fn part_of(folder: &str) -> Option<Part> {
    match folder {
        "x86-port" | "boards/x86" => Some(Part::Port(Board::X86)),
        "hyp/arm" | "hyp/dev" => Some(Part::Port(Board::QemuVirt)),
        "hyp/pvio" => None,
        _ if folder.starts_with("boards/") => Some(Part::Port(Board::QemuVirt)),
        _ => folder.starts_with("hyp/").then_some(Part::Generic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crates_machine_follows_from_its_folder() {
        let [arm, x86] = Board::ALL;
        assert!(targets_of("hyp/core").is_empty() && targets_of("xtask").is_empty());
        assert_eq!(targets_of("hyp/arm"), [arm.hypervisor_target()]);
        assert_eq!(targets_of("boards/qemu-virt"), [arm.hypervisor_target()]);
        assert_eq!(targets_of("x86-port"), [x86.hypervisor_target()]);
        assert!(targets_of("guests/linux").is_empty());
        assert_eq!(targets_of("guests/player"), [arm.guest_target(), x86.guest_target()]);
    }

    #[test]
    fn every_board_is_an_image() {
        let packages = packages().unwrap();
        let mut images = images(&packages).into_iter().map(|(package, target)| (package.name.as_str(), target));
        assert!(Board::ALL.iter().all(|board| images.any(|image| image == (board.name(), board.hypervisor_target()))));
    }

    #[test]
    fn the_back_ends_do_not_run_at_el2() {
        assert_eq!(part_of("hyp/core"), Some(Part::Generic));
        assert_eq!(part_of("boards/board"), Some(Part::Port(Board::QemuVirt)));
        assert_eq!(part_of("x86-port"), Some(Part::Port(Board::X86)));
        assert!(part_of("hyp/pvio").is_none() && part_of("guests/rt").is_none());
    }
}
