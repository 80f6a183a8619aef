//! One file for machines that differ in a few words: a `[matrix]` table names what varies and over which values, and the
//! rest of the file says where a value goes, as `$gic`. Each combination is a scenario of its own, with a name, a log
//! and an outcome, and the file is still read and checked as if somebody had written out all of them.
//!
//! Values go into the text before it is read as TOML, so that errors keep their line. A value that is no string takes the
//! quotes around its place with it: `cpus = "$cpus"` becomes `cpus = 2`, and the file is good TOML before and after.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use toml::Value;

/// The table. It stays in every member, where nobody asks for it again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    /// What a member's name has after the file's name and a hyphen, with the places of all that varies.
    name: String,
    /// What varies, and its values.
    over: BTreeMap<String, Vec<Value>>,
}

/// A file that may have the table; all else in it is somebody else's.
#[derive(Deserialize)]
struct File {
    matrix: Option<Matrix>,
}

/// A scenario of a file: what follows the file's name in its name (empty without a matrix), and its text.
pub(super) type Member = (String, String);

/// The scenarios of a file, in the order of the values; `text` as it is where there is no matrix.
///
/// # Errors
/// The table makes no sense: nothing to vary, a value that is neither word nor number, or two members of one name.
pub(super) fn members(text: &str) -> Result<Vec<Member>> {
    // What is wrong with the file as a whole is better explained by who reads all of it.
    let Ok(File { matrix: Some(matrix) }) = toml::from_str::<File>(text) else {
        return Ok(vec![(String::new(), text.to_owned())]);
    };
    // In the order of their first place in the name, and not of the alphabet.
    let place = |name: &String| places(&matrix.name, &format!("${name}")).next().unwrap_or(usize::MAX);
    let mut axes: Vec<(&String, &Vec<Value>)> = matrix.over.iter().collect();
    axes.sort_by_key(|(name, _)| place(name));
    let mut members = vec![(matrix.name.clone(), text.to_owned())];
    for (name, values) in axes {
        ensure!(place(name) < usize::MAX, "matrix: the name has no place for ${name}");
        ensure!(!values.is_empty(), "matrix: {name} has no values");
        let mut more = Vec::new();
        for (member, text) in &members {
            for value in values {
                let value = Replacement::new(name, value)?;
                more.push((value.put_into(member), value.put_into(text)));
            }
        }
        members = more;
    }
    for (number, (name, _)) in members.iter().enumerate() {
        if members.iter().take(number).any(|(other, _)| other == name) {
            bail!("matrix: two members have the name `{name}`");
        }
    }
    Ok(members)
}

/// A value on its way into a text.
struct Replacement {
    place: String,
    value: String,
    /// The value is no string where it stands alone.
    bare: bool,
}

impl Replacement {
    fn new(name: &str, value: &Value) -> Result<Self> {
        let (value, bare) = match value {
            Value::String(word) => (word.clone(), false),
            Value::Integer(number) => (number.to_string(), true),
            Value::Boolean(truth) => (truth.to_string(), true),
            other => bail!("matrix: {name} has the value {other}, which is neither word, number nor truth"),
        };
        Ok(Self { place: format!("${name}"), value, bare })
    }

    fn put_into(&self, text: &str) -> String {
        let alone = format!("\"{}\"", self.place);
        let text = if self.bare { text.replace(&alone, &self.value) } else { text.to_owned() };
        let (mut out, mut end) = (String::new(), 0);
        for at in places(&text, &self.place) {
            out += &text[end..at];
            out += &self.value;
            end = at + self.place.len();
        }
        out + &text[end..]
    }
}

/// Where `place` stands in a text. `$cpus` is no place of `$cpu`.
fn places(text: &str, place: &str) -> impl Iterator<Item = usize> {
    let goes_on = |end: usize| text[end..].starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
    text.match_indices(place).map(|(at, _)| at).filter(move |at| !goes_on(at + place.len()))
}

#[cfg(test)]
mod tests {
    use super::members;

    const TEXT: &str = "cpus = \"$cpus\"\nabout = \"$cpu on $cpus of $other\"\n[matrix]\nname = \"$cpu-$cpus\"\n\
                        over = { cpus = [1, 2], cpu = [\"a57\"] }\n";

    fn error(text: &str) -> String {
        members(text).unwrap_err().to_string()
    }

    #[test]
    fn every_combination_has_its_values_in_their_places() {
        let members = members(TEXT).unwrap();
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a57-1", "a57-2"]);
        assert!(members[1].1.starts_with("cpus = 2\nabout = \"a57 on 2 of $other\"\n"), "{}", members[1].1);
        assert_eq!(members[1].1.lines().count(), TEXT.lines().count(), "errors keep their line");
    }

    #[test]
    fn a_file_without_a_matrix_is_itself() {
        let text = "about = \"$cpus\"\n";
        assert_eq!(members(text).unwrap(), [(String::new(), text.to_owned())]);
    }

    #[test]
    fn a_matrix_that_makes_no_sense_is_refused() {
        assert!(error(&TEXT.replace("name = \"$cpu-", "name = \"")).contains("no place for $cpu"));
        assert!(error(&TEXT.replace("[1, 2]", "[]")).contains("cpus has no values"));
        assert!(error(&TEXT.replace("[1, 2]", "[1, 1]")).contains("the name `a57-1`"));
        assert!(error(&TEXT.replace("[1, 2]", "[[1]]")).contains("neither word"));
    }
}
