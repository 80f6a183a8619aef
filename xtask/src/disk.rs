//! Images of disks, made anew for each run, so that no run sees what another has left. File systems are made by the host's own
//! tools, and looked at by them afterwards: a test of ours by our own idea of ext4 would prove little.

mod table;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::scenario::{Disk, Image, Scenario};
use crate::{kernel, process};
use table::partition;

/// Names a file system, and seeds the order of its folders: the same for every run, as runs are to be the same.
const UUID: &str = "6d616b75-6861-7269-8000-000000000001";
const SEED: &str = "6d616b75-6861-7269-8000-000000000002";
/// When it was made, in seconds since 1970: any fixed time.
const TIME: &str = "1000000000";
/// The same, as debugfs wants it.
const MOMENT: &str = "@1000000000";

/// Bytes of a file system's block: for smaller ones than a page the emulator goes through threads of its own, so that each
/// takes another time in each run, and a long one.
const BLOCK: &str = "4096";

/// Nothing is left for the guest's kernel to finish in the background, which would go on beside what a test is about.
const FINISHED: &str = ",lazy_itable_init=0,lazy_journal_init=0";

/// The tools of file systems, which may be where only root looks for programs.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A tool of ext4's.
pub(crate) fn tool(name: &str) -> Command {
    let known = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    let mut command = known.map_or_else(|| Command::new(name), Command::new);
    command.env("E2FSPROGS_FAKE_TIME", TIME);
    command
}

/// A file system as those tools name it: an image, or a partition of one.
///
/// # Errors
/// The image has no such partition.
pub(crate) fn volume(image: &Path, number: Option<u32>) -> Result<OsString> {
    let mut name = image.as_os_str().to_owned();
    if let Some(number) = number {
        name.push(format!("?offset={}", partition(image, number)?.start));
    }
    Ok(name)
}

/// `None` if ext4's tools are there, or what is wrong.
pub(crate) fn problem() -> Option<String> {
    let there = |name: &str| FOLDERS.iter().any(|folder| Path::new(folder).join(name).is_file());
    let missing =
        ["mke2fs", "e2fsck", "debugfs"].into_iter().find(|name| !there(name) && !process::is_installed(name))?;
    Some(format!("`{missing}` is not installed"))
}

/// Bytes of a disk, a multiple of its blocks of 512.
///
/// # Errors
/// A file cannot be read, or is empty.
pub(crate) fn size(scenario: &Scenario, disk: &Disk) -> Result<u64> {
    let size = match &disk.image {
        Some(Image::Gpt) => sizes(scenario, disk).map(|sizes| table::size(&sizes)),
        Some(image) => image_size(scenario, image, disk.size_mib),
        None => Ok(0),
    };
    size.with_context(|| format!("{}: disk `{}`", scenario.path.display(), disk.name))
}

/// Bytes of each of its partitions.
fn sizes(scenario: &Scenario, disk: &Disk) -> Result<Vec<u64>> {
    disk.partitions.iter().map(|part| image_size(scenario, &part.image, part.size_mib)).collect()
}

fn image_size(scenario: &Scenario, image: &Image, size_mib: Option<u64>) -> Result<u64> {
    let Image::File(path) = image else { return Ok(size_mib.unwrap_or(0) << 20) };
    let path = scenario.resolve(path);
    let size = fs::metadata(&path).with_context(|| format!("cannot read the image {}", path.display()))?.len();
    ensure!(size > 0, "{} is empty", path.display());
    Ok(size.next_multiple_of(512))
}

/// Bytes that a folder's file system has room for, if that is known.
pub(crate) fn room(folder: &Path) -> Option<u64> {
    let df = process::output(Command::new("df").args(["--output=avail", "-B1"]).arg(folder)).ok()?;
    String::from_utf8_lossy(&df.stdout).lines().last()?.trim().parse().ok()
}

/// Makes the image of a disk.
///
/// # Errors
/// A file or folder is missing, or does not fit.
pub(crate) fn make(scenario: &Scenario, disk: &Disk, path: &Path) -> Result<()> {
    let bytes = size(scenario, disk)?;
    match &disk.image {
        Some(Image::Gpt) => parts(scenario, disk, path, bytes),
        Some(image) => make_image(scenario, image, path, bytes),
        None => Ok(()),
    }
}

