//! Scenarios by name: one file may hold several (its matrix), and a name may mean several (all that begin with it), so
//! that `linux` is every way to boot Linux without a list that somebody would have to keep.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Scenario;
use super::place::closest;

/// The scenarios that a path or a name in a folder means, in the order of their files: the one of this name, or else all
/// whose names go on after it with a hyphen.
///
/// # Errors
/// Names what exists when nothing fits.
pub(crate) fn named(folder: &Path, wanted: &str) -> Result<Vec<Scenario>> {
    let path = Path::new(wanted);
    if path.is_file() {
        return Scenario::read(path);
    }
    let known = all(folder)?;
    let names: Vec<String> = known.iter().map(Scenario::name).collect();
    let exact = names.iter().any(|name| name == wanted);
    let rest = |name: &str| name.strip_prefix(wanted).map(|rest| (rest.is_empty(), rest.starts_with('-')));
    let meant = |name: &str| rest(name).is_some_and(|(same, longer)| if exact { same } else { longer });
    let found: Vec<Scenario> = known.into_iter().filter(|scenario| meant(&scenario.name())).collect();
    if found.is_empty() {
        let hint = closest(wanted, names.iter().map(String::as_str));
        bail!("no scenario `{wanted}`{hint}; {} has: {}", folder.display(), names.join(", "));
    }
    Ok(found)
}

/// The one scenario that a path or a full name means.
///
/// # Errors
/// As for [`named`], or if there are several.
pub(crate) fn single(folder: &Path, wanted: &str) -> Result<Scenario> {
    let mut found = named(folder, wanted)?;
    match found.pop() {
        Some(only) if found.is_empty() => Ok(only),
        last => {
            let names: Vec<String> = found.iter().chain(&last).map(Scenario::name).collect();
            bail!("`{wanted}` means several scenarios, and one is needed: {}", names.join(", "))
        }
    }
}

/// All scenarios of a folder, in the order of its files' names.
///
/// # Errors
/// If the folder or a file cannot be read.
pub(crate) fn all(folder: &Path) -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for path in list(folder)? {
        scenarios.extend(Scenario::read(&path)?);
    }
    Ok(scenarios)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::{named, single};
    use crate::paths;

    #[test]
    fn a_name_means_itself_or_what_goes_on_after_it() {
        let folder = paths::root().join("tests/qemu");
        let names = |wanted| named(&folder, wanted).unwrap().iter().map(|found| found.name()).collect::<Vec<_>>();
        assert_eq!(names("bad-no"), ["bad-no-guest", "bad-no-kernel", "bad-no-memory"]);
        assert_eq!(names("media"), ["media"], "and not media-gicv2");
        assert!(names("linux").contains(&"linux-4-on-2-gicv3-cloud".to_owned()));
        assert_eq!(single(&folder, "media").unwrap().name(), "media");
        let error = single(&folder, "bad-no").unwrap_err().to_string();
        assert!(error.ends_with("bad-no-guest, bad-no-kernel, bad-no-memory"), "{error}");
        let error = named(&folder, "moot").unwrap_err().to_string();
        assert!(error.contains("no scenario `moot`"), "{error}");
    }
}
