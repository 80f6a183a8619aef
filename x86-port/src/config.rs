//! What the port has to be told about a board: its name, for the loader and the firmware tell the rest.

/// A board as the port needs it.
#[derive(Debug)]
pub struct Config {
    /// The board's name, as the log shows it.
    pub name: &'static str,
}

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    /// The board that this image is for. [`crate::board!`] defines it.
    safe static BOARD_CONFIG: Config;
}

/// The board that this image is for.
#[cfg(target_os = "none")]
pub(crate) fn board() -> &'static Config {
    &BOARD_CONFIG
}

/// Makes an image of this configuration; used once, by the board's crate.
#[macro_export]
macro_rules! board {
    ($config:expr) => {
        #[unsafe(no_mangle)]
        static BOARD_CONFIG: $crate::config::Config = $config;
    };
}
