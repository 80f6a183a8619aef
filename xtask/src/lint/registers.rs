//! Names of one architecture's registers in the parts that hold for every processor. They are found in comments too: who
//! needs one to explain what a core does has put an architecture's business there.

use super::Finding;
use crate::sources::{Source, Sources};

/// The parts.
const GENERIC: [&str; 2] = ["hyp/core", "hyp/boot"];

/// How names of ARM's registers end and begin: by the exception level that has them, by the part of the interrupt
/// controller; and of Intel's.
const ENDINGS: [&str; 4] = ["_EL0", "_EL1", "_EL2", "_EL3"];
const BEGINNINGS: [&str; 10] = ["ICH_", "ICC_", "ICV_", "GICD_", "GICR_", "GICC_", "GICH_", "GICV_", "IA32_", "MSR_"];
/// Names that are no words of a language, however they are written.
const NAMES: [&str; 34] = [
    "SCTLR", "VTTBR", "TTBR0", "TTBR1", "MPIDR", "CPACR", "HPFAR", "SPSR", "CR0", "CR2", "CR3", "CR4", "CR8", "XCR0",
    "EFER", "RFLAGS", "EFLAGS", "LSTAR", "VMCB", "VMCS", "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RSP", "EAX", "EBX",
    "ECX", "EDX", "HCR", "VTCR", "MAIR",
];
/// Names that are words, or parts of others, unless they are written in capitals: those of parts of a controller too.
const CAPITALS: [&str; 21] = [
    "ESR", "ELR", "FAR", "PAR", "TCR", "VBAR", "DAIF", "RIP", "STAR", "MSR", "MSRS", "DR6", "DR7", "GICD", "GICR",
    "GICC", "GICH", "GICV", "CNTV", "CNTP", "CNTHP",
];

/// All names found.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    sources.iter().flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    if !(source.is_rust() && GENERIC.iter().any(|folder| source.is_in(folder))) {
        return Vec::new();
    }
    let lines = (1..).zip(source.text.lines());
    let words = lines.flat_map(|(number, line)| {
        line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map(move |word| (number, word))
    });
    let found = words.filter(|(_, word)| is_register(word));
    found
        .map(|(number, word)| format!("{}:{number}: `{word}` is a register of one architecture", source.path))
        .collect()
}

fn is_register(word: &str) -> bool {
    let name = word.to_ascii_uppercase();
    ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || NAMES.contains(&name.as_str())
        || CAPITALS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::{check_one, is_register};
    use crate::sources::Source;

    #[test]
    fn names_of_registers_are_told_from_words() {
        for name in
            ["ESR_EL2", "esr_el2", "ICH_LR0", "GICR_TYPER", "cr3", "EFER", "vmcs", "IA32_PAT", "MPIDR", "RIP", "ELR"]
        {
            assert!(is_register(name), "{name}");
        }
        for word in
            ["far", "star", "par", "rip", "EL2", "_EL2", "escr3", "ESRCH", "PARAMS", "gic", "GicV3", "TEST_EL20"]
        {
            assert!(!is_register(word), "{word}");
        }
    }

    #[test]
    fn they_are_found_in_generic_parts_only_and_in_comments_too() {
        let at =
            |path: &str| check_one(&Source { path: path.into(), text: "fn a() {} // as in\n// CR0 and far\n".into() });
        assert_eq!(at("hyp/core/src/a.rs"), ["hyp/core/src/a.rs:2: `CR0` is a register of one architecture"]);
        assert_eq!(at("hyp/boot/tests/a.rs").len(), 1);
        assert!(
            at("hyp/arm/src/a.rs").is_empty() && at("x86-port/src/a.rs").is_empty() && at("hyp/core/a.md").is_empty()
        );
    }
}
