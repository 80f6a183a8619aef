//! Programs that commands start. A person wants to see a tool's output when it failed and nothing of it otherwise, and
//! a missing program is worth a sentence that says how to get it; both are said here once.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::paths;

/// The cargo that runs us, to start in the workspace's root with the same toolchain.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(paths::root());
    command
}

/// Runs `command` without a terminal and returns what it wrote.
///
/// # Errors
/// The program is not there, or its status is not 0; the message then ends with everything it wrote.
pub(crate) fn quiet(command: &mut Command) -> Result<Output> {
    let output = output(command)?;
    if !output.status.success() {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        bail!("`{}` failed ({}):\n{}", shown(command), output.status, String::from_utf8_lossy(&text).trim_end());
    }
    Ok(output)
}

/// Runs `command` and returns what it wrote, whatever its status was.
///
/// # Errors
/// The program is not there or cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(std::process::Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`{name}` is not installed; `cargo xtask setup` installs it or says how")
        }
        other => other.with_context(|| format!("cannot start `{name}`")),
    }
}

/// Whether a program of this name is on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// A command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_it_can_be_pasted() {
        let mut command = Command::new("ffmpeg");
        command.args(["-i", "a b", ""]);
        assert_eq!(shown(&command), "ffmpeg -i 'a b' ''");
    }

    #[test]
    fn a_missing_program_names_itself_and_the_remedy() {
        let message = quiet(&mut Command::new("no-such-program-here")).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("`no-such-program-here`") && message.contains("cargo xtask setup"), "{message}");
    }

    #[test]
    fn a_failure_shows_what_the_program_wrote() {
        let message = quiet(Command::new("sh").args(["-c", "echo seen; exit 3"])).unwrap_err().to_string();
        assert!(message.contains("seen") && message.contains('3'), "{message}");
    }
}
