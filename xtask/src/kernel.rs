//! Stock kernels for guests: Debian's own packages for arm64, fetched by apt into `target/linux` and unpacked there, never
//! installed. What guests run is what the package holds, byte for byte; only the initramfs around its busybox is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::cpio::{Entry, archive};
use crate::{paths, process};

/// The package that names the newest kernel of the flavour for clouds.
const FLAVOUR: &str = "linux-image-cloud-arm64";
/// The package of the user land.
const BUSYBOX: &str = "busybox-static";
/// Where packages come from; the environment variable `DEBIAN_MIRROR` names another place.
const MIRROR: &str = "http://deb.debian.org/debian";
/// The keys that the packages are signed with (package `debian-archive-keyring`).
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The first program. It says when it is there, then gives the console a shell for ever; with `mk.cmd=WORD` on the
/// kernel's command line it runs that command first.
const INIT: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo '@linux state=ready'
for word in $(cat /proc/cmdline); do
    case $word in mk.cmd=*) ${word#mk.cmd=} ;; esac
done
# These signals are how busybox's poweroff and reboot ask. A trap waits for a command, but not for `wait`.
trap 'poweroff -f' USR2
trap 'reboot -f' TERM
while :; do
    setsid cttyhack sh -i &
    wait $!
done
";
/// Names under which busybox is called.
const APPLETS: &str =
    "cat cttyhack dmesg echo free grep head ls mount nproc poweroff ps reboot setsid sh sleep tail taskset uname wc";

/// A stock kernel with a user land.
#[derive(Clone, Debug)]
pub(crate) struct Linux {
    /// The kernel: an arm64 Image.
    pub(crate) image: PathBuf,
    /// The initial RAM disk.
    pub(crate) initramfs: PathBuf,
}

/// Fetches what is not there yet.
///
/// # Errors
/// This machine has no apt or dpkg, or a package cannot be fetched; the message says what to do.
pub(crate) fn ensure_made() -> Result<Linux> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = paths::target().join("linux");
    let root = folder.join("root");
    if kernel(&root).is_err() || !root.join("bin/busybox").is_file() {
        fetch(&folder, &root).context("a stock kernel is needed for this scenario and cannot be fetched")?;
    }
    let busybox = fs::read(root.join("bin/busybox")).context("the package of busybox has no bin/busybox")?;
    let initramfs = folder.join("initramfs.cpio");
    let bytes = initramfs_of(&busybox);
    if fs::read(&initramfs).ok().as_ref() != Some(&bytes) {
        fs::write(&initramfs, bytes).with_context(|| format!("cannot write {}", initramfs.display()))?;
    }
    Ok(Linux { image: kernel(&root)?, initramfs })
}

fn initramfs_of(busybox: &[u8]) -> Vec<u8> {
    let applets: Vec<String> = APPLETS.split(' ').map(|name| format!("bin/{name}")).collect();
    let mut entries: Vec<Entry<'_>> = ["bin", "dev", "proc", "sys"].map(Entry::folder).into();
    // The kernel opens it for the first program, before that has mounted anything.
    entries.push(Entry::device("dev/console", (5, 1)));
    entries.push(Entry::program("bin/busybox", busybox));
    entries.extend(applets.iter().map(|name| Entry::link(name, b"busybox")));
    entries.push(Entry::program("init", INIT.as_bytes()));
    archive(&entries)
}

/// The kernel in an unpacked package.
fn kernel(root: &Path) -> Result<PathBuf> {
    let boot = root.join("boot");
    let files = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let kernels = files.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    kernels.filter(named).max().with_context(|| format!("{} has no kernel", boot.display()))
}

/// Fetches the packages and unpacks them.
fn fetch(folder: &Path, root: &Path) -> Result<()> {
    for tool in ["apt-get", "apt-cache", "dpkg"] {
        ensure!(
            process::is_installed(tool),
            "`{tool}` is not installed. Unpack Debian 12's packages {FLAVOUR} (the one it depends on) and {BUSYBOX} for \
             arm64 into {}, then repeat the command",
            paths::shown(root)
        );
    }
    ensure!(Path::new(KEYS).is_file(), "{KEYS} is missing; install debian-archive-keyring");
    let state = folder.join("apt");
    for sub in ["lists/partial", "archives/partial", "none"] {
        fs::create_dir_all(state.join(sub)).with_context(|| format!("cannot create {}", state.display()))?;
    }
    let mirror = std::env::var("DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.to_owned());
    fs::write(state.join("sources.list"), format!("deb [signed-by={KEYS}] {mirror} bookworm main\n"))?;
    fs::write(state.join("status"), "")?;
    eprintln!("fetches {FLAVOUR} and {BUSYBOX} from {mirror}");
    process::quiet(apt("apt-get", &state).args(["-q", "update"])).context("apt cannot read the mirror's lists")?;
    let depends = process::quiet(apt("apt-cache", &state).args(["depends", FLAVOUR]))?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let Some(package) = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")) else {
        bail!("the mirror has no {FLAVOUR} of bookworm");
    };
    process::quiet(apt("apt-get", &state).args(["-q", "download", package, BUSYBOX]).current_dir(&state))?;
    let _ = fs::remove_dir_all(root);
    for entry in fs::read_dir(&state)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            process::quiet(Command::new("dpkg").arg("-x").args([&path, root]))?;
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// An apt program with a state of its own, which neither sees nor changes the machine's.
fn apt(program: &str, state: &Path) -> Command {
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
    option("APT::Architecture", "arm64");
    option("APT::Architectures", "arm64");
    option("APT::Sandbox::User", "");
    option("Acquire::Languages", "none");
    command
}

#[cfg(test)]
mod tests {
    use super::initramfs_of;

    #[test]
    fn the_initramfs_is_the_same_every_time_and_has_its_parts() {
        let bytes = initramfs_of(b"busybox's bytes");
        assert_eq!(bytes, initramfs_of(b"busybox's bytes"));
        for part in ["init\0", "bin/sh\0", "dev/console\0", "@linux state=ready", "TRAILER!!!"] {
            assert!(bytes.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
        }
    }
}
