//! The source files of the tree, read once for all checks that look at text or syntax.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths;

/// Folders that are not part of the tree.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// A text file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path relative to the root, with `/` between the parts.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// Whether this is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file lies in `folder` or below.
    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the whole file is there for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// All text files.
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Reads the tree.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let mut found = Vec::new();
        walk(&paths::root(), "", &mut found)?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(found))
    }

    /// Every file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// Rust files only.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.iter().filter(|source| source.is_rust())
    }
}

fn walk(dir: &Path, prefix: &str, found: &mut Vec<Source>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        // In a second work tree `.git` is a file.
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), found)?;
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            // What is not UTF-8 is no text, and no rule of ours speaks about it.
            found.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_not_the_prefix_of_a_name() {
        let source = Source { path: "hyp/core/src/lib.rs".into(), text: String::new() };
        assert!(source.is_in("hyp/core") && !source.is_in("hyp/cor"));
    }

    #[test]
    fn this_file_is_found_and_build_output_is_not() {
        let sources = Sources::read().unwrap();
        assert!(sources.rust().any(|source| source.path == "xtask/src/sources.rs"));
        assert!(!sources.iter().any(|source| source.path.starts_with("target/")));
    }
}
