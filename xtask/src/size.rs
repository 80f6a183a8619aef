//! `cargo xtask size`: where the bytes are, and whether they keep within what SPECIFICATION.md promises.

pub(crate) mod budget;
mod lines;
mod report;
mod symbols;

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::board::Board;
use crate::build::Form;
use crate::setup::Need;
use crate::workspace::{self, Part};
use crate::{build, image, paths, setup};
use report::Report;

use budget::limits;

/// Options of `cargo xtask size`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the lines of code and unsafe blocks of each crate; builds nothing
    #[arg(long)]
    lines: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    let packages = workspace::packages()?;
    let mut report = Report { crates: lines::count(&crate::sources::Sources::read()?, &packages), ..Report::default() };
    if !args.lines {
        setup::ensure(&[Need::Toolchain])?;
        let (image, elf) = build::hypervisor(Board::QemuVirt, Form::Usual)?;
        report.image_bytes =
            Some(fs::metadata(&image).with_context(|| format!("cannot read {}", image.display()))?.len());
        let bytes = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        report.sections = symbols::sections(&bytes)?;
        symbols::by_crate(&bytes, &mut report)?;
        report.hypervisor_ram_bytes = last_run("hypervisor_ram_bytes");
        let (_, elf) = build::hypervisor(Board::X86, Form::Usual)?;
        let bytes = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        report.x86_image_bytes = Some(image::only_loaded(&bytes).len() as u64);
    }
    let lines = |wanted| {
        let part = packages.iter().filter(|package| workspace::part_of(&package.folder) == Some(wanted));
        part.filter_map(|package| report.crates.get(&package.name)).map(|figures| figures.code_lines).sum::<u64>()
    };
    report.generic_code_lines = lines(Part::Generic);
    report.el2_code_lines = report.generic_code_lines + lines(Part::Port(Board::QemuVirt));
    report.x86_code_lines = report.generic_code_lines + lines(Part::Port(Board::X86));
    if !args.lines {
        write(&report)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    judge(&report)
}

/// A figure of the last run's report, if there was a run on the board whose image this is about.
fn last_run(key: &str) -> Option<u64> {
    let text = fs::read_to_string(paths::reports().join("run.json")).ok()?;
    let run = serde_json::from_str::<Value>(&text).ok()?;
    let ours = run.get("board")?.as_str()? == Board::QemuVirt.name();
    ours.then(|| run.get(key)?.as_u64())?
}

/// A figure `micro.NAME` of the last `cargo xtask bench micro`, if there was one; on a PC it is `micro-VENDOR.NAME`.
fn last_bench(key: &str) -> Option<u64> {
    let (table, name) = key.split_once('.')?;
    table.strip_prefix("micro")?;
    let text = fs::read_to_string(paths::reports().join(format!("bench-{table}.json"))).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get(name)?.get("insns")?.as_u64()
}

fn write(report: &Report) -> Result<()> {
    let path = paths::reports().join("size.json");
    fs::create_dir_all(paths::reports()).with_context(|| format!("cannot create {}", paths::reports().display()))?;
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Holds the figures against their limits, and says each.
fn judge(report: &Report) -> Result<()> {
    let mut passed = Vec::new();
    for limit in limits()? {
        let Some(value) = report.figure(&limit.key).or_else(|| last_bench(&limit.key)) else { continue };
        let text = format!("{}: {value}, limit {}", limit.figure, limit.shown());
        if limit.holds(value) {
            eprintln!("  ok  {text}");
        } else {
            eprintln!("FAIL  {text}");
            passed.push(text);
        }
    }
    if !passed.is_empty() {
        bail!("{} passed: {}", if passed.len() == 1 { "a limit is" } else { "limits are" }, passed.join("; "));
    }
    Ok(())
}
