//! Lines of code by crate: lines that hold at least one token. Blank lines, comments and documentation do not count,
//! and tests count apart, so that nobody makes a figure better by explaining or testing less. So do files that are only in the
//! image that is built to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

use super::report::CrateFigures;
use crate::lint::ledger;
use crate::sources::Sources;
use crate::workspace::Package;

/// Files of layouts that the hypervisor's images have not, by how their paths begin, which `cargo xtask lint` proves; they count apart from their crate.
const NOT_AT_EL2: [(&str, &str); 1] = [("hyp/abi/src/io", "xen-abi, feature io")];

/// Lines and unsafe blocks of each crate.
pub(super) fn count(sources: &Sources, packages: &[Package]) -> BTreeMap<String, CrateFigures> {
    let unsafe_counts = ledger::count(sources, packages);
    let mut crates = BTreeMap::<String, CrateFigures>::new();
    for package in packages {
        let mut figures = CrateFigures::default();
        for source in sources.rust().filter(|source| source.is_in(&package.folder)) {
            let apart = NOT_AT_EL2.iter().find(|(folder, _)| source.path.starts_with(folder));
            let figures = apart.map_or(&mut figures, |(_, name)| crates.entry((*name).to_owned()).or_default());
            let (code, tests) = count_text(&source.text);
            if source.is_test() || is_for_comparison(&source.text) {
                figures.test_lines += (code + tests) as u64;
            } else {
                figures.code_lines += code as u64;
                figures.test_lines += tests as u64;
            }
        }
        figures.unsafe_blocks = unsafe_counts.get(package.name.as_str()).map_or(0, |counts| counts.blocks as u64);
        crates.insert(package.name.clone(), figures);
    }
    crates
}

/// Lines of code, and lines in `#[cfg(test)] mod`s.
fn count_text(text: &str) -> (usize, usize) {
    let Ok(tokens) = TokenStream::from_str(text) else { return (0, 0) };
    let mut lines = BTreeSet::new();
    mark(tokens, &mut lines);
    let tests = test_ranges(text);
    let in_tests = lines.iter().filter(|line| tests.iter().any(|range| range.contains(line))).count();
    (lines.len() - in_tests, in_tests)
}

/// Adds the lines of all tokens that are not documentation.
fn mark(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let inner = after.strip_prefix_of_bang();
                if let [TokenTree::Group(group), later @ ..] = inner
                    && is_documentation(group)
                {
                    rest = later;
                    continue;
                }
                add(punct.span(), lines);
            }
            TokenTree::Group(group) => {
                add(group.span_open(), lines);
                mark(group.stream(), lines);
                add(group.span_close(), lines);
            }
            other => add(other.span(), lines),
        }
    }
}

/// The `!` of an inner attribute, skipped.
trait SkipBang {
    fn strip_prefix_of_bang(&self) -> &[TokenTree];
}

impl SkipBang for [TokenTree] {
    fn strip_prefix_of_bang(&self) -> &[TokenTree] {
        match self {
            [TokenTree::Punct(bang), rest @ ..] if bang.as_char() == '!' => rest,
            _ => self,
        }
    }
}

/// Whether the bracket is `[doc = "..."]`, which is what a documentation comment reads as.
fn is_documentation(group: &proc_macro2::Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket && matches!(first, Some(TokenTree::Ident(word)) if word == "doc")
}

fn add(span: Span, lines: &mut BTreeSet<usize>) {
    lines.extend(span.start().line..=span.end().line);
}

/// The whole file is only in builds with the feature `comparison`.
fn is_for_comparison(text: &str) -> bool {
    use syn::{Expr, ExprLit, Lit, MetaNameValue};
    let is_it = |attribute: &syn::Attribute| {
        let Ok(MetaNameValue { path, value, .. }) = attribute.parse_args() else { return false };
        let says = matches!(value, Expr::Lit(ExprLit { lit: Lit::Str(word), .. }) if word.value() == "comparison");
        attribute.path().is_ident("cfg") && path.is_ident("feature") && says
    };
    syn::parse_file(text).is_ok_and(|file| file.attrs.iter().any(is_it))
}

/// Line ranges of items under `#[cfg(test)]`.
fn test_ranges(text: &str) -> Vec<std::ops::RangeInclusive<usize>> {
    use syn::spanned::Spanned;
    let Ok(file) = syn::parse_file(text) else { return Vec::new() };
    let modules = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.attrs.iter().any(is_cfg_test) => Some(module),
        _ => None,
    });
    modules.map(|module| module.span().start().line..=module.span().end().line).collect()
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
}

#[cfg(test)]
mod tests {
    use super::{count_text, is_for_comparison};

    #[test]
    fn a_file_of_another_build_is_told_by_its_first_attribute() {
        let text = "//! Why.\n\n#![cfg(feature = \"comparison\")]\n\nfn a() {}\n";
        assert!(is_for_comparison(text));
        for other in [text.replace("comparison", "usual"), text.replace("cfg", "allow"), text.replace("#!", "#")] {
            assert!(!is_for_comparison(&other), "{other}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_no_code() {
        let text = "//! Why.\n\n/// Doc.\n#[inline]\nfn a() {\n    // comment\n    b(\"x\n y\");\n}\n/* c\n d */\n";
        assert_eq!(count_text(text), (5, 0));
    }

    #[test]
    fn test_modules_count_apart() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(count_text(text), (1, 4));
    }
}
