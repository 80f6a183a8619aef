//! A tree of files for a stock kernel, by name. What a test gives a guest is written down once, and comes as an archive for
//! an initial RAM disk or as a folder that the host's tools make a file system of; both have the same bytes on every machine,
//! everything in them belongs to root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::cpio::{self, Entry};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// A file, and whether it can be run.
    File {
        data: Vec<u8>,
        runs: bool,
    },
    /// A symbolic link with its target.
    Link(String),
    Folder,
}

/// Files by their names, without a slash in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// An empty folder.
    pub(crate) fn folder(&mut self, name: &str) {
        self.add(name, Node::Folder);
    }

    /// A file.
    pub(crate) fn file(&mut self, name: &str, data: impl Into<Vec<u8>>) {
        self.add(name, Node::File { data: data.into(), runs: false });
    }

    /// A file that can be run.
    pub(crate) fn program(&mut self, name: &str, data: impl Into<Vec<u8>>) {
        self.add(name, Node::File { data: data.into(), runs: true });
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) {
        self.add(name, Node::Link(target.to_owned()));
    }

    /// A file of this machine as it is, with the permission to run it; of a symbolic link what it leads to.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn copy(&mut self, name: &str, from: &Path) -> Result<()> {
        let context = || format!("cannot read {}", from.display());
        let data = fs::read(from).with_context(context)?;
        let runs = fs::metadata(from).with_context(context)?.permissions().mode() & 0o100 != 0;
        self.add(name, Node::File { data, runs });
        Ok(())
    }

    /// All files of a folder and of those in it, under `name`, or at the top if that is empty.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn copy_all(&mut self, name: &str, from: &Path) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
            let inner = [name, &entry.file_name().to_string_lossy()].join("/");
            let inner = inner.trim_start_matches('/');
            if entry.path().is_dir() { self.copy_all(inner, &entry.path())? } else { self.copy(inner, &entry.path())? }
        }
        Ok(())
    }

    /// Enters a node and the folders that it lies in.
    fn add(&mut self, name: &str, node: Node) {
        for (end, _) in name.match_indices('/') {
            self.0.entry(name[..end].to_owned()).or_insert(Node::Folder);
        }
        self.0.insert(name.to_owned(), node);
    }

    /// The archive for an initial RAM disk. The kernel opens `dev/console` for the first program, before that has mounted
    /// anything, so it is in there too.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut entries: Vec<Entry<'_>> = self.0.iter().map(|(name, node)| entry(name, node)).collect();
        if !self.0.contains_key("dev") {
            entries.push(Entry::folder("dev"));
        }
        entries.push(Entry::device("dev/console", (5, 1)));
        cpio::archive(&entries)
    }

    /// The same as a folder beside `folder`, named after its contents, so that tests that run at once can share it. Times are 0;
    /// the owner is who runs this.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn written(&self, folder: &Path) -> Result<PathBuf> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = folder.with_file_name(format!("{name}-{:08x}", crc32(&self.archive())));
        if path.is_dir() {
            return Ok(path);
        }
        let aside = path.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
        self.write(&aside).with_context(|| format!("cannot write {}", aside.display()))?;
        // Somebody else may have been faster.
        if fs::rename(&aside, &path).is_err() {
            let _ = fs::remove_dir_all(&aside);
        }
        anyhow::ensure!(path.is_dir(), "cannot make {}", path.display());
        Ok(path)
    }

    fn write(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root)?;
        for (name, node) in &self.0 {
            let path = root.join(name);
            match node {
                Node::Folder => fs::create_dir(&path)?,
                Node::Link(target) => symlink(target, &path)?,
                Node::File { data, runs } => {
                    fs::write(&path, data)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(if *runs { 0o755 } else { 0o644 }))?;
                }
            }
        }
        // Only now, as what is entered into a folder changes its time.
        for (name, _) in self.0.iter().filter(|(_, node)| !matches!(node, Node::Link(_))) {
            fs::File::open(root.join(name))?.set_modified(SystemTime::UNIX_EPOCH)?;
        }
        Ok(())
    }
}

fn entry<'a>(name: &'a str, node: &'a Node) -> Entry<'a> {
    match node {
        Node::Folder => Entry::folder(name),
        Node::Link(target) => Entry::link(name, target.as_bytes()),
        Node::File { data, runs: true } => Entry::program(name, data),
        Node::File { data, runs: false } => Entry::file(name, data),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Tree;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.program("bin/sh", b"program");
        tree.link("sbin/init", "../bin/sh");
        tree.file("etc/hosts", b"127.0.0.1 localhost\n");
        tree.folder("proc");
        tree
    }

    #[test]
    fn folder_and_archive_have_the_same_files() {
        let place = std::env::temp_dir().join(format!("makuhari-tree-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let path = tree().written(&place.join("root")).unwrap();
        assert_eq!(tree().written(&place.join("root")).unwrap(), path, "what is there is not written again");
        let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/sh"), mode("etc/hosts")), (0o755, 0o644));
        let mut back = Tree::default();
        back.copy_all("", &path).unwrap();
        // A link is copied as what it leads to, an empty folder is none of the files.
        back.link("sbin/init", "../bin/sh");
        back.folder("proc");
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!(back, tree());
    }

    #[test]
    fn an_archive_enters_folders_before_what_is_in_them() {
        let bytes = tree().archive();
        let at = |name: &str| bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        assert!(at("bin\0") < at("bin/sh\0") && at("dev\0") < at("dev/console\0"));
    }
}
