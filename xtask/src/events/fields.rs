//! The fields of one event line, `key=value` each. Every field must be taken exactly once before [`Fields::finish`], so
//! that a field nobody expects is an error too: guests, hypervisor and tools cannot drift apart in silence.

use std::collections::BTreeMap;
use std::str::FromStr;

/// Fields of an event line while they are read.
pub(crate) struct Fields {
    pairs: Vec<(String, String)>,
    words: Vec<String>,
    taken: Vec<bool>,
    duplicate: Option<String>,
}

impl Fields {
    /// Splits the words of a line; words without `=` are positional.
    pub(crate) fn new(rest: &[&str]) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut words = Vec::new();
        let mut duplicate = None;
        for word in rest {
            match word.split_once('=') {
                Some((key, value)) => {
                    if pairs.iter().any(|(other, _)| other == key) {
                        duplicate = Some(key.to_owned());
                    }
                    pairs.push((key.into(), value.into()));
                }
                None => words.push((*word).to_owned()),
            }
        }
        let taken = vec![false; pairs.len()];
        Self { pairs, words, taken, duplicate }
    }

    /// A field that may be absent.
    pub(crate) fn optional(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == key)?;
        self.taken[at] = true;
        Some(self.pairs[at].1.clone())
    }

    /// A field that must be there.
    pub(crate) fn text(&mut self, key: &str) -> Result<String, String> {
        match self.optional(key) {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => Err(format!("field `{key}` is empty")),
            None => Err(format!("field `{key}` is missing")),
        }
    }

    /// A decimal number.
    pub(crate) fn number<T: FromStr>(&mut self, key: &str) -> Result<T, String> {
        let value = self.text(key)?;
        value.parse().map_err(|_| format!("field `{key}` is not a number in range: `{value}`"))
    }

    /// Eight hexadecimal digits.
    pub(crate) fn hex32(&mut self, key: &str) -> Result<u32, String> {
        let value = self.text(key)?;
        let digits = Some(&value).filter(|value| value.len() == 8);
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("field `{key}` is not 8 hexadecimal digits: `{value}`"))
    }

    /// `0` or `1`.
    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, String> {
        Ok(self.word(key, &["0", "1"])? == "1")
    }

    /// One of a few words.
    pub(crate) fn word(&mut self, key: &str, allowed: &[&str]) -> Result<String, String> {
        let value = self.text(key)?;
        if allowed.contains(&value.as_str()) {
            return Ok(value);
        }
        Err(format!("field `{key}` is `{value}`, not one of {}", allowed.join(", ")))
    }

    /// Decimal numbers separated by commas.
    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<u64>, String> {
        let value = self.text(key)?;
        let number = |item: &str| item.parse().map_err(|_| format!("field `{key}` has an item `{item}`, not a number"));
        value.split(',').map(number).collect()
    }

    /// All fields not taken yet, as numbers.
    pub(crate) fn remaining_numbers(&mut self) -> Result<BTreeMap<String, u64>, String> {
        let left: Vec<String> =
            self.pairs.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|((key, _), _)| key.clone()).collect();
        left.into_iter().map(|key| self.number(&key).map(|value| (key, value))).collect()
    }

    /// The words without `=`; at least one.
    pub(crate) fn words(&mut self) -> Result<Vec<String>, String> {
        if self.words.is_empty() {
            return Err("the list after the fields is empty".into());
        }
        Ok(std::mem::take(&mut self.words))
    }

    /// Fields that are for people and expectations only.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            let _ = self.optional(key);
        }
    }

    /// Says what was not expected.
    pub(crate) fn finish(&self) -> Result<(), String> {
        if let Some(key) = &self.duplicate {
            return Err(format!("field `{key}` appears twice"));
        }
        if let Some(word) = self.words.first() {
            return Err(format!("`{word}` is not key=value"));
        }
        match self.pairs.iter().zip(&self.taken).find(|(_, taken)| !**taken) {
            Some(((key, _), _)) => Err(format!("unexpected field `{key}`")),
            None => Ok(()),
        }
    }

    /// The pairs, for expectations.
    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }
}
