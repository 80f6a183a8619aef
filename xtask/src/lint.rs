//! `cargo xtask lint`: the rules of the house that a machine can check. Every check runs and every finding is printed,
//! so that one round of the command is one round of mending.

mod arrows;
pub(crate) mod ledger;
mod lengths;
mod linked;
mod registers;
mod text;

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup::Need;
use crate::sources::Sources;
use crate::workspace::{self, Group};
use crate::{process, setup};

/// Options of `cargo xtask lint`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write today's counts of unsafe code to the ledger, after you have read the new ones
    #[arg(long)]
    update_ledger: bool,
    /// Leave out rustfmt and clippy: the checks that read only the sources take a second
    #[arg(long)]
    fast: bool,
}

/// Something that a rule forbids: `file:line: what`, or what a tool printed.
pub(crate) type Finding = String;

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    let sources = Sources::read()?;
    let packages = workspace::packages()?;
    if args.update_ledger {
        return ledger::update(&sources, &packages);
    }
    let mut findings = Vec::new();
    report("dependency arrows", arrows::check(&packages), &mut findings);
    report("back ends at EL2", linked::check(&packages)?, &mut findings);
    let (lengths, found) = lengths::check(&sources);
    report("file and function lengths", found, &mut findings);
    let (unsafe_counts, found) = ledger::check(&sources, &packages)?;
    report("unsafe ledger", found, &mut findings);
    report("text", text::check(&sources), &mut findings);
    report("names of registers", registers::check(&sources), &mut findings);
    if !args.fast {
        setup::ensure(&[Need::Toolchain])?;
        report("rustfmt", tool(process::cargo().args(["fmt", "--all", "--check"]))?, &mut findings);
        for group in workspace::groups(&packages) {
            report(&format!("clippy, {}", group.name), clippy(&group)?, &mut findings);
        }
    }
    println!("{lengths}\n{unsafe_counts}");
    if !findings.is_empty() {
        bail!("{} findings:\n{}", findings.len(), findings.join("\n"));
    }
    println!("lint: no findings");
    Ok(())
}

fn report(check: &str, found: Vec<Finding>, all: &mut Vec<Finding>) {
    eprintln!("{} {check}", if found.is_empty() { "  ok " } else { "FAIL " });
    all.extend(found);
}

/// Clippy's complaints about a group; a test that is built for the host is looked at too.
fn clippy(group: &Group) -> Result<Vec<Finding>> {
    let mut cargo = process::cargo();
    cargo.args(["clippy", "--quiet", "--locked"]);
    group.select(&mut cargo);
    if group.target.is_none() {
        cargo.arg("--all-targets");
    }
    cargo.args(["--", "-D", "warnings"]);
    tool(&mut cargo)
}

/// What a checking tool printed, if its status was not 0.
fn tool(command: &mut Command) -> Result<Vec<Finding>> {
    let output = process::output(command)?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    Ok(vec![format!("`{}`:\n{}", process::shown(command), String::from_utf8_lossy(&text).trim_end())])
}
