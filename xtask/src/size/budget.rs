//! The limits of SPECIFICATION.md, read from its table: what a person reads and what a command checks are the same
//! line. A row counts if its `limit` is a comparison and its `key` names a figure.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::paths;

/// A promised figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limit {
    /// The figure in words.
    pub(crate) figure: String,
    /// The name under which commands report it.
    pub(crate) key: String,
    relation: Relation,
    /// In the figure's own unit.
    value: u64,
    /// The limit as it is written.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    AtMost,
    AtLeast,
    Equal,
}

impl Limit {
    /// Whether `value` keeps it.
    pub(crate) fn holds(&self, value: u64) -> bool {
        match self.relation {
            Relation::AtMost => value <= self.value,
            Relation::AtLeast => value >= self.value,
            Relation::Equal => value == self.value,
        }
    }

    /// As it is written in the table.
    pub(crate) fn shown(&self) -> &str {
        &self.text
    }
}

/// All limits.
///
/// # Errors
/// SPECIFICATION.md cannot be read, or a limit in it is not understood.
pub(crate) fn limits() -> Result<Vec<Limit>> {
    let text = fs::read_to_string(paths::root().join("SPECIFICATION.md")).context("cannot read SPECIFICATION.md")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Limit>> {
    let mut columns: Vec<String> = Vec::new();
    let mut limits = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(cells) = cells(line) else {
            columns.clear();
            continue;
        };
        if columns.is_empty() {
            columns = cells.iter().map(|cell| cell.to_lowercase()).collect();
            continue;
        }
        let cell = |name: &str| columns.iter().position(|column| column == name).and_then(|at| cells.get(at).copied());
        let (Some(figure), Some(limit), Some(key)) = (cell("figure"), cell("limit"), cell("key")) else { continue };
        if let Some((relation, amount)) = relation(limit) {
            let Some(value) = amount_of(amount) else {
                bail!("SPECIFICATION.md:{number}: the limit `{limit}` is not understood");
            };
            let key = key.trim_matches('`').to_owned();
            limits.push(Limit { figure: figure.to_owned(), key, relation, value, text: limit.to_owned() });
        }
    }
    Ok(limits)
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn relation(limit: &str) -> Option<(Relation, &str)> {
    let relations = [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("=", Relation::Equal)];
    relations.into_iter().find_map(|(sign, relation)| Some((relation, limit.strip_prefix(sign)?.trim())))
}

/// A number with an optional unit, in the unit that commands report: bytes, nanoseconds, or a plain count.
fn amount_of(text: &str) -> Option<u64> {
    let text = text.replace(',', "");
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let factor = match unit.trim() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => 1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Words | with bars.\n\n| figure | measured | limit | command | key |\n|---|---|---|---|---|\n\
                         | Image | 1 | <= 192 KiB | `x` | `image_bytes` |\n| Wake | 2 | <= 100 us | `x` | `p` |\n\
                         | frames | 3 | = 600 | `x` | `frames` |\n| Mood | good | none | `x` | `mood` |\n";

    #[test]
    fn rows_with_a_comparison_are_limits() {
        let limits = parse(TABLE).unwrap();
        let keys: Vec<_> = limits.iter().map(|limit| (limit.key.as_str(), limit.value)).collect();
        assert_eq!(keys, [("image_bytes", 192 << 10), ("p", 100_000), ("frames", 600)]);
        assert!(limits[0].holds(192 << 10) && !limits[0].holds((192 << 10) + 1));
        assert!(limits[2].holds(600) && !limits[2].holds(599));
    }

    #[test]
    fn a_limit_that_is_not_understood_names_its_line() {
        let text = TABLE.replace("192 KiB", "some KiB");
        assert!(parse(&text).unwrap_err().to_string().contains("SPECIFICATION.md:5"));
    }

    #[test]
    fn the_projects_own_table_states_the_size_limits() {
        let limits = limits().unwrap();
        for key in ["image_bytes", "hypervisor_ram_bytes"] {
            assert!(limits.iter().any(|limit| limit.key == key), "{key}");
        }
    }
}
