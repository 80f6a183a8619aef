//! Lengths of files and functions. A long file hides a second concept and a long function hides a branch; medians are
//! watched beside the limits, because a tree decays by its averages.

use std::fmt;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use crate::sources::Sources;

/// Most lines of a file, and what the median must stay under.
const FILE_MOST: usize = 700;
const FILE_MEDIAN: usize = 130;
/// Most lines of a function, from its signature to its closing brace, and what nine of ten must stay under.
const FUNCTION_MOST: usize = 90;
const FUNCTION_P90: usize = 25;

/// The tree's figures.
pub(super) struct Lengths {
    files: usize,
    file_median: usize,
    functions: usize,
    function_p90: usize,
}

impl fmt::Display for Lengths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, file_median, functions, function_p90 } = self;
        write!(out, "{files} files, median {file_median} lines; {functions} functions, p90 {function_p90} lines")
    }
}

/// A function's name, first line and length in lines.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The figures, and what passes a limit.
pub(super) fn check(sources: &Sources) -> (Lengths, Vec<Finding>) {
    let mut found = Vec::new();
    let (mut file_lengths, mut function_lengths) = (Vec::new(), Vec::new());
    for source in sources.rust() {
        let lines = source.text.lines().count();
        file_lengths.push(lines);
        if lines > FILE_MOST {
            found.push(format!("{}: {lines} lines; {FILE_MOST} is the most", source.path));
        }
        match functions(&source.text) {
            Ok(functions) => {
                for Function { name, line, lines } in functions {
                    function_lengths.push(lines);
                    if lines > FUNCTION_MOST {
                        let text = format!("`{name}` has {lines} lines; {FUNCTION_MOST} is the most");
                        found.push(format!("{}:{line}: {text}", source.path));
                    }
                }
            }
            Err(error) => found.push(format!("{}: {error}", source.path)),
        }
    }
    let lengths = Lengths {
        files: file_lengths.len(),
        file_median: quantile(&mut file_lengths, 50),
        functions: function_lengths.len(),
        function_p90: quantile(&mut function_lengths, 90),
    };
    if lengths.file_median >= FILE_MEDIAN {
        found.push(format!("the median file has {} lines; under {FILE_MEDIAN} is wanted", lengths.file_median));
    }
    if lengths.function_p90 >= FUNCTION_P90 {
        found
            .push(format!("nine of ten functions have {} lines; under {FUNCTION_P90} is wanted", lengths.function_p90));
    }
    (lengths, found)
}

/// The value that `percent` of the values do not pass; 0 of nothing.
fn quantile(values: &mut [usize], percent: usize) -> usize {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn functions(text: &str) -> syn::Result<Vec<Function>> {
    let mut visitor = Visitor(Vec::new());
    visitor.visit_file(&syn::parse_file(text)?);
    Ok(visitor.0)
}

struct Visitor(Vec<Function>);

impl Visitor {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        self.0.push(Function { name: signature.ident.to_string(), line: first, lines: last + 1 - first });
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.add(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.add(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(body) = &node.default {
            self.add(&node.sig, body);
        }
        visit::visit_trait_item_fn(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_counted_from_signature_to_brace_and_not_its_attributes() {
        let text =
            "/// Why.\n#[inline]\nfn a(\n    b: u8,\n) {\n    { b; }\n}\nimpl X { fn c() {} }\ntrait T { fn d(); }\n";
        let found: Vec<_> = functions(text).unwrap().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a".to_owned(), 3, 5), ("c".to_owned(), 8, 1)]);
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        assert_eq!(quantile(&mut [5, 1, 3], 50), 3);
        assert_eq!(quantile(&mut [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90), 9);
        assert_eq!(quantile(&mut [], 90), 0);
    }
}
