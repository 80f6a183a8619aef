//! `cargo xtask doc`: the documentation of every crate, each for the machine it runs on, with warnings as errors: a
//! broken link in a page is a mistake like any other.

use anyhow::Result;

use crate::progress::Steps;
use crate::setup::Need;
use crate::{paths, process, setup, workspace};

/// Options of `cargo xtask doc`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: Args) -> Result<()> {
    setup::ensure(&[Need::Toolchain])?;
    let groups = workspace::groups(&workspace::packages()?);
    let steps = Steps::new(groups.len());
    for group in &groups {
        steps.step(&format!("documentation for {}", group.name), || document(group))?;
    }
    drop(steps);
    for group in &groups {
        let dir = group.target.map_or_else(paths::target, |target| paths::target().join(target));
        println!("{}: {}", group.name, paths::shown(&dir.join("doc")));
    }
    Ok(())
}

fn document(group: &workspace::Group) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["doc", "--locked", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
    group.select(&mut cargo);
    process::quiet(&mut cargo)?;
    Ok(())
}
