//! The emulator as a child process: found, checked for its version, started with a deterministic clock, and never left
//! behind, whatever ends the command.

mod arguments;
mod child;
mod monitor;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use arguments::{Clock, boot, clock, machine};
pub(crate) use child::{Child, Output, interrupted, watch_interrupts};

use crate::scenario::Machine;

/// Oldest major version that has every machine of the project and gives the published figures.
const OLDEST: u32 = 10;

const BINARY: &str = "qemu-system-aarch64";

const HOW: &str = "`cargo xtask setup` installs it; by hand, on Debian 12: \
    apt-get install -t bookworm-backports qemu-system-arm";

/// A usable emulator.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    binary: PathBuf,
    /// Its version, such as `10.0.2`.
    pub(crate) version: String,
}

impl Qemu {
    /// Finds the emulator; the environment variable `QEMU` overrides the name.
    ///
    /// # Errors
    /// Says what to install when it is missing or too old.
    pub(crate) fn find() -> Result<Self> {
        Self::check(&PathBuf::from(std::env::var_os("QEMU").unwrap_or_else(|| BINARY.into())))
    }

    fn check(binary: &Path) -> Result<Self> {
        let output = match Command::new(binary).arg("--version").output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} is not installed. {HOW}", binary.display())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot start {}", binary.display())),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text)
            .with_context(|| format!("{} does not tell its version: `{}`", binary.display(), text.trim()))?;
        let major: u32 = version.split('.').next().unwrap_or_default().parse().unwrap_or_default();
        if major < OLDEST {
            bail!("{} is QEMU {version}, but {OLDEST}.0 or later is needed. {HOW}", binary.display());
        }
        Ok(Self { binary: binary.to_owned(), version: version.to_owned() })
    }

    /// The program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Lets the emulator write the machine's own device tree.
    ///
    /// # Errors
    /// With the emulator's message.
    pub(crate) fn dump_tree(&self, machine: &Machine, path: &Path) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(arguments::machine(machine, Some(path)));
        let output = command.output().with_context(|| format!("cannot start {}", self.binary.display()))?;
        if !output.status.success() || !path.exists() {
            bail!("QEMU did not write the machine's device tree: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

/// The version number in the first line of `--version`.
fn version(text: &str) -> Option<&str> {
    let rest = text.lines().next()?.split_once("version ")?.1;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Qemu, version};

    #[test]
    fn versions_are_read() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10)\nmore"), Some("10.0.2"));
        assert_eq!(version("QEMU emulator version 7.2.1"), Some("7.2.1"));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_missing_emulator_says_what_to_install() {
        let error = Qemu::check(Path::new("/nowhere/qemu")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/qemu is not installed. `cargo xtask setup`"), "{error}");
    }

    #[test]
    fn an_old_emulator_says_which_is_needed() {
        let path = std::env::temp_dir().join(format!("old-qemu-{}", std::process::id()));
        std::fs::write(&path, "#!/bin/sh\necho QEMU emulator version 7.2.0\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Qemu::check(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("is QEMU 7.2.0, but 10.0 or later is needed"), "{error}");
    }
}
