//! What somebody does at the machine while it runs: types at its serial port, presses keys of its keyboard, photographs its
//! display. Each is done when something was said, one after the other of its kind.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::Scenario;
use super::expectations::speaker_fits;
use crate::events::Source;

/// What it waits for.
pub(crate) trait Cue {
    /// Part of the line that it answers, and who says that; anyone if absent.
    fn after(&self) -> (&str, Option<&String>);

    /// Whether this is the line that it answers.
    fn answers(&self, source: &Source, line: &str) -> bool {
        let (after, from) = self.after();
        line.contains(after) && speaker_fits(from, source)
    }
}

/// A line that is typed when something was said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typing {
    /// Part of the line that it answers.
    pub(crate) after: String,
    /// Who says that: `hyp` or a guest's name; anyone if absent.
    pub(crate) from: Option<String>,
    /// What is typed; a newline follows.
    pub(crate) text: String,
}

/// Keys that are pressed when something was said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Part of the line that it answers.
    pub(crate) after: String,
    /// Who says that: `hyp` or a guest's name; anyone if absent.
    pub(crate) from: Option<String>,
    /// Keys by QEMU's names (`QKeyCode`), such as `a`, `ret`, `shift-a`, one after the other; a hyphen between those that are
    /// down together.
    pub(crate) send: Vec<String>,
}

/// A picture of the display, taken when something was said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picture {
    /// Part of the line that it answers.
    pub(crate) after: String,
    /// Who says that: `hyp` or a guest's name; anyone if absent.
    pub(crate) from: Option<String>,
    /// `NAME.png` in the scenario's folder is the picture.
    pub(crate) name: String,
}

macro_rules! cues {
    ($($kind:ty),*) => {$(
        impl Cue for $kind {
            fn after(&self) -> (&str, Option<&String>) {
                (&self.after, self.from.as_ref())
            }
        }
    )*};
}

cues!(Typing, Keys, Picture);

impl Scenario {
    /// Refuses keys and pictures that the machine has no device for.
    pub(super) fn check_hands(&self) -> Result<()> {
        let keyboard = self.guests.iter().any(|guest| guest.keyboard);
        ensure!(self.keys.is_empty() || keyboard, "[[key]]: no guest has a keyboard (`keyboard = true`)");
        let display = self.guests.iter().any(|guest| guest.display.is_some());
        ensure!(self.pictures.is_empty() || display, "[[picture]]: no guest has a display (`display = \"800x600\"`)");
        for key in self.keys.iter().flat_map(|keys| &keys.send) {
            let known =
                |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            ensure!(key.split('-').all(known), "[[key]]: `{key}` is no name of a key, or several with hyphens between");
        }
        for (number, picture) in self.pictures.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let name = &picture.name;
            ensure!(
                !name.is_empty() && name.bytes().all(plain),
                "[[picture]]: name `{name}` is not of letters, digits, `-` and `_`"
            );
            let before = self.pictures.iter().take(number);
            ensure!(before.clone().all(|other| other.name != *name), "[[picture]]: two have the name `{name}`");
        }
        Ok(())
    }
}