/// Makes a disk of partitions: each by itself, then in its place.
fn parts(scenario: &Scenario, disk: &Disk, path: &Path, bytes: u64) -> Result<()> {
    let sizes = sizes(scenario, disk)?;
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    let places = table::write(path, &sizes).with_context(|| format!("cannot write {}", path.display()))?;
    let aside = path.with_extension("part");
    for (part, place) in disk.partitions.iter().zip(places) {
        make_image(scenario, &part.image, &aside, place.end - place.start)?;
        let mut whole = File::options().write(true).open(path)?;
        whole.seek(SeekFrom::Start(place.start))?;
        copy(&mut File::open(&aside)?, &mut whole).with_context(|| format!("cannot write {}", path.display()))?;
    }
    fs::remove_file(&aside).with_context(|| format!("cannot remove {}", aside.display()))
}

/// Copies an image.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mut target = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    copy(&mut source, &mut target).with_context(|| format!("cannot write {}", to.display()))?;
    let size = source.metadata().with_context(|| format!("cannot read {}", from.display()))?.len();
    target.set_len(size).with_context(|| format!("cannot write {}", to.display()))
}

fn make_image(scenario: &Scenario, image: &Image, path: &Path, bytes: u64) -> Result<()> {
    match image {
        Image::File(source) => copy_file(&scenario.resolve(source), path)?,
        _ => drop(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
    }
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_len(bytes)).with_context(|| format!("cannot write {}", path.display()))?;
    if let Image::Ext4(folder) = image {
        let folder = match folder {
            Some(word) if word.as_os_str() == "linux-root" => Some(kernel::root(scenario.machine.board)?),
            folder => folder.as_ref().map(|folder| scenario.resolve(folder)),
        };
        ext4(path, folder.as_deref())?;
    }
    Ok(())
}

/// Makes a file system on all of an image.
fn ext4(image: &Path, folder: Option<&Path>) -> Result<()> {
    let mut mke2fs = tool("mke2fs");
    mke2fs
        .args(["-q", "-F", "-t", "ext4", "-b", BLOCK, "-U", UUID, "-E"])
        .arg(format!("hash_seed={SEED},root_owner=0:0,nodiscard{FINISHED}"));
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "{} is no folder", folder.display());
        mke2fs.arg("-d").arg(folder);
    }
    process::quiet(mke2fs.arg(image)).context("no file system could be made; is size_mib large enough?")?;
    let Some(folder) = folder else { return Ok(()) };
    let commands = image.with_extension("commands");
    fs::write(&commands, settled(folder, "")).with_context(|| format!("cannot write {}", commands.display()))?;
    process::quiet(tool("debugfs").arg("-w").arg("-f").arg(&commands).arg(image))?;
    fs::remove_file(&commands).with_context(|| format!("cannot remove {}", commands.display()))
}

/// What makes a folder's files in a file system root's, and all as old as that: what they are on the host differs from run to run,
/// as making a file system reads them.
fn settled(folder: &Path, inside: &str) -> String {
    let mut commands = String::new();
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in names.map(|entry| entry.path()) {
        let name = format!("{inside}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        for (field, value) in [("atime", MOMENT), ("mtime", MOMENT), ("ctime", MOMENT), ("uid", "0"), ("gid", "0")] {
            commands += &format!("sif \"{name}\" {field} {value}\n");
        }
        if path.is_dir() && !path.is_symlink() {
            commands += &settled(&path, &name);
        }
    }
    commands
}

