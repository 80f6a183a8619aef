//! Debian's packages for guests, fetched by apt and unpacked under `target/debian`, never installed: apt gets a state of
//! its own there for each architecture, which neither sees nor changes the machine's. What guests and peers run is what a package holds, byte
//! for byte; of a package only the parts that are asked for are unpacked, as a kernel's modules are hundreds of MiB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::board::Board;
use crate::{paths, process};

/// Where packages come from; the environment variable `DEBIAN_MIRROR` names another place.
const MIRROR: &str = "http://deb.debian.org/debian";
/// The keys that the packages are signed with (package `debian-archive-keyring`).
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package, and what is wanted of it.
pub(crate) struct Package {
    /// Its name in Debian 12.
    pub(crate) name: &'static str,
    /// For whose guests.
    pub(crate) board: Board,
    /// It has nothing but a dependency on the one that is meant, as the packages have that name the newest kernel.
    pub(crate) stands_for_another: bool,
    /// What of it is unpacked: folders and files, where `*` stands for any letters.
    pub(crate) parts: &'static [&'static str],
}

/// Inside what is unpacked: the parts that were asked for then. Others mean another fetch.
const PARTS_FILE: &str = ".parts";

impl Package {
    /// The folder that it is unpacked in, fetched first if it is not there.
    ///
    /// # Errors
    /// This machine has no apt or dpkg, or the package cannot be fetched; the message says what to do.
    pub(crate) fn unpacked(&self) -> Result<PathBuf> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let home = home(self.board);
        let root = home.join(self.name);
        if !fs::read_to_string(root.join(PARTS_FILE)).is_ok_and(|parts| parts == self.parts.join("\n")) {
            self.fetch(&home, &root).with_context(|| format!("Debian's package {} cannot be fetched", self.name))?;
        }
        Ok(root)
    }

    fn fetch(&self, home: &Path, root: &Path) -> Result<()> {
        for tool in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
            ensure!(
                process::is_installed(tool),
                "`{tool}` is not installed; {} of Debian 12's {} package {} cannot be unpacked into {}",
                self.parts.join(" "),
                self.board.debian(),
                self.name,
                paths::shown(root)
            );
        }
        ensure!(Path::new(KEYS).is_file(), "{KEYS} is missing; install debian-archive-keyring");
        let state = home.join("apt");
        prepare(&state)?;
        eprintln!("fetches {}", self.name);
        let apt = |program| apt(program, &state, self.board);
        update(apt("apt-get"), self.board)?;
        let package = if self.stands_for_another { self.dependency(apt("apt-cache"))? } else { self.name.to_owned() };
        // In a folder of its own, so that what is there afterwards is the package.
        let download = home.join(format!("{}.new", self.name));
        let _ = fs::remove_dir_all(&download);
        fs::create_dir_all(&download).with_context(|| format!("cannot create {}", download.display()))?;
        process::quiet(apt("apt-get").args(["-q", "download", &package]).current_dir(&download))?;
        let mut files = fs::read_dir(&download)?.flatten().map(|entry| entry.path());
        let deb = files.next().with_context(|| format!("apt left no file of {package}"))?;
        unpack(&deb, self.parts, &download)?;
        fs::remove_file(&deb)?;
        fs::write(download.join(PARTS_FILE), self.parts.join("\n"))?;
        if root.is_dir() {
            fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        // Whole or not at all: an interrupted fetch must not look like a finished one.
        fs::rename(&download, root).with_context(|| format!("cannot make {}", root.display()))
    }

    fn dependency(&self, mut cache: Command) -> Result<String> {
        let depends = process::quiet(cache.args(["depends", self.name]))?;
        let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
        match depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")) {
            Some(package) => Ok(package.to_owned()),
            None => bail!("the mirror has no {} of bookworm", self.name),
        }
    }
}

/// Reads the mirror's lists, once a run of this program.
fn update(mut apt: Command, board: Board) -> Result<()> {
    static READ: Mutex<Vec<Board>> = Mutex::new(Vec::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if !read.contains(&board) {
        process::quiet(apt.args(["-q", "update"])).context("apt cannot read the mirror's lists")?;
        read.push(board);
    }
    Ok(())
}

/// Where the packages for a board's guests are; those of x86 are in a folder of it.
pub(crate) fn home(board: Board) -> PathBuf {
    let home = paths::target().join("debian");
    if board == Board::X86 { home.join(board.debian()) } else { home }
}

/// The one file in a folder whose name starts so; the last one in the alphabet if there are more.
///
/// # Errors
/// The folder cannot be read, or has none.
pub(crate) fn file(folder: &Path, start: &str) -> Result<PathBuf> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let found = files.flatten().map(|entry| entry.path()).filter(named).max();
    found.with_context(|| format!("{} has no {start}*", folder.display()))
}

/// Folders and files that apt wants to find.
fn prepare(state: &Path) -> Result<()> {
    for sub in ["lists/partial", "archives/partial", "none"] {
        fs::create_dir_all(state.join(sub)).with_context(|| format!("cannot create {}", state.display()))?;
    }
    let mirror = std::env::var("DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.to_owned());
    fs::write(state.join("sources.list"), format!("deb [signed-by={KEYS}] {mirror} bookworm main\n"))?;
    fs::write(state.join("status"), "")?;
    Ok(())
}

/// Unpacks parts of a package into `root`.
fn unpack(deb: &Path, parts: &[&str], root: &Path) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb");
    let mut dpkg =
        dpkg.arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn().context("cannot start dpkg-deb")?;
    let pipe = dpkg.stdout.take().context("no pipe from dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--wildcards", "-C"]).arg(root).args(parts.iter().map(|part| format!("./{part}")));
    let (tar, dpkg) = (tar.stdin(pipe).status().context("cannot start tar")?, dpkg.wait()?);
    let wanted = parts.join(" ");
    ensure!(tar.success() && dpkg.success(), "{} lacks some of {wanted}: dpkg-deb {dpkg}, tar {tar}", deb.display());
    Ok(())
}

/// An apt program with a state of its own.
fn apt(program: &str, state: &Path, board: Board) -> Command {
    let mut command = Command::new(program);
    let mut option = |name: &str, value: &str| {
        command.args(["-o", &format!("{name}={value}")]);
    };
    let here = |sub: &str| state.join(sub).display().to_string();
    option("Dir::State", &here(""));
    option("Dir::State::lists", &here("lists"));
    option("Dir::State::status", &here("status"));
    option("Dir::Cache", &here(""));
    option("Dir::Etc::SourceList", &here("sources.list"));
    option("Dir::Etc::SourceParts", &here("none"));
    option("Dir::Etc::PreferencesParts", &here("none"));
    option("APT::Architecture", board.debian());
    option("APT::Architectures", board.debian());
    option("APT::Sandbox::User", "");
    option("Acquire::Languages", "none");
    command
}
