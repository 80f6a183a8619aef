//! What is looked at when a machine has ended: its disks by the host's own tools, what it played, what it showed. Each thing
//! that is not as the scenario says is a failure as an expectation is one.

mod picture;
pub(crate) mod sound;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::events::{Audio, Event, Said};
use crate::run::session::Session;
use crate::scenario::{After, Content, Decoded, Played, Scenario, Volume};
use crate::{disk, http, process};

/// What is wrong.
pub(crate) fn failures(session: &Session, scenario: &Scenario) -> Vec<String> {
    let look =
        |after: &After| match after {
            After::Fsck(volume) => fsck(session, volume).with_context(|| format!("fsck of disk `{}`", volume.disk)),
            After::File(file) => {
                content(session, file).with_context(|| format!("file {} of disk `{}`", file.path, file.disk))
            }
            After::Sound(played) => sound(session, scenario, played).with_context(|| format!("sound {}", played.path)),
            After::Decoded(Decoded { by }) => sound::decoded(&session.files.sound(), &checksums(session, by))
                .with_context(|| format!("sound of {by}")),
            After::Picture(seen) => picture::look(&session.files.picture(&seen.name), seen)
                .with_context(|| format!("picture `{}`", seen.name)),
        };
    let wrong = scenario.after.iter().filter_map(|after| look(after).err());
    wrong.map(|error| format!("afterwards: {error:#}")).collect()
}

/// Looks whether a file system is whole, and was unmounted.
fn fsck(session: &Session, volume: &Volume) -> Result<()> {
    let image = disk::volume(&session.files.disk(&volume.disk), volume.partition)?;
    process::quiet(disk::tool("e2fsck").arg("-fn").arg(&image)).context("the file system is not clean")?;
    let state = process::quiet(disk::tool("debugfs").args(["-R", "show_super_stats -h"]).arg(&image))?;
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    let pending =
        state.lines().find(|line| line.starts_with("Filesystem features:") && line.contains("needs_recovery"));
    ensure!(pending.is_none(), "the file system was not unmounted: its journal has yet to be played");
    Ok(())
}

fn content(session: &Session, wanted: &Content) -> Result<()> {
    let path = dump(session, &wanted.volume(), &wanted.path)?;
    let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if let Some(size) = wanted.bytes {
        ensure!(bytes == size, "it has {bytes} bytes, not {size}");
    }
    let hash = sha256(&path)?;
    if let Some(sha256) = &wanted.sha256 {
        ensure!(hash == sha256.to_lowercase(), "its SHA-256 is {hash}, not {sha256}");
    }
    if let Some(name) = &wanted.said_by {
        let by = |line: &&crate::console::Line| line.source.as_ref().is_some_and(|source| source.to_string() == *name);
        let said = session.lines.iter().filter(by).any(|line| line.text.contains(&hash));
        ensure!(said, "its SHA-256 is {hash}, which {name} never said");
    }
    if let Some(text) = &wanted.text {
        let whole = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(String::from_utf8_lossy(&whole).contains(text), "`{text}` is no part of it");
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// What was played is what is in the file.
fn sound(session: &Session, scenario: &Scenario, played: &Played) -> Result<()> {
    let path = match &played.disk {
        Some(disk) => dump(session, &Volume { disk: disk.clone(), partition: played.partition }, &played.path)?,
        None => scenario.resolve(Path::new(&played.path)),
    };
    sound::compare(&session.files.sound(), &path, played.missing_frames)
}

/// The checksums of all sound periods that a player decoded.
fn checksums(session: &Session, player: &str) -> Vec<u32> {
    let by = |said: &&Said| said.source.to_string() == player;
    let crc = |said: &Said| match said.event {
        Event::Ahead { crc } => Some(crc),
        Event::Audio(Audio { crc, .. }) => Some(crc),
        _ => None,
    };
    session.said.iter().filter(by).filter_map(crc).collect()
}

/// Copies a file out of a disk's file system.
fn dump(session: &Session, volume: &Volume, path: &str) -> Result<PathBuf> {
    let image = disk::volume(&session.files.disk(&volume.disk), volume.partition)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let copy = session.files.own(&format!("{}-{name}", volume.disk));
    let _ = fs::remove_file(&copy);
    let request = format!("dump \"{path}\" \"{}\"", copy.display());
    let said = process::quiet(disk::tool("debugfs").args(["-R", &request]).arg(&image))?;
    let complaint = String::from_utf8_lossy(&said.stderr);
    let complaint = complaint.lines().filter(|line| !line.starts_with("debugfs 1.")).collect::<Vec<_>>().join("; ");
    ensure!(complaint.is_empty() && copy.is_file(), "it cannot be read: {complaint}");
    Ok(copy)
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            return Ok(http::hex(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::failures;
    use crate::devices::Files;
    use crate::report::tests::{scenario, session};

    /// What is wrong with a disk that holds the file `hello`.
    fn judged(test: &str, after: &str) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("after-{}-{test}", std::process::id()));
        fs::create_dir_all(folder.join("files")).unwrap();
        fs::write(folder.join("files/hello"), "hello").unwrap();
        let guest = "program = \"probe\"\nmemory_mib = 1\n";
        let text = format!(
            "about = \"\"\nlimit_ns = 1\nafter = [{after}]\n[[guest]]\nname = \"iod\"\nio_domain = true\n{guest}[[guest]]\n\
             name = \"g\"\n{guest}disk = [{{ name = \"xvda\", image = \"ext4:{}\", size_mib = 8 }}, \
             {{ name = \"xvdb\", image = \"empty\", size_mib = 1 }}]\n",
            folder.join("files").display()
        );
        let scenario = scenario(&text);
        let mut session = session(&format!("[g] {HASH}  /hello\n"));
        session.files = Files::make(&scenario, &folder).unwrap();
        let failures = failures(&session, &scenario);
        drop(session);
        fs::remove_dir_all(folder).unwrap();
        failures
    }

    const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_disk_that_is_as_expected_has_no_failures() {
        let file = format!(
            "{{ fsck = {{ disk = \"xvda\" }} }}, {{ file = {{ disk = \"xvda\", path = \"/hello\", bytes = 5, text = \"ell\", \
             sha256 = \"{HASH}\", said_by = \"g\" }} }}"
        );
        assert_eq!(judged("good", &file), [""; 0]);
    }

    #[test]
    fn what_is_not_as_expected_is_named() {
        let file = |what: &str| format!("{{ file = {{ disk = \"xvda\", path = \"/hello\", {what} }} }}");
        let all = [
            file("bytes = 6"),
            file("text = \"Ell\""),
            file("said_by = \"iod\""),
            file("sha256 = \"00\""),
            file("bytes = 5").replace("/hello", "/hallo"),
            "{ fsck = { disk = \"xvdb\" } }".into(),
        ];
        let failures = judged("bad", &all.join(", "));
        let wanted = [
            "afterwards: file /hello of disk `xvda`: it has 5 bytes, not 6",
            "`Ell` is no part of it",
            "which iod never said",
            "not 00",
            "file /hallo of disk `xvda`: it cannot be read: /hallo: File not found",
            "fsck of disk `xvdb`: the file system is not clean",
        ];
        assert_eq!(failures.len(), wanted.len());
        for (failure, wanted) in failures.iter().zip(wanted) {
            assert!(failure.contains(wanted), "{failure}");
        }
    }
}
