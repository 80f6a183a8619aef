//! `cargo xtask test`: the host's tests, then every scenario of `tests/qemu` on the emulator. The last line counts them;
//! the status is 0 only if all passed.

mod host;
mod judge;
mod machine;
mod stretches;

use anyhow::{Result, bail};

use crate::console::Paint;
use crate::{qemu, setup};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
#[command(after_help = "\
Scenarios are the TOML files of tests/qemu; the full log of NAME is target/tests/NAME.log, and target/tests/NAME has what it
played and showed. README.md says how a file gives guests devices.")]
pub(crate) struct Args {
    /// `host`, `qemu`, or scenarios by name (`linux` also means `linux-...`) or path; everything if absent
    #[arg(value_name = "host|qemu|SCENARIO")]
    what: Vec<String>,
}

/// One test's outcome.
pub(crate) struct Outcome {
    /// Its name: `host: crate` or `qemu: scenario`.
    pub(crate) name: String,
    /// How many tests are in it: a package of the host has many.
    pub(crate) passed: u64,
    /// How many of them failed.
    pub(crate) failed: u64,
    /// What to read when it failed, or a remark when it passed.
    pub(crate) details: Vec<String>,
}

/// Runs the tests.
///
/// # Errors
/// If a test fails, or something that tests need is missing.
pub(crate) fn main(args: Args) -> Result<()> {
    qemu::watch_interrupts();
    let paint = Paint::stdout();
    let wants = |part: &str| args.what.is_empty() || args.what.iter().any(|what| what == part);
    let named: Vec<&String> = args.what.iter().filter(|what| *what != "host" && *what != "qemu").collect();
    let scenarios = machine::select(wants("qemu"), &named)?;
    let mut outcomes = Vec::new();
    let mut show = |outcome: &Outcome| println!("{}", line(outcome, paint));
    if wants("host") {
        setup::ensure(&setup::FOR_HOST_TESTS)?;
        outcomes.extend(host::run(&mut show)?);
    }
    if !scenarios.is_empty() && !qemu::interrupted() {
        outcomes.extend(machine::run(&scenarios, &mut show)?);
    }
    summarize(&outcomes, paint)
}

/// One line, and what failed below it.
fn line(outcome: &Outcome, paint: Paint) -> String {
    let word = if outcome.failed == 0 { paint.good("pass") } else { paint.bad("FAIL") };
    let mut text = format!("{word}  {}", outcome.name);
    for detail in &outcome.details {
        text.push_str("\n      ");
        text.push_str(detail);
    }
    text
}

fn summarize(outcomes: &[Outcome], paint: Paint) -> Result<()> {
    let passed: u64 = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: u64 = outcomes.iter().map(|outcome| outcome.failed).sum();
    println!();
    for outcome in outcomes {
        let word = if outcome.failed == 0 { paint.good("pass") } else { paint.bad("FAIL") };
        println!("{word}  {} ({} passed, {} failed)", outcome.name, outcome.passed, outcome.failed);
    }
    println!();
    println!("{passed} passed, {failed} failed");
    if qemu::interrupted() {
        bail!("interrupted");
    }
    if failed > 0 {
        bail!("{failed} tests failed");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}
