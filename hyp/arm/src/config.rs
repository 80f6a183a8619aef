//! What the port has to be told about a board: little, for the device tree tells the rest.

/// A console driver that a board builds in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Arm PL011, also as the SBSA's generic UART.
    Pl011,
}

impl Console {
    /// What the device tree calls the device.
    pub const fn compatible(self) -> &'static [&'static str] {
        match self {
            Self::Pl011 => &["arm,pl011", "arm,sbsa-uart"],
        }
    }
}

/// A board as the port needs it.
#[derive(Debug)]
pub struct Config {
    /// The board's name, as the log shows it.
    pub name: &'static str,
    /// Console drivers, one of which must fit `/chosen/stdout-path`.
    pub consoles: &'static [Console],
}

#[cfg(target_arch = "aarch64")]
unsafe extern "Rust" {
    /// The board that this image is for. [`crate::board!`] defines it.
    safe static BOARD_CONFIG: Config;
}

/// The board that this image is for.
#[cfg(target_arch = "aarch64")]
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
