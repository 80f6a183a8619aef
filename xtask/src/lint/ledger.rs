//! The unsafe ledger: how much unsafe code each crate has. The committed table is compared with the tree, so that a
//! new unsafe block shows as a changed line in a review, and a crate that must have none keeps none. That each block
//! says why it is sound is clippy's `undocumented_unsafe_blocks`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use syn::visit::{self, Visit};

use super::Finding;
use crate::paths;
use crate::sources::Sources;
use crate::workspace::Package;

/// The committed table.
const FILE: &str = "hyp/docs/unsafe-ledger.md";

/// Crates that touch hardware or start from nothing; all others are safe Rust.
const ALLOWED: [&str; 5] = ["hyp/dev", "hyp/arm", "hyp/log", "x86-port", "guests/rt"];

const HEADING: &str = "# Unsafe code, by crate

`cargo xtask lint` compares this table with the sources and `cargo xtask lint --update-ledger` writes it again. Crates
that are not listed have none. Attributes are those that need `unsafe(...)`, such as `no_mangle`; assembly counts the
blocks of `asm!`, `global_asm!` and `naked_asm!`.

| crate | blocks | functions | impls | attributes | assembly |
|---|---|---|---|---|---|
";

/// What a crate has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// `unsafe { ... }`.
    pub(crate) blocks: usize,
    /// `unsafe fn`.
    pub(crate) functions: usize,
    /// `unsafe impl` and `unsafe trait`.
    pub(crate) impls: usize,
    /// `#[unsafe(...)]`.
    pub(crate) attributes: usize,
    /// `asm!` and its like.
    pub(crate) assembly: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.functions += other.functions;
        self.impls += other.impls;
        self.attributes += other.attributes;
        self.assembly += other.assembly;
    }

    fn row(&self, name: &str) -> String {
        let Self { blocks, functions, impls, attributes, assembly } = self;
        format!("| {name} | {blocks} | {functions} | {impls} | {attributes} | {assembly} |")
    }
}

/// A line of figures for a person, and what is wrong.
///
/// # Errors
/// The ledger cannot be read.
pub(super) fn check(sources: &Sources, packages: &[Package]) -> Result<(String, Vec<Finding>)> {
    let counts = count(sources, packages);
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| counts.contains_key(package.name.as_str())) {
        if !ALLOWED.contains(&package.folder.as_str()) {
            found.push(format!("{}: {} must not have unsafe code or assembly", package.folder, package.name));
        }
    }
    let text = fs::read_to_string(paths::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    found.extend(compare(&text, &counts));
    let told: Vec<_> = counts.iter().map(|(name, counts)| format!("{name} {}", counts.blocks)).collect();
    Ok((format!("unsafe blocks: {}", told.join(", ")), found))
}

/// Writes the table.
///
/// # Errors
/// The file cannot be written.
pub(super) fn update(sources: &Sources, packages: &[Package]) -> Result<()> {
    fs::write(paths::root().join(FILE), table(&count(sources, packages)))
        .with_context(|| format!("cannot write {FILE}"))?;
    println!("{FILE} is written; read its difference before you commit it");
    Ok(())
}

/// Each crate that has any, by name.
pub(crate) fn count<'p>(sources: &Sources, packages: &'p [Package]) -> BTreeMap<&'p str, Counts> {
    let mut all = BTreeMap::new();
    for package in packages {
        let mut counts = Counts::default();
        for source in sources.rust().filter(|source| source.is_in(&package.folder)) {
            counts.add(count_text(&source.text));
        }
        if counts != Counts::default() {
            all.insert(package.name.as_str(), counts);
        }
    }
    all
}

fn table(counts: &BTreeMap<&str, Counts>) -> String {
    let mut text = HEADING.to_owned();
    for (name, counts) in counts {
        let _ = writeln!(text, "{}", counts.row(name));
    }
    text
}

fn compare(ledger: &str, counts: &BTreeMap<&str, Counts>) -> Vec<Finding> {
    let committed: Vec<_> = ledger.lines().filter(|line| line.starts_with("| ") && !line.contains("crate |")).collect();
    let rows: Vec<_> = counts.iter().map(|(name, counts)| counts.row(name)).collect();
    let new = rows.iter().filter(|row| !committed.contains(&row.as_str()));
    let gone = committed.iter().filter(|row| !rows.iter().any(|other| other == *row));
    let advice = "read the change, then `cargo xtask lint --update-ledger`";
    new.map(|row| format!("{FILE}: the tree has `{row}`: {advice}"))
        .chain(gone.map(|row| format!("{FILE}: the ledger has `{row}`: {advice}")))
        .collect()
}

/// Counts in one file. What does not parse counts as nothing here; the lengths check names it.
fn count_text(text: &str) -> Counts {
    let mut visitor = Visitor(Counts::default());
    if let Ok(file) = syn::parse_file(text) {
        visitor.visit_file(&file);
    }
    visitor.0
}

struct Visitor(Counts);

impl<'ast> Visit<'ast> for Visitor {
    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.0.blocks += 1;
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        self.0.functions += usize::from(node.unsafety.is_some());
        visit::visit_signature(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        self.0.impls += usize::from(node.unsafety.is_some());
        visit::visit_item_impl(self, node);
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        self.0.impls += usize::from(node.unsafety.is_some());
        visit::visit_item_trait(self, node);
    }

    fn visit_attribute(&mut self, node: &'ast syn::Attribute) {
        self.0.attributes += usize::from(node.path().is_ident("unsafe"));
        visit::visit_attribute(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        let name = node.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        self.0.assembly += usize::from(matches!(name.as_str(), "asm" | "global_asm" | "naked_asm"));
        // A macro by example is not parsed; its tokens are looked through, so that nothing hides in it.
        self.0.blocks += unsafe_tokens(node.tokens.clone());
        visit::visit_macro(self, node);
    }
}

/// How often `unsafe {` stands in unparsed tokens.
fn unsafe_tokens(tokens: proc_macro2::TokenStream) -> usize {
    use proc_macro2::{Delimiter, TokenTree};
    let mut after_unsafe = false;
    let mut count = 0;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            count += usize::from(after_unsafe && group.delimiter() == Delimiter::Brace);
            count += unsafe_tokens(group.stream());
        }
        after_unsafe = matches!(&token, TokenTree::Ident(word) if word == "unsafe");
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_also_inside_macros() {
        let text = "#[unsafe(no_mangle)]\nunsafe fn a() { unsafe { b() } }\nunsafe impl Send for X {}\n\
                    macro_rules! m { () => { unsafe { asm!(\"nop\") } } }\nfn c() { unsafe { core::arch::asm!(\"nop\") } }\n";
        let counts = count_text(text);
        assert_eq!(counts, Counts { blocks: 3, functions: 1, impls: 1, attributes: 1, assembly: 1 });
    }

    #[test]
    fn a_difference_shows_both_rows() {
        let mut counts = BTreeMap::from([("rt", Counts { blocks: 1, ..Counts::default() })]);
        let ledger = table(&counts);
        assert!(compare(&ledger, &counts).is_empty());
        counts.insert("hyp-arm", Counts { blocks: 2, ..Counts::default() });
        counts.remove("rt");
        assert_eq!(compare(&ledger, &counts).len(), 2);
    }
}
