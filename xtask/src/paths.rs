//! Where things are. Every command names a file through here, so that the layout of `target/` is written once and a
//! command works from any folder of the workspace.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace's root folder. Taken from cargo at run time, so that a moved clone keeps working without a rebuild.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target folder: `target` in the root, or what `CARGO_TARGET_DIR` says.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Folder of a board's finished files: `makuhari.elf`, and for arm64 `Image`.
pub(crate) fn board_images(board: &str) -> PathBuf {
    target().join("images").join(board)
}

/// Folder of the guests' finished files: `NAME` (arm64 Image) and `NAME.elf`; those of x86 are in a folder of it.
pub(crate) fn guest_images() -> PathBuf {
    target().join("images/guests")
}

/// Folder of the generated media.
pub(crate) fn media() -> PathBuf {
    target().join("media")
}

/// Folder of the reports that commands write.
pub(crate) fn reports() -> PathBuf {
    target().join("reports")
}

/// A path as a person wants to read it: relative to the root if it lies there.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
