//! What `cargo xtask size` tells, for a person and for a program.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// All figures. What was not built or not run is absent and not 0.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    /// Length of the Image file.
    pub(super) image_bytes: Option<u64>,
    /// What the hypervisor kept for itself in the last run.
    pub(super) hypervisor_ram_bytes: Option<u64>,
    /// What a loader needs of the image for PCs: without symbols.
    pub(super) x86_image_bytes: Option<u64>,
    /// Lines of code that run at EL2 or its like whatever the processor is.
    pub(super) generic_code_lines: u64,
    /// Lines of code of all crates that run at EL2.
    pub(super) el2_code_lines: u64,
    /// The same on x86.
    pub(super) x86_code_lines: u64,
    /// The image's sections, in their order.
    pub(super) sections: Vec<SectionBytes>,
    /// Bytes of functions in the image, by crate, our own and others.
    pub(super) text_bytes: BTreeMap<String, u64>,
    /// The workspace's crates.
    pub(super) crates: BTreeMap<String, CrateFigures>,
}

/// A section of the image.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SectionBytes {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Whether it is in the Image file, not only in memory.
    pub(super) in_file: bool,
}

/// A crate of the workspace.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct CrateFigures {
    /// Lines with code that is no test.
    pub(super) code_lines: u64,
    /// Lines with code of tests.
    pub(super) test_lines: u64,
    /// `unsafe { ... }`.
    pub(super) unsafe_blocks: u64,
}

impl Report {
    /// Counts `bytes` of functions for `name`.
    pub(super) fn text(&mut self, name: String, bytes: u64) {
        *self.text_bytes.entry(name).or_default() += bytes;
    }

    /// The figure that a limit calls `key`.
    pub(super) fn figure(&self, key: &str) -> Option<u64> {
        match key {
            "image_bytes" => self.image_bytes,
            "hypervisor_ram_bytes" => self.hypervisor_ram_bytes,
            "el2_code_lines" => Some(self.el2_code_lines),
            "x86_image_bytes" => self.x86_image_bytes,
            "x86_code_lines" => Some(self.x86_code_lines),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bytes) = self.image_bytes {
            self.write_image(out, bytes)?;
        }
        writeln!(out, "{:<24} {:>9} {:>9} {:>9}", "lines", "code", "tests", "unsafe")?;
        for (name, figures) in &self.crates {
            let CrateFigures { code_lines, test_lines, unsafe_blocks } = figures;
            writeln!(out, "  {name:<22} {code_lines:>9} {test_lines:>9} {unsafe_blocks:>9}")?;
        }
        for (name, lines) in [("all that runs at EL2", self.el2_code_lines), ("the same on x86", self.x86_code_lines)] {
            let share = self.generic_code_lines * 100 / lines.max(1);
            writeln!(out, "  {name:<22} {lines:>9}  {share} % of it generic")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_image(&self, out: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
        writeln!(out, "{:<24} {:>9}", "Image file", bytes)?;
        for section in &self.sections {
            let place = if section.in_file { "" } else { "  (memory only)" };
            writeln!(out, "  {:<22} {:>9}{place}", section.name, section.bytes)?;
        }
        writeln!(out, "functions by crate")?;
        let mut crates: Vec<_> = self.text_bytes.iter().collect();
        crates.sort_by_key(|(name, bytes)| (std::cmp::Reverse(**bytes), name.as_str()));
        for (name, bytes) in crates {
            writeln!(out, "  {name:<22} {bytes:>9}")?;
        }
        match self.hypervisor_ram_bytes {
            Some(bytes) => writeln!(out, "{:<24} {bytes:>9}  (last run)", "hypervisor's memory"),
            None => writeln!(out, "{:<24} {:>9}  (no run yet: `cargo xtask run`)", "hypervisor's memory", "?"),
        }?;
        writeln!(out, "{:<24} {:>9}", "Image for PCs", self.x86_image_bytes.unwrap_or(0))
    }
}
