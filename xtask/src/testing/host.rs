//! Tests that need no machine: every package whose code runs on the host, one after the other, so that one that does not
//! compile hides no other.

use anyhow::Result;

use super::Outcome;
use crate::{process, qemu};

/// Packages with tests for the host.
const PACKAGES: [&str; 15] = [
    "xen-abi",
    "hyp-core",
    "hyp-pvio",
    "hyp-boot",
    "hyp-dev",
    "hyp-arm",
    "hyp-x86",
    "hyp-log",
    "board",
    "fake",
    "host-tests",
    "simulate",
    "abi-tests",
    "linux-programs",
    "xtask",
];

/// Runs them; `show` sees each outcome as it comes.
///
/// # Errors
/// If cargo cannot be started.
pub(super) fn run(show: &mut dyn FnMut(&Outcome)) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for package in PACKAGES {
        if qemu::interrupted() {
            break;
        }
        let outcome = test(package)?;
        show(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn test(package: &str) -> Result<Outcome> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--quiet", "--no-fail-fast", "--package", package]);
    if package == "hyp-core" {
        // The schedulers that are only compared with have tests too.
        cargo.args(["--features", "comparison"]);
    }
    let output = process::output(&mut cargo)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (passed, mut failed) = totals(&text);
    let mut details = failures(&text);
    if !output.status.success() && failed == 0 {
        // It did not compile, or died before its totals.
        failed = 1;
        details.extend(last(&String::from_utf8_lossy(&output.stderr), 30));
    }
    Ok(Outcome { name: format!("host: {package}"), passed, failed, details })
}

/// Sums of the lines `test result: ok. 3 passed; 0 failed; ...`.
fn totals(text: &str) -> (u64, u64) {
    let mut sums = (0, 0);
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        let count = |word: &str| {
            let before = line.split_once(word).map_or("", |(before, _)| before).trim_end();
            before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        sums = (sums.0 + count(" passed"), sums.1 + count(" failed"));
    }
    sums
}

/// What the failed tests printed.
fn failures(text: &str) -> Vec<String> {
    let interesting = |line: &&str| !line.starts_with("stack backtrace") && !line.starts_with("   ");
    let start = text.lines().position(|line| line == "failures:");
    let lines = text.lines().skip(start.unwrap_or(usize::MAX)).filter(interesting);
    lines.filter(|line| !line.is_empty()).take(40).map(str::to_owned).collect()
}

fn last(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{failures, totals};

    #[test]
    fn totals_are_summed_over_test_binaries() {
        let text = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
                    test result: FAILED. 10 passed; 2 failed; 0 ignored\n";
        assert_eq!(totals(text), (13, 2));
        assert_eq!(totals("error: could not compile"), (0, 0));
    }

    #[test]
    fn what_failed_is_shown() {
        let text = "running 1 test\nfailures:\n\n---- a stdout ----\nthread 'a' panicked\n";
        assert_eq!(failures(text), ["failures:", "---- a stdout ----", "thread 'a' panicked"]);
        assert!(failures("all well\n").is_empty());
    }
}
