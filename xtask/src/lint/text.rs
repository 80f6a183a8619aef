//! Words that must not stand in the tree: work put off, tests switched off, folders of one person's machine, and the
//! processor's name in the parts that no processor owns.

use super::Finding;
use crate::sources::{Source, Sources};

/// Put off or switched off. Written in two halves, so that this file passes.
const UNFINISHED: [&str; 6] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// Where people and build machines keep their files.
const MACHINE_FOLDERS: [&str; 5] = ["home", "root", "work", "tmp", "Users"];

/// Crates that hold for every processor, and what they therefore must not say.
const GENERIC: [&str; 4] = ["hyp/abi", "hyp/core", "hyp/boot", "hyp/pvio"];
const PROCESSOR: [&str; 4] = ["target_arch", "asm!(", "target_pointer_width", "core::arch"];

/// All words found.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    sources.iter().filter(|source| !source.path.ends_with(".lock")).flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let generic = source.is_rust() && GENERIC.iter().any(|folder| source.is_in(folder));
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let mut say = |what: String| found.push(format!("{}:{number}: {what}", source.path));
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
            say(format!("`{word}` stands here: finish it or take it out"));
        }
        if let Some(path) = machine_path(line) {
            say(format!("`{path}` is a folder of one machine"));
        }
        let code = line.trim_start();
        if let Some(word) = PROCESSOR.iter().find(|word| generic && !code.starts_with("//") && code.contains(*word)) {
            say(format!("`{word}` in a crate that holds for every processor"));
        }
    }
    found
}

/// The first path in `line` that starts at one of [`MACHINE_FOLDERS`].
fn machine_path(line: &str) -> Option<&str> {
    let starts = line.match_indices('/').filter(|(at, _)| !continues_a_path(line[..*at].chars().next_back()));
    for (at, _) in starts {
        let path = &line[at..];
        let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c))).unwrap_or(path.len());
        let mut parts = path[1..end].split('/');
        let folder = parts.next().unwrap_or_default();
        if MACHINE_FOLDERS.contains(&folder) && parts.next().is_some_and(|name| !name.is_empty()) {
            return Some(&path[..end]);
        }
    }
    None
}

/// Whether a slash after this character is inside a path or an address, not at its start.
fn continues_a_path(before: Option<char>) -> bool {
    before.is_some_and(|c| c.is_ascii_alphanumeric() || "/._-~}$".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check_one(&Source { path: path.into(), text: text.into() })
    }

    #[test]
    fn machine_paths_are_told_from_others() {
        let line = format!("see \"/{}/someone/x\"", "home");
        assert_eq!(machine_path(&line), Some(format!("/{}/someone/x", "home").as_str()));
        for fine in ["https://host/home/x", "/usr/include/xen", "target/tmp/x", "a/work/b", "the /tmp folder"] {
            assert_eq!(machine_path(fine), None, "{fine}");
        }
    }

    #[test]
    fn the_generic_core_names_no_processor_outside_comments() {
        let text = format!("// {0}\n#[cfg({0} = \"x\")]\n", PROCESSOR[0]);
        assert_eq!(found("hyp/core/src/a.rs", &text).len(), 1);
        assert_eq!(found("hyp/arm/src/a.rs", &text).len(), 0);
    }

    #[test]
    fn put_off_work_is_found_with_its_place() {
        let text = format!("fn a() {{\n    {})\n}}\n", UNFINISHED[0]);
        assert!(found("guests/a.rs", &text)[0].starts_with("guests/a.rs:2: "));
    }
}
