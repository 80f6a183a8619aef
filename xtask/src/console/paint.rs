//! Colours: one per speaker, the same in every run, and none where nobody sees them.

use std::io::IsTerminal;

use crate::events::Source;

/// Colours the terminal, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

/// Colours that can be read on light and dark: green, yellow, magenta, cyan, blue, and their bright forms.
const GUESTS: [&str; 8] = ["32", "33", "35", "36", "34", "92", "95", "96"];

impl Paint {
    /// Colours for a terminal on standard output, unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { on: !refused && std::io::stdout().is_terminal() }
    }

    /// No colours.
    pub(crate) fn off() -> Self {
        Self { on: false }
    }

    /// A line after its speaker's aligned name. `known` are the speakers in order, for colour and width.
    pub(crate) fn line(self, source: Option<&Source>, text: &str, known: &[String]) -> String {
        let name = source.map_or_else(|| "?".to_owned(), ToString::to_string);
        let width = known.iter().map(String::len).max().unwrap_or(0).max(3);
        let colour = match source {
            Some(Source::Hypervisor) => "1",
            Some(Source::Guest(name)) => {
                let at = known.iter().position(|other| other == name).unwrap_or(known.len());
                GUESTS[at % GUESTS.len()]
            }
            None => "2",
        };
        format!("{} {text}", self.wrap(&format!("{name:>width$} |"), colour))
    }

    /// Text for success.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap(text, "32")
    }

    /// Text for failure.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap(text, "31;1")
    }

    /// Text of a heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn wrap(self, text: &str, colour: &str) -> String {
        if self.on { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::Paint;
    use crate::events::Source;

    #[test]
    fn prefixes_are_aligned() {
        let known = ["player".to_owned(), "hog".to_owned()];
        assert_eq!(Paint::off().line(Some(&Source::Hypervisor), "x", &known), "   hyp | x");
        assert_eq!(
            Paint { on: true }.line(Some(&Source::Guest("hog".into())), "x", &known),
            "\u{1b}[33m   hog |\u{1b}[0m x"
        );
    }
}
