//! The emulator as a child process: found, checked for its version, started with a deterministic clock, and never left
//! behind, whatever ends the command.

mod arguments;
mod child;
mod devices;
mod monitor;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

pub(crate) use arguments::{Clock, alone, bare, boot, clock, machine, multiboot};
pub(crate) use child::{Child, Finished, Keyboard, Output, interrupted, tied, watch_interrupts};
pub(crate) use devices::devices;
pub(crate) use monitor::{Monitor, Place};

use crate::board::Board;
use crate::scenario::Machine;

/// Oldest major version that has every machine of the project and gives the published figures.
const OLDEST: u32 = 10;

/// The program, the environment variable that names another, and Debian's package.
fn names(board: Board) -> [&'static str; 3] {
    match board {
        Board::QemuVirt => ["qemu-system-aarch64", "QEMU", "qemu-system-arm"],
        Board::X86 => ["qemu-system-x86_64", "QEMU_X86", "qemu-system-x86"],
    }
}

/// A usable emulator.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    board: Board,
    binary: PathBuf,
    /// Its version, such as `10.0.2`.
    pub(crate) version: String,
}

impl Qemu {
    /// Finds the emulator of a board; the environment variable `QEMU` (`QEMU_X86`) overrides the name.
    ///
    /// # Errors
    /// Says what to install when it is missing or too old.
    pub(crate) fn find(board: Board) -> Result<Self> {
        let [binary, variable, _] = names(board);
        Self::check(board, &PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| binary.into())))
    }

    fn check(board: Board, binary: &Path) -> Result<Self> {
        let [.., package] = names(board);
        let how = format!(
            "`cargo xtask setup` installs it; by hand, on Debian 12: apt-get install -t bookworm-backports {package}"
        );
        let output = match Command::new(binary).arg("--version").output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} is not installed. {how}", binary.display())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot start {}", binary.display())),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text)
            .with_context(|| format!("{} does not tell its version: `{}`", binary.display(), text.trim()))?;
        let major: u32 = version.split('.').next().unwrap_or_default().parse().unwrap_or_default();
        if major < OLDEST {
            bail!("{} is QEMU {version}, but {OLDEST}.0 or later is needed. {how}", binary.display());
        }
        Ok(Self { board, binary: binary.to_owned(), version: version.to_owned() })
    }

    /// The program.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts a machine with its serial port connected to us, for typing too if there is a `keyboard`, and with a second
    /// monitor if it is `operated`, as each takes one client.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(&self, arguments: &[OsString], keyboard: bool, operated: bool) -> Result<Child> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not in target/: the path of a socket has room for 107 bytes only.
        let place = |ending: &str| {
            let name = format!("makuhari-{}-{number}.{ending}", std::process::id());
            Place { socket: std::env::temp_dir().join(name), board: self.board }
        };
        let (clock, operator) = (place("qmp"), operated.then(|| place("operator")));
        let mut command = child::tied(&self.binary);
        command.args(arguments).args(["-serial", "stdio", "-monitor", "none"]);
        for place in std::iter::once(&clock).chain(&operator) {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", place.socket.display()));
        }
        Child::start(command, keyboard, clock, operator)
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
    use crate::board::Board;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10)\nmore"), Some("10.0.2"));
        assert_eq!(version("QEMU emulator version 7.2.1"), Some("7.2.1"));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_missing_emulator_says_what_to_install() {
        let error = Qemu::check(Board::X86, Path::new("/nowhere/qemu")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/qemu is not installed. `cargo xtask setup`"), "{error}");
        assert!(error.ends_with(" qemu-system-x86"), "{error}");
    }

    #[test]
    fn an_old_emulator_says_which_is_needed() {
        let path = std::env::temp_dir().join(format!("old-qemu-{}", std::process::id()));
        std::fs::write(&path, "#!/bin/sh\necho QEMU emulator version 7.2.0\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Qemu::check(Board::QemuVirt, &path).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("is QEMU 7.2.0, but 10.0 or later is needed"), "{error}");
    }
}
