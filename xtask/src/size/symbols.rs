//! What the linked image is made of: its sections, and its functions by the crate they come from. A generic function
//! counts for the crate that names it first, which is what the symbol tells.

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::report::{Report, SectionBytes};

/// Sections that take memory, in their order.
pub(super) fn sections(elf: &[u8]) -> Result<Vec<SectionBytes>> {
    let file = object::File::parse(elf).context("the hypervisor is no ELF file")?;
    let in_memory = file.sections().filter(|section| section.address() != 0 && section.size() > 0);
    in_memory
        .map(|section| {
            let name = section.name().context("a section has no name")?.to_owned();
            Ok(SectionBytes { name, bytes: section.size(), in_file: crate::image::is_loaded(&section) })
        })
        .collect()
}

/// Adds the bytes of each function to its crate in `report`.
pub(super) fn by_crate(elf: &[u8], report: &mut Report) -> Result<()> {
    let file = object::File::parse(elf).context("the hypervisor is no ELF file")?;
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let name = crate_of(symbol.name().unwrap_or_default());
        report.text(name, symbol.size());
    }
    Ok(())
}

/// The crate of a symbol in Rust's v0 or legacy mangling; what has neither is assembly or a compiler's helper.
fn crate_of(symbol: &str) -> String {
    legacy(symbol).or_else(|| v0(symbol)).unwrap_or_else(|| "assembly and helpers".to_owned())
}

/// `_ZN8hyp_core5sched...`; a leading `_$LT$` stands before a type in angle brackets: its first path names the crate.
fn legacy(symbol: &str) -> Option<String> {
    let rest = symbol.strip_prefix("_ZN")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let length: usize = rest.get(..digits)?.parse().ok()?;
    let first = rest.get(digits..digits.checked_add(length)?)?;
    let word = first.strip_prefix("_$LT$").unwrap_or(first);
    // `<&T as core::fmt::Debug>`: where the type is no path, the trait is.
    let (of_type, of_trait) = word.split_once("$u20$as$u20$").unwrap_or((word, word));
    let path = if first == word || of_type.contains("..") { of_type } else { of_trait };
    let path = path.trim_start_matches("$RF$");
    let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(path.len());
    path.get(..end).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// `_RNvNtCs..._8hyp_core5sched...`: a crate root is `C`, an optional disambiguator `s..._`, and a name with its length.
fn v0(symbol: &str) -> Option<String> {
    let rest = symbol.strip_prefix("_R")?;
    rest.match_indices('C').find_map(|(at, _)| {
        let after = rest.get(at + 1..)?;
        let after = match after.strip_prefix('s') {
            Some(disambiguated) => disambiguated.split_once('_')?.1,
            None => after,
        };
        let digits = after.find(|c: char| !c.is_ascii_digit())?;
        let length: usize = after.get(..digits)?.parse().ok()?;
        let name = after.get(digits..)?;
        let name = name.strip_prefix('_').filter(|_| name.len() > length).unwrap_or(name);
        name.get(..length).filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::crate_of;

    #[test]
    fn both_manglings_tell_the_crate() {
        assert_eq!(crate_of("_ZN8hyp_core5sched4tick17h0123456789abcdefE"), "hyp_core");
        assert_eq!(
            crate_of("_ZN55_$LT$hyp_arm..trap..Trap$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE"),
            "hyp_arm"
        );
        let borrowed = "_ZN42_$LT$$RF$T$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE";
        assert_eq!(crate_of(borrowed), "core");
        assert_eq!(crate_of("_RNvNtCs1234_8hyp_core5sched4tick"), "hyp_core");
        assert_eq!(crate_of("_RNvC7hyp_arm4main"), "hyp_arm");
        assert_eq!(crate_of("memcpy"), "assembly and helpers");
    }
}