/// Copies all but what is zero, as an image may be much larger than what is in it.
fn copy(source: &mut impl Read, target: &mut (impl Write + Seek)) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = source.read(&mut buffer)?;
        let piece = &buffer[..count];
        if piece.is_empty() {
            return Ok(());
        }
        if piece.iter().all(|&byte| byte == 0) {
            target.seek(SeekFrom::Current(count as i64))?;
        } else {
            target.write_all(piece)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{make, partition, tool, volume};
    use crate::process;
    use crate::report::tests::scenario;

    /// The scenario's disks in a folder of their own.
    fn disks(test: &str, disks: &str) -> (std::path::PathBuf, crate::scenario::Scenario) {
        let folder = std::env::temp_dir().join(format!("disks-{}-{test}", std::process::id()));
        fs::create_dir_all(folder.join("files")).unwrap();
        fs::write(folder.join("files/hello"), "hello from the host").unwrap();
        let guest = "program = \"probe\"\nmemory_mib = 1\n";
        let text = format!(
            "about = \"\"\nlimit_ns = 1\n[[guest]]\nname = \"iod\"\nio_domain = true\n{guest}[[guest]]\nname = \"g\"\n{guest}{disks}"
        );
        (folder.clone(), scenario(&text.replace("FOLDER", &folder.display().to_string())))
    }

    #[test]
    fn a_file_system_is_sound_and_has_the_folders_files_and_is_the_same_every_time() {
        let (folder, scenario) =
            disks("ext4", "disk = [{ name = \"xvda\", image = \"ext4:FOLDER/files\", size_mib = 8 }]");
        let disk = &scenario.guests[1].disks[0];
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        make(&scenario, disk, &one).unwrap();
        // When the files were read and written must leave no trace.
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        let times = fs::FileTimes::new().set_accessed(later).set_modified(later);
        fs::File::open(folder.join("files/hello")).unwrap().set_times(times).unwrap();
        make(&scenario, disk, &other).unwrap();
        assert_eq!(fs::metadata(&one).unwrap().len(), 8 << 20);
        process::quiet(tool("e2fsck").arg("-fn").arg(&one)).unwrap();
        let text = process::quiet(tool("debugfs").args(["-R", "cat /hello"]).arg(&one)).unwrap();
        assert_eq!(String::from_utf8_lossy(&text.stdout), "hello from the host");
        assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "two images of the same folder differ");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_is_copied_to_whole_blocks_and_a_missing_one_is_named() {
        let (folder, scenario) = disks(
            "file",
            "disk = [{ name = \"xvda\", image = \"FOLDER/files/hello\" }, { name = \"xvdb\", image = \"FOLDER/no\" }, \
             { name = \"xvdc\", image = \"ext4:FOLDER/no\", size_mib = 1 }]",
        );
        let [file, absent, no_folder] = &scenario.guests[1].disks[..] else { panic!("three disks") };
        let path = folder.join("image");
        make(&scenario, file, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 512 && bytes.starts_with(b"hello from the host\0"));
        let error = format!("{:#}", make(&scenario, absent, &path).unwrap_err());
        assert!(error.contains("disk `xvdb`: cannot read the image") && error.contains("/no"), "{error}");
        let error = format!("{:#}", make(&scenario, no_folder, &path).unwrap_err());
        assert!(error.contains("/no is no folder"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn partitions_are_where_the_table_says() {
        let (folder, scenario) = disks(
            "gpt",
            "disk = [{ name = \"xvda\", image = \"gpt\", partitions = [{ image = \"FOLDER/files/hello\" }, \
             { image = \"ext4:FOLDER/files\", size_mib = 8 }] }]",
        );
        let [one, other] = ["one", "other"].map(|name| folder.join(name));
        let disk = &scenario.guests[1].disks[0];
        make(&scenario, disk, &one).unwrap();
        make(&scenario, disk, &other).unwrap();
        let bytes = fs::read(&one).unwrap();
        assert!(bytes == fs::read(&other).unwrap(), "two images of the same files differ");
        assert_eq!((bytes.len(), &bytes[510..520]), (11 << 20, b"\x55\xaaEFI PART".as_slice()));
        assert_eq!(partition(&one, 1).unwrap(), 1 << 20..(1 << 20) + 512);
        assert!(bytes[1 << 20..].starts_with(b"hello from the host\0"));
        assert_eq!(partition(&one, 2).unwrap(), 2 << 20..10 << 20);
        process::quiet(tool("e2fsck").arg("-fn").arg(volume(&one, Some(2)).unwrap())).unwrap();
        let error = volume(&one, Some(3)).unwrap_err().to_string();
        assert_eq!(error, "the disk has no partition 3");
        assert!(volume(&folder.join("files/hello"), Some(1)).unwrap_err().to_string().contains("no partition table"));
        fs::remove_dir_all(folder).unwrap();
    }
}
