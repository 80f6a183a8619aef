//! The part of a scenario that makes it a test: what must be said, what must not, when it ends, and what was broken on
//! purpose beforehand. Expectations look at events and whole lines by their speaker, never at a place in a log.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;

use super::place::closest;
use crate::events::{self, Said, Source};

/// Whether expectations must come in the order of the file.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// As in the file.
    #[default]
    Given,
    /// In any order.
    Any,
}

/// One thing that must (or must not) be said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Kind of the event; or `text`.
    pub(crate) event: Option<String>,
    /// Part of a plain line; or `event`.
    pub(crate) text: Option<String>,
    /// Who says it: `hyp` or a guest's name; anyone if absent.
    pub(crate) from: Option<String>,
    /// Fields of the event: a word, `*` for any, or `<N`, `<=N`, `>N`, `>=N`, `!=word`.
    #[serde(default, rename = "where")]
    pub(crate) fields: BTreeMap<String, String>,
    /// How often exactly; at least once if absent.
    pub(crate) count: Option<u64>,
}

/// When a test is over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// The event that ends it; if absent, the machine must power itself off.
    pub(crate) event: Option<String>,
    /// Who says it.
    pub(crate) from: Option<String>,
    /// Fields of the event, as in expectations.
    #[serde(default, rename = "where")]
    pub(crate) fields: BTreeMap<String, String>,
}

/// Damage done on purpose after the machine is composed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tamper {
    /// Nodes or properties that are taken away.
    pub(crate) remove: Vec<Place>,
    /// Properties that are set.
    pub(crate) set: Vec<Setting>,
    /// Modules whose bytes are replaced.
    pub(crate) module: Vec<Replacement>,
}

/// A node, or a property of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Full path, such as `/chosen/player`.
    pub(crate) node: String,
    /// The property; the whole node if absent.
    pub(crate) property: Option<String>,
}

/// A property and its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    /// Full path of the node.
    pub(crate) node: String,
    /// Name of the property.
    pub(crate) property: String,
    /// A text value; or `cells`.
    pub(crate) text: Option<String>,
    /// 32-bit cells; or `text`.
    pub(crate) cells: Option<Vec<u32>>,
}

/// New bytes for a guest's kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replacement {
    /// Whose kernel.
    pub(crate) guest: String,
    /// The bytes; or `cut`.
    pub(crate) bytes: Option<String>,
    /// This many bytes are missing at its end.
    pub(crate) cut: Option<usize>,
}

impl Expect {
    /// Refuses what can never match.
    pub(crate) fn check(&self) -> Result<()> {
        match (&self.event, &self.text) {
            (Some(_), Some(_)) | (None, None) => bail!("it needs exactly one of `event` and `text`"),
            (Some(kind), None) if !events::is_known(kind) => {
                bail!("unknown event `{kind}`{}", closest(kind, events::kinds()))
            }
            (None, Some(_)) if !self.fields.is_empty() => bail!("`where` is for events only"),
            _ => Ok(()),
        }
    }

    /// Whether this event is the one.
    pub(crate) fn fits(&self, said: &Said) -> bool {
        self.event.as_ref().is_some_and(|kind| *kind == said.kind)
            && speaker_fits(self.from.as_ref(), &said.source)
            && fields_fit(&self.fields, said)
    }

    /// Whether this plain line is the one.
    pub(crate) fn fits_text(&self, source: &Source, line: &str) -> bool {
        self.text.as_ref().is_some_and(|text| line.contains(text.as_str())) && speaker_fits(self.from.as_ref(), source)
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "[{}] ", self.from.as_deref().unwrap_or("*"))?;
        if let Some(text) = &self.text {
            write!(out, "text \"{text}\"")?;
        }
        if let Some(kind) = &self.event {
            write!(out, "@{kind}")?;
        }
        for (key, value) in &self.fields {
            write!(out, " {key}={value}")?;
        }
        self.count.map_or(Ok(()), |count| write!(out, " ({count} times)"))
    }
}

impl End {
    /// Whether this event ends the test.
    pub(crate) fn fits(&self, said: &Said) -> bool {
        self.event.as_ref().is_some_and(|kind| *kind == said.kind)
            && speaker_fits(self.from.as_ref(), &said.source)
            && fields_fit(&self.fields, said)
    }
}

pub(super) fn speaker_fits(wanted: Option<&String>, source: &Source) -> bool {
    wanted.is_none_or(|wanted| match source {
        Source::Hypervisor => wanted == "hyp",
        Source::Guest(name) => wanted == name,
    })
}

fn fields_fit(wanted: &BTreeMap<String, String>, said: &Said) -> bool {
    wanted
        .iter()
        .all(|(key, pattern)| said.fields.iter().any(|(other, value)| other == key && value_fits(pattern, value)))
}

fn value_fits(pattern: &str, value: &str) -> bool {
    let number = |text: &str| text.trim().parse::<i128>().ok();
    let both = |right: &str, compare: fn(&i128, &i128) -> bool| {
        number(value).zip(number(right)).is_some_and(|(value, right)| compare(&value, &right))
    };
    if pattern == "*" {
        true
    } else if let Some(right) = pattern.strip_prefix("!=") {
        value != right.trim()
    } else if let Some(right) = pattern.strip_prefix("<=") {
        both(right, i128::le)
    } else if let Some(right) = pattern.strip_prefix(">=") {
        both(right, i128::ge)
    } else if let Some(right) = pattern.strip_prefix('<') {
        both(right, i128::lt)
    } else if let Some(right) = pattern.strip_prefix('>') {
        both(right, i128::gt)
    } else {
        value == pattern
    }
}

#[cfg(test)]
mod tests {
    use super::value_fits;

    #[test]
    fn values_are_words_or_bounds() {
        assert!(value_fits("0", "0") && !value_fits("0", "00"));
        assert!(value_fits("*", "anything"));
        assert!(value_fits("!=0", "1") && !value_fits("!=0", "0"));
        assert!(value_fits(">= 3", "3") && !value_fits(">3", "3"));
        assert!(value_fits("<=3", "3") && !value_fits("<3", "3"));
        assert!(!value_fits("<3", "word"));
    }
}
