//! What a board is.
//!
//! A board is a crate of data: it names the drivers that go into its image. What a device tree tells (addresses,
//! interrupts, CPUs, memory) is not repeated here. A mistake in the data is an error of the compiler.
#![cfg_attr(not(test), no_std)]

pub use hyp_arm::board as image;
pub use hyp_arm::config::{Config, Console};

/// A board's data.
#[derive(Debug)]
pub struct Board {
    /// Its name: the folder's name under `boards/`, as `cargo xtask run --board` takes it.
    pub name: &'static str,
    /// Console drivers that its image holds.
    pub consoles: &'static [Console],
}

impl Board {
    /// Checks the data and makes the port's configuration of it; called in a constant, so that a mistake does not build.
    pub const fn config(self) -> Config {
        let name = self.name.as_bytes();
        assert!(!name.is_empty() && name.len() <= 31, "a board's name has 1 to 31 characters");
        let mut i = 0;
        while i < name.len() {
            let fine = name[i].is_ascii_lowercase() || name[i].is_ascii_digit() || name[i] == b'-';
            assert!(fine, "a board's name is made of a-z, 0-9 and -");
            i += 1;
        }
        assert!(!self.consoles.is_empty(), "a board needs a console driver");
        Config { name: self.name, consoles: self.consoles }
    }
}

#[cfg(test)]
mod tests {
    use super::{Board, Console};

    fn named(name: &'static str) -> Board {
        Board { name, consoles: &[Console::Pl011] }
    }

    #[test]
    fn a_good_board_is_taken_as_it_is() {
        let config = named("qemu-virt").config();
        assert_eq!((config.name, config.consoles), ("qemu-virt", &[Console::Pl011][..]));
    }

    #[test]
    #[should_panic(expected = "a-z, 0-9 and -")]
    fn a_name_with_a_space_is_refused() {
        named("my board").config();
    }

    #[test]
    #[should_panic(expected = "1 to 31 characters")]
    fn an_empty_name_is_refused() {
        named("").config();
    }

    #[test]
    #[should_panic(expected = "console driver")]
    fn a_board_without_a_console_is_refused() {
        Board { name: "mute", consoles: &[] }.config();
    }
}
