//! Errors with a place and a suggestion: where in the file, and which word was probably meant.

use std::path::Path;

/// Text of a TOML error: `file:line: message`, with the closest known word for an unknown one.
pub(crate) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
    let message = error.message().trim_end();
    let mut words = message.split('`').skip(1).step_by(2);
    let hint = match words.next() {
        Some(wrong) if message.starts_with("unknown") => closest(wrong, words),
        _ => String::new(),
    };
    format!("{}:{line}: {message}{hint}", path.display())
}

/// ` (did you mean ...?)`, or nothing if no known word is near.
pub(crate) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const NEAR: f64 = 0.7;
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(wrong, word), word))
        .filter(|(score, _)| *score > NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(String::new, |(_, word)| format!(" (did you mean `{word}`?)"))
}

/// Line of the first occurrence of `needle`, from 1.
pub(crate) fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(1, |at| at + 1)
}
