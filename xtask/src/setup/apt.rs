//! Packages of Debian. As root they are installed without a question; otherwise the commands are printed, because a
//! tool that asks for a password in the middle of a build is worse than one that says what it wants.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::sources::{self, Plan, Source};
use crate::process;

/// The file that we add for the backports suite.
const OUR_SOURCE: &str = "/etc/apt/sources.list.d/makuhari-backports.sources";

/// A package to install.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether Debian 12's own version is too old, so that it comes from its backports.
    pub(super) backports: bool,
}

/// What will be typed or run.
struct Work {
    /// Text of the source file to add, if any.
    source: Option<String>,
    /// Arguments of each `apt-get`.
    calls: Vec<Vec<String>>,
}

/// Installs `packages`.
///
/// # Errors
/// This is no Debian, we are not root (the message then says what to type), or apt fails.
pub(super) fn install(packages: &[Package]) -> Result<()> {
    if !process::is_installed("apt-get") {
        let names: Vec<_> = packages.iter().map(|package| package.name).collect();
        bail!(
            "this machine has no apt-get; install by its own means what Debian calls {} (QEMU in version 10 or newer)",
            names.join(", ")
        );
    }
    let work = work(packages)?;
    if !is_root()? {
        bail!("installing packages needs root; type this, then repeat the command:\n{}", typed(&work));
    }
    run(&work)
}

fn work(packages: &[Package]) -> Result<Work> {
    let names = |backports: bool| -> Vec<String> {
        packages.iter().filter(|p| p.backports == backports).map(|p| p.name.to_owned()).collect()
    };
    let (mut stock, newer) = (names(false), names(true));
    let mut work = Work { source: None, calls: vec![vec!["update".to_owned()]] };
    let codename = codename()?;
    if codename != "bookworm" {
        // Debian 13 and later have QEMU 10 themselves; elsewhere the version check after this speaks.
        stock.extend(newer);
    } else if !newer.is_empty() {
        work.source = match sources::plan(&all_sources(), &codename) {
            Plan::Present => None,
            Plan::Add(text) => Some(text),
            Plan::Unknown => bail!(
                "apt has no enabled source of {codename} from which one of {codename}-backports could be derived; add \
                 the backports suite, then repeat the command"
            ),
        };
        work.calls.push(call(&["-t", &format!("{codename}-backports")], newer));
    }
    if !stock.is_empty() {
        work.calls.push(call(&[], stock));
    }
    Ok(work)
}

fn call(options: &[&str], packages: Vec<String>) -> Vec<String> {
    let fixed = ["install", "-y", "--no-install-recommends"].iter().chain(options);
    fixed.map(|&word| word.to_owned()).chain(packages).collect()
}

/// The commands as a person who may become root types them.
fn typed(work: &Work) -> String {
    let mut lines = Vec::new();
    if let Some(text) = &work.source {
        lines.push(format!("  sudo tee {OUR_SOURCE} <<'END'\n{text}END"));
    }
    lines.extend(work.calls.iter().map(|args| format!("  sudo apt-get {}", args.join(" "))));
    lines.join("\n")
}

fn run(work: &Work) -> Result<()> {
    if let Some(text) = &work.source {
        eprintln!("setup: adds {OUR_SOURCE}");
        fs::write(OUR_SOURCE, text).with_context(|| format!("cannot write {OUR_SOURCE}"))?;
    }
    for args in &work.calls {
        eprintln!("setup: apt-get {}", args.join(" "));
        let mut apt = Command::new("apt-get");
        // Another apt may hold the lock on a machine that was just started: wait for it.
        apt.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
        if let Err(error) = process::quiet(&mut apt) {
            if args[0] != "update" {
                return Err(error);
            }
            // One broken source of the machine must not stop what another source offers.
            eprintln!("warning: {error:#}");
        }
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let output = process::quiet(Command::new("id").arg("-u"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}

/// Debian's name of the installed release.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(value.unwrap_or_default().trim_matches('"').to_owned())
}

/// The sources of this machine. A file that cannot be read offers nothing.
fn all_sources() -> Vec<Source> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(folder.map(|entry| entry.path()));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(sources::one_line(&text)),
            Some("sources") => found.extend(sources::deb822(&text)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_complete() {
        let work = Work {
            source: Some("Types: deb\n".to_owned()),
            calls: vec![vec!["update".to_owned()], call(&["-t", "bookworm-backports"], vec!["qemu-system-arm".into()])],
        };
        let text = typed(&work);
        assert!(
            text.contains("sudo tee /etc/apt/sources.list.d/makuhari-backports.sources <<'END'\nTypes: deb\nEND\n")
        );
        assert!(text.contains("sudo apt-get install -y --no-install-recommends -t bookworm-backports qemu-system-arm"));
    }
}
