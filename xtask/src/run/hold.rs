//! One machine of a name at a time: two would write the same device tree and log, and each would read the other's.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The right to a scenario's files; ends with the process at the latest.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

impl Hold {
    /// Takes the files of the scenario `name` in `folder`.
    ///
    /// # Errors
    /// Somebody has them, or they cannot be written.
    pub(crate) fn take(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("scenario {name} is running already ({} is locked): wait for it, or stop it", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hold;

    #[test]
    fn a_second_run_is_told_about_the_first() {
        let folder = std::env::temp_dir().join(format!("makuhari-hold-{}", std::process::id()));
        let first = Hold::take(&folder, "media").unwrap();
        let error = Hold::take(&folder, "media").unwrap_err().to_string();
        assert!(error.contains("scenario media is running already"), "{error}");
        Hold::take(&folder, "probe").unwrap();
        drop(first);
        Hold::take(&folder, "media").unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
