//! Where a machine's packages come from, read from apt's own files. The backports suite lies on the same server as the
//! suite it belongs to, so a source for it is the machine's own source with another suite: a mirror, a proxy or a key
//! that somebody set up stays in use, and no host name is written here.

/// One source in the form of apt's deb822 files, sources.list(5): fields in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    fields: Vec<(String, String)>,
}

impl Source {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn has(&self, field: &str, word: &str) -> bool {
        self.get(field).is_some_and(|value| value.split_whitespace().any(|found| found == word))
    }

    /// Whether apt takes binary packages of `suite` from here.
    fn offers(&self, suite: &str) -> bool {
        let off = self.get("Enabled").is_some_and(|value| ["no", "false", "off", "0"].contains(&value.trim()));
        !off && self.has("Types", "deb") && self.has("Suites", suite) && self.has("Components", "main")
    }

    /// The same source with one suite and the component `main`, as a deb822 file.
    fn file_for(&self, suite: &str) -> String {
        let mut text = String::new();
        for (name, value) in &self.fields {
            let value = match name.to_ascii_lowercase().as_str() {
                "types" => "deb",
                "suites" => suite,
                "components" => "main",
                _ => value,
            };
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }
}

/// What has to be done to have a suite.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A source offers it.
    Present,
    /// A file with this text has to be added.
    Add(String),
    /// No source of the suite it belongs to was found, so nothing can be derived.
    Unknown,
}

/// What it takes to have `{codename}-backports`, given all sources of the machine.
pub(super) fn plan(sources: &[Source], codename: &str) -> Plan {
    let suite = format!("{codename}-backports");
    if sources.iter().any(|source| source.offers(&suite)) {
        return Plan::Present;
    }
    let base = sources.iter().find(|source| source.offers(codename));
    base.map_or(Plan::Unknown, |source| Plan::Add(source.file_for(&suite)))
}

/// Sources of a `.sources` file: stanzas of fields, a field goes on in lines that start with a blank.
pub(super) fn deb822(text: &str) -> Vec<Source> {
    let mut sources = vec![Source { fields: Vec::new() }];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            sources.push(Source { fields: Vec::new() });
            continue;
        }
        let Some(source) = sources.last_mut() else { continue };
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = source.fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            source.fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sources.retain(|source| !source.fields.is_empty());
    sources
}

/// Sources of a `.list` file: `deb [option=value ...] URI suite component ...`.
pub(super) fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| one(line.split('#').next().unwrap_or_default().trim())).collect()
}

fn one(line: &str) -> Option<Source> {
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let mut fields = vec![
        ("Types".to_owned(), kind.to_owned()),
        ("URIs".to_owned(), uri.to_owned()),
        ("Suites".to_owned(), suite.to_owned()),
        ("Components".to_owned(), words.collect::<Vec<_>>().join(" ")),
    ];
    for (name, value) in options.split_whitespace().filter_map(|option| option.split_once('=')) {
        fields.push((field_name(name), value.replace(',', " ")));
    }
    Some(Source { fields })
}

/// The deb822 field of a one-line option; apart from these two the names differ in letter case only, which apt ignores.
fn field_name(option: &str) -> String {
    match option {
        "arch" => "Architectures".to_owned(),
        "lang" => "Languages".to_owned(),
        "target" => "Targets".to_owned(),
        "signed-by" => "Signed-By".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "# a comment\nTypes: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm \
                          bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/debian.gpg\n\n\
                          Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\n\
                          Components: main\n";

    #[test]
    fn a_backports_source_is_the_machines_own_with_another_suite() {
        let Plan::Add(text) = plan(&deb822(DEBIAN), "bookworm") else { panic!("nothing derived") };
        assert_eq!(
            text,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian.gpg\n"
        );
    }

    #[test]
    fn the_one_line_form_keeps_its_options() {
        let list = "# x\ndeb-src http://a/ bookworm main\n\
                    deb [arch=amd64,arm64 signed-by=/k.gpg trusted=yes] http://b/debian bookworm main contrib # y\n";
        let Plan::Add(text) = plan(&one_line(list), "bookworm") else { panic!("nothing derived") };
        assert_eq!(
            text,
            "Types: deb\nURIs: http://b/debian\nSuites: bookworm-backports\nComponents: main\n\
             Architectures: amd64 arm64\nSigned-By: /k.gpg\ntrusted: yes\n"
        );
    }

    #[test]
    fn a_suite_that_is_there_is_not_added() {
        let sources = one_line("deb http://a/ bookworm main\ndeb http://a/ bookworm-backports main\n");
        assert_eq!(plan(&sources, "bookworm"), Plan::Present);
    }

    #[test]
    fn a_disabled_source_counts_neither_way() {
        let off = "Enabled: no\nTypes: deb\nURIs: http://a/\nSuites: bookworm bookworm-backports\nComponents: main\n";
        assert_eq!(plan(&deb822(off), "bookworm"), Plan::Unknown);
    }

    #[test]
    fn a_key_in_the_file_itself_is_carried_over() {
        let text =
            "Types: deb\nURIs: http://a/\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n END\n";
        let Plan::Add(file) = plan(&deb822(text), "bookworm") else { panic!("nothing derived") };
        assert!(file.ends_with("Signed-By: \n -----BEGIN\n .\n END\n"), "{file}");
    }
}
