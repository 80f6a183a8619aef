//! Command lines of `key=value` words, as scripts on a kernel's command line pass them on. A word that nobody asks for is an
//! error, so that a typing error never measures something else.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// The words of a command line that are not taken yet.
#[derive(Clone, Debug, Default)]
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Splits words.
    ///
    /// # Errors
    /// One has no `=`, or a key comes twice.
    pub fn new(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut arguments = Self::default();
        for word in words {
            let (key, value) = word.split_once('=').with_context(|| format!("`{word}` is not key=value"))?;
            if arguments.0.insert(key.to_owned(), value.to_owned()).is_some() {
                bail!("`{key}` comes twice");
            }
        }
        Ok(arguments)
    }

    /// Takes a word that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn text(&mut self, key: &str) -> Result<String> {
        self.0.remove(key).with_context(|| format!("`{key}=` is missing"))
    }

    /// Takes a word that may be absent.
    ///
    /// # Errors
    /// It does not parse.
    pub fn or<T: FromStr>(&mut self, key: &str, default: T) -> Result<T> {
        let Some(text) = self.0.remove(key) else { return Ok(default) };
        text.parse().ok().with_context(|| format!("`{key}={text}` is not understood"))
    }

    /// Takes a word that is one of a few, the first if it is absent; its place among them.
    ///
    /// # Errors
    /// It is none of them.
    pub fn one_of(&mut self, key: &str, words: &[&str]) -> Result<usize> {
        let Some(text) = self.0.remove(key) else { return Ok(0) };
        let place = words.iter().position(|word| *word == text);
        place.with_context(|| format!("`{key}={text}` is none of {}", words.join(", ")))
    }

    /// Whether all have been taken.
    ///
    /// # Errors
    /// Names one that has not.
    pub fn finish(&self) -> Result<()> {
        match self.0.keys().next() {
            Some(key) => bail!("`{key}=` has no meaning here"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn arguments(line: &str) -> anyhow::Result<Arguments> {
        Arguments::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_word_is_taken_once() {
        let mut found = arguments("device=/dev/xvdb seed=7 pattern=sequential more=1").unwrap();
        assert_eq!(found.text("device").unwrap(), "/dev/xvdb");
        assert_eq!((found.or("seed", 1).unwrap(), found.or("threads", 4).unwrap()), (7, 4));
        assert_eq!(found.one_of("pattern", &["random", "sequential"]).unwrap(), 1);
        assert!(found.finish().unwrap_err().to_string().contains("`more=`"));
        assert!(found.text("device").is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(arguments("device").is_err() && arguments("a=1 a=2").is_err());
        assert!(arguments("seed=x").unwrap().or("seed", 1).is_err());
        assert!(arguments("pattern=x").unwrap().one_of("pattern", &["random"]).is_err());
    }
}
