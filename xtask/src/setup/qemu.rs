//! The version of QEMU. Debian 12's own 7.2 starts our machines and then behaves differently in small ways, which costs
//! an evening to find; so the version is asked for before the first run.

use std::process::Command;

use anyhow::Result;

use crate::process;

/// The emulator of the boards there are.
const PROGRAM: &str = "qemu-system-aarch64";
/// Oldest version on which the figures were taken.
const OLDEST: u32 = 10;

/// `None` if QEMU is there and new enough.
pub(super) fn problem() -> Result<Option<String>> {
    if !process::is_installed(PROGRAM) {
        return Ok(Some(format!("`{PROGRAM}` is not installed")));
    }
    let version = version()?;
    let new_enough = major(&version).is_some_and(|major| major >= OLDEST);
    Ok((!new_enough).then(|| format!("`{PROGRAM}` is version {version}, but {OLDEST}.0 or newer is needed")))
}

/// The version as QEMU says it, such as `10.0.2`.
pub(super) fn version() -> Result<String> {
    let output = process::quiet(Command::new(PROGRAM).arg("--version"))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)).unwrap_or("unknown").to_owned())
}

/// The word after `version` in `QEMU emulator version 10.0.2 (Debian ...)`.
fn parse(text: &str) -> Option<&str> {
    text.split_whitespace().skip_while(|word| *word != "version").nth(1)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_with_and_without_a_vendor() {
        assert_eq!(parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright"), Some("7.2.22"));
        assert_eq!(parse("QEMU emulator version 10.1.0\n"), Some("10.1.0"));
        assert_eq!(major("10.0.2"), Some(10));
        assert_eq!(major("unknown"), None);
    }
}
